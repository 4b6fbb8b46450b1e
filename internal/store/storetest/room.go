package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/id"
	"sallyport/internal/store"
)

// testTokensAreCounted demands that an organisation has no more live tokens than it may,
// those of its workspaces among them, however many come at the same time; and that dead
// ones, and another organisation's, don't count.
func testTokensAreCounted(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "org"), mustOrg(t, e, "other")
	ws := mustWorkspace(t, e, org.ID, "ws")
	mustToken(t, e, other.ID, "", "other")
	create := func(most int, change func(*store.Token)) error {
		tok := newToken(org.ID, "", "t")
		if change != nil {
			change(&tok)
		}
		return e.CreateToken(ctx, tok, most, noted(org.ID))
	}
	dead := newToken(org.ID, "", "revoked")
	must(t, e.CreateToken(ctx, dead, 1, noted(org.ID)))
	wantError(t, create(1, nil), store.ErrTooMany)
	must(t, e.RevokeToken(ctx, org.ID, "", dead.ID, start(), noted(org.ID)))
	must(t, create(1, func(tok *store.Token) { tok.ExpiresAt = tok.CreatedAt.Add(time.Minute) }))
	must(t, create(2, func(tok *store.Token) { tok.WorkspaceID, tok.ExpiresAt = ws.ID, time.Time{} }))
	wantError(t, create(2, nil), store.ErrTooMany)
	wantError(t, create(2, func(tok *store.Token) { tok.WorkspaceID = ws.ID }), store.ErrTooMany)
	rows := len(value(e.Activities(ctx, store.ActivityFilter{OrgID: org.ID}, all))(t))
	wantError(t, create(1, nil), store.ErrTooMany)
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{OrgID: org.ID}, all))(t)), rows)
	// A minute later one has expired.
	must(t, create(2, func(tok *store.Token) { tok.CreatedAt = tok.CreatedAt.Add(time.Minute) }))
	must(t, create(0, nil)) // without a bound

	const room = 5
	have := len(value(e.Tokens(ctx, org.ID, "", all))(t)) + 1 // that of the workspace
	wantEqual(t, raced(t, 20, func(int) error { return create(have+room, nil) }), int64(room))
	must(t, e.DeleteWorkspace(ctx, org.ID, ws.ID, noted(org.ID)))
	must(t, create(have+room, nil)) // its token has gone with it
}

// testWorkspacesAreCounted demands the same of workspaces.
func testWorkspacesAreCounted(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "org"), mustOrg(t, e, "other")
	mustWorkspace(t, e, other.ID, "other")
	create := func(name string, most int) error {
		ws := store.Workspace{ID: id.New(), OrgID: org.ID, Name: name, CreatedAt: start(), UpdatedAt: start()}
		return e.CreateWorkspace(ctx, ws, most, noted(org.ID))
	}
	must(t, create("first", 1))
	wantError(t, create("second", 1), store.ErrTooMany)
	wantEqual(t, raced(t, 20, func(i int) error { return create(fmt.Sprint("raced-", i), 6) }), int64(5))
	wantError(t, create("another", 6), store.ErrTooMany)
	wantError(t, create("another", 3), store.ErrTooMany)
	wantError(t, create("first", 7), store.ErrConflict)
	must(t, create("another", 0))
}

// raced runs n calls at the same time, and counts those for which there was room.
func raced(t *testing.T, n int, call func(i int) error) (made int64) {
	t.Helper()
	var group sync.WaitGroup
	var count atomic.Int64
	for i := range n {
		group.Go(func() {
			switch err := call(i); {
			case err == nil:
				count.Add(1)
			case !errors.Is(err, store.ErrTooMany):
				t.Error(err)
			}
		})
	}
	group.Wait()
	return count.Load()
}
