package storetest

import (
	"testing"
	"time"

	"sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// testHostKeyTaken demands that a machine, known by its host key, is the organisation's
// that has known it longest, however often others name it.
func testHostKeyTaken(t *testing.T, e Engine) {
	ctx := t.Context()
	first, second := mustOrg(t, e, "first"), mustOrg(t, e, "second")
	clock := start()
	make := func(org store.Org, name, key string) store.Workspace {
		clock = clock.Add(time.Second)
		ws := store.Workspace{ID: id.New(), OrgID: org.ID, Name: name, Tier: 3, CreatedAt: clock, UpdatedAt: clock}
		if key != "none" {
			ws.Connector = &sallyport.Connector{Type: sallyport.ConnectorSSH, HostKey: key}
		}
		must(t, e.CreateWorkspace(ctx, ws, noted(org.ID)))
		return ws
	}
	set := func(ws store.Workspace, key string) {
		clock = clock.Add(time.Second)
		value(e.UpdateWorkspace(ctx, ws.OrgID, ws.ID, func(ws *store.Workspace) (store.ActivityChange, error) {
			ws.Connector, ws.UpdatedAt = &sallyport.Connector{Type: sallyport.ConnectorSSH, HostKey: key}, clock
			return noted(ws.OrgID), nil
		}))(t)
	}
	taken := func(ws store.Workspace, key string, want bool) {
		t.Helper()
		wantEqual(t, value(e.HostKeyTaken(ctx, ws.OrgID, ws.ID, key))(t), want)
	}
	old := make(second, "old", "none") // made before, and named the key later
	a, sibling := make(first, "a", "k1"), make(first, "b", "k1")
	taken(a, "k1", false)
	taken(sibling, "k1", false)
	taken(old, "k1", true) // it hasn't the key, and others have
	taken(old, "k9", false)
	thief := make(second, "thief", "k1")
	set(old, "k1")
	taken(thief, "k1", true)
	taken(old, "k1", true)
	taken(a, "k1", false)
	set(a, "k1") // again: it is known since before
	taken(a, "k1", false)
	set(thief, "k2")
	taken(thief, "k2", false)
	taken(a, "k2", true)
	set(a, "")
	set(sibling, "k3")
	taken(old, "k1", false)
	set(a, "k1") // given up, and named anew after another had it
	taken(a, "k1", true)
	taken(make(second, "empty", ""), "", false)
	taken(make(first, "empty", ""), "", false)
}
