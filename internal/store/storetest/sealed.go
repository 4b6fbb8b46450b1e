package storetest

import (
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// testSealedKeys demands that each private key is found, and replaced only if nobody
// has set another meanwhile.
func testSealedKeys(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	mustWorkspace(t, e, org.ID, "without")
	make := func(orgID, sealed string) string {
		ws := store.Workspace{
			ID: id.New(), OrgID: orgID, Name: "with-" + sealed, Tier: 3, CreatedAt: start(), UpdatedAt: start(),
			Connector: &sallyport.Connector{Type: sallyport.ConnectorSSH}, SealedKey: []byte(sealed), ConnectorVersion: 7,
		}
		must(t, e.CreateWorkspace(ctx, ws, 0, noted(orgID)))
		return ws.ID
	}
	first, second := make(org.ID, "a"), make(other.ID, "b")
	sealed := func() map[string]string {
		found := map[string]string{}
		page := store.Page{Limit: 1}
		for {
			keys := value(e.SealedKeys(ctx, page))(t)
			if len(keys) == 0 {
				return found
			}
			found[keys[0].Record.WorkspaceID] = string(keys[0].Record.Sealed)
			page.After = keys[0].Position
		}
	}
	wantEqual(t, sealed(), map[string]string{first: "a", second: "b"})

	rows := len(value(e.Activities(ctx, store.ActivityFilter{}, all))(t))
	must(t, e.ResealWorkspaceKey(ctx, first, []byte("a"), []byte("a anew")))
	must(t, e.ResealWorkspaceKey(ctx, second, []byte("a"), []byte("of another")))
	must(t, e.ResealWorkspaceKey(ctx, id.New(), []byte("a"), []byte("of nobody")))
	wantEqual(t, sealed(), map[string]string{first: "a anew", second: "b"})
	wantEqual(t, value(e.Workspace(ctx, org.ID, first))(t).ConnectorVersion, int64(7))
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{}, all))(t)), rows)
}
