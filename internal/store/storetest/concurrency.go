package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// testActivityConcurrently commits from many goroutines and demands of each
// organisation that its seqs have no gap and no double.
func testActivityConcurrently(t *testing.T, e Engine) {
	const writers, batches = 12, 15
	orgs := []string{id.New(), id.New(), ""}
	var (
		mu    sync.Mutex // guards taken
		taken = map[string]map[int64]string{}
		group sync.WaitGroup
	)
	for _, org := range orgs {
		taken[org] = map[int64]string{}
	}
	for w := range writers {
		group.Go(func() {
			var running []*store.Activity
			for i := range batches {
				var batch []store.ActivityChange
				for _, row := range running {
					batch = append(batch, completion(row, i))
				}
				running = nil
				for n := range i % 5 {
					row := newExec(orgs[(w+n)%len(orgs)], "ws")
					running = append(running, row)
					batch = append(batch, store.ActivityChange{Row: row})
				}
				if err := e.CommitActivity(t.Context(), batch, i%4 == 0); err != nil {
					t.Error(err)
				}
				mu.Lock()
				note(t, taken, batch)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for _, org := range orgs {
		for seq := range int64(len(taken[org])) {
			if taken[org][seq+1] == "" {
				t.Errorf("organisation %q: nothing has seq %d of %d", org, seq+1, len(taken[org]))
			}
		}
	}
	for _, p := range value(e.Activities(t.Context(), store.ActivityFilter{}, store.Page{Limit: 10_000}))(t) {
		row := p.Record
		if taken[row.OrgID][row.WrittenSeq] != row.ID || taken[row.OrgID][row.Seq] != row.ID {
			t.Errorf("row %s has seqs %d and %d, which are others'", row.ID, row.WrittenSeq, row.Seq)
		}
	}
}

// note records who has which seq. In one batch an organisation's rise.
func note(t *testing.T, taken map[string]map[int64]string, batch []store.ActivityChange) {
	last := map[string]int64{}
	for _, change := range batch {
		row := change.Row
		if row.Seq <= last[row.OrgID] {
			t.Errorf("seq %d follows %d in one batch", row.Seq, last[row.OrgID])
		}
		last[row.OrgID] = row.Seq
		if by := taken[row.OrgID][row.Seq]; by != "" {
			t.Errorf("seq %d was given to %s and to %s", row.Seq, by, row.ID)
		}
		taken[row.OrgID][row.Seq] = row.ID
	}
}

// calls are every method that takes a context, on records that exist.
func calls(org store.Org, ws store.Workspace, tok store.Token) map[string]func(context.Context, Engine) error {
	type ctx = context.Context
	only := func(_ any, err error) error { return err }
	return map[string]func(ctx, Engine) error{
		"Ping": func(c ctx, e Engine) error { return e.Ping(c) },
		"CreateOrg": func(c ctx, e Engine) error {
			return e.CreateOrg(c, store.Org{ID: id.New(), Name: "new"}, noted(org.ID))
		},
		"Org":  func(c ctx, e Engine) error { return only(e.Org(c, org.ID)) },
		"Orgs": func(c ctx, e Engine) error { return only(e.Orgs(c, all)) },
		"UpdateOrg": func(c ctx, e Engine) error {
			return only(e.UpdateOrg(c, org.ID, func(o *store.Org) (store.ActivityChange, error) {
				o.Name = "renamed"
				return noted(org.ID), nil
			}))
		},
		"DeleteOrg": func(c ctx, e Engine) error { return e.DeleteOrg(c, org.ID, noted(org.ID)) },
		"CreateWorkspace": func(c ctx, e Engine) error {
			return e.CreateWorkspace(c, store.Workspace{ID: id.New(), OrgID: org.ID, Name: "new"}, 0, noted(org.ID))
		},
		"Workspace":  func(c ctx, e Engine) error { return only(e.Workspace(c, org.ID, ws.ID)) },
		"Workspaces": func(c ctx, e Engine) error { return only(e.Workspaces(c, org.ID, all)) },
		"UpdateWorkspace": func(c ctx, e Engine) error {
			return only(e.UpdateWorkspace(c, org.ID, ws.ID, func(w *store.Workspace) (store.ActivityChange, error) {
				w.Name = "renamed"
				return noted(org.ID), nil
			}))
		},
		"SealedKeys": func(c ctx, e Engine) error { return only(e.SealedKeys(c, all)) },
		"ResealWorkspaceKey": func(c ctx, e Engine) error {
			return e.ResealWorkspaceKey(c, ws.ID, []byte("x"), []byte("y"))
		},
		"DeleteWorkspace": func(c ctx, e Engine) error { return e.DeleteWorkspace(c, org.ID, ws.ID, noted(org.ID)) },
		"CreateToken": func(c ctx, e Engine) error {
			return e.CreateToken(c, newToken(org.ID, "", "new"), 0, noted(org.ID))
		},
		"TokenByHash": func(c ctx, e Engine) error { return only(e.TokenByHash(c, tok.Hash)) },
		"Token":       func(c ctx, e Engine) error { return only(e.Token(c, org.ID, "", tok.ID)) },
		"Tokens":      func(c ctx, e Engine) error { return only(e.Tokens(c, org.ID, "", all)) },
		"RevokeToken": func(c ctx, e Engine) error {
			return e.RevokeToken(c, org.ID, "", tok.ID, start(), noted(org.ID))
		},
		"RevokeTokensNamed": func(c ctx, e Engine) error { return e.RevokeTokensNamed(c, org.ID, tok.Name, start()) },
		"CreateSession":     func(c ctx, e Engine) error { return e.CreateSession(c, newSession(1, 1), start(), 1) },
		"SessionByHash":     func(c ctx, e Engine) error { return only(e.SessionByHash(c, [32]byte{1})) },
		"DeleteSession":     func(c ctx, e Engine) error { return e.DeleteSession(c, [32]byte{1}) },
		"CAKeys":            func(c ctx, e Engine) error { return only(e.CAKeys(c, org.ID)) },
		"AllCAKeys":         func(c ctx, e Engine) error { return only(e.AllCAKeys(c, all)) },
		"OrgsWithoutCA":     func(c ctx, e Engine) error { return only(e.OrgsWithoutCA(c, 9)) },
		"StaleMachines":     func(c ctx, e Engine) error { return only(e.StaleMachines(c, 9)) },
		"ForgetSharedCA":    func(c ctx, e Engine) error { return e.ForgetSharedCA(c) },
		"HasSealed":         func(c ctx, e Engine) error { return only(e.HasSealed(c)) },
		"AddFirstCAKey":     func(c ctx, e Engine) error { return e.AddFirstCAKey(c, newCAKey(org.ID)) },
		"ResealCAKey":       func(c ctx, e Engine) error { return e.ResealCAKey(c, id.New(), []byte("x")) },
		"RotateCA":          func(c ctx, e Engine) error { return rotate(c, e, newCAKey(org.ID), start()) },
		"CommitActivity": func(c ctx, e Engine) error {
			return e.CommitActivity(c, write(newExec(org.ID, ws.ID)), true)
		},
		"Activity":   func(c ctx, e Engine) error { return only(e.Activity(c, org.ID, id.New())) },
		"Activities": func(c ctx, e Engine) error { return only(e.Activities(c, store.ActivityFilter{}, all)) },
		"TakeLease":  func(c ctx, e Engine) error { return e.TakeLease(c, "new", "", time.Hour) },
		"RenewLease": func(c ctx, e Engine) error { return e.RenewLease(c, "new", time.Hour) },
		"EndLease":   func(c ctx, e Engine) error { return e.EndLease(c, "new") },
		"Replicas":   func(c ctx, e Engine) error { return only(e.Replicas(c)) },
		"ReplicaURL": func(c ctx, e Engine) error { return only(e.ReplicaURL(c, "new")) },
		"AdoptActs":  func(c ctx, e Engine) error { return only(e.AdoptActs(c, "new", 9)) },
		"Events":     func(c ctx, e Engine) error { return only(e.Events(c, org.ID, all)) },
		"LastSeq":    func(c ctx, e Engine) error { return only(e.LastSeq(c, org.ID)) },
	}
}

// testCanceledContext demands that a context that has ended changes nothing.
func testCanceledContext(t *testing.T, e Engine) {
	org := mustOrg(t, e, "acme")
	ws := mustWorkspace(t, e, org.ID, "web")
	tok := mustToken(t, e, org.ID, "", "ci")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls(org, ws, tok) {
		if err := call(canceled, e); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error is %v, want %v", name, err, context.Canceled)
		}
	}
	ctx := t.Context()
	wantEqual(t, records(t, value(e.Orgs(ctx, all))(t), false), []store.Org{org})
	wantEqual(t, records(t, value(e.Workspaces(ctx, "", all))(t), false), []store.Workspace{ws})
	wantEqual(t, records(t, value(e.Tokens(ctx, org.ID, "", all))(t), false), []store.Token{tok})
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{}, all))(t)), 3)
}

// testContextCanceledInside ends the context in the middle of a transaction:
// nothing of it stays, and the next one isn't hindered.
func testContextCanceledInside(t *testing.T, e Engine) {
	org := mustOrg(t, e, "acme")
	ws := mustWorkspace(t, e, org.ID, "web")
	for i := range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := e.UpdateWorkspace(ctx, org.ID, ws.ID, func(w *store.Workspace) (store.ActivityChange, error) {
			w.Name = "renamed"
			cancel()
			return noted(org.ID), nil
		})
		wantError(t, err, context.Canceled)
		row := newExec(org.ID, ws.ID)
		must(t, e.CommitActivity(t.Context(), write(row), i%2 == 0))
		wantEqual(t, row.Seq, int64(3+i))
	}
	wantEqual(t, value(e.Workspace(t.Context(), org.ID, ws.ID))(t), ws)

	// Contexts that end at any moment: what was said to be done is there.
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
			defer cancel()
			row := newExec(org.ID, "")
			err := e.CommitActivity(ctx, write(row), true)
			_, found := e.Activity(t.Context(), org.ID, row.ID)
			if (err == nil) != (found == nil) {
				t.Errorf("the commit answered %v, the row %v", err, found)
			}
		})
	}
	group.Wait()
	rows := value(e.Activities(t.Context(), store.ActivityFilter{OrgID: org.ID}, all))(t)
	wantEqual(t, rows[0].Record.Seq, int64(len(rows)))
}

func testPing(t *testing.T, e Engine) {
	must(t, e.Ping(t.Context()))
	row := newRow("", "", sallyport.ActivityAccessDenied)
	must(t, e.CommitActivity(t.Context(), write(row), true))
	must(t, e.Ping(t.Context()))
}

// testClose demands that a closed store answers nothing, not even that there is
// no such record.
func testClose(t *testing.T, e Engine) {
	org := mustOrg(t, e, "acme")
	ws := mustWorkspace(t, e, org.ID, "web")
	tok := mustToken(t, e, org.ID, "", "ci")
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	must(t, e.Close())
	for _, call := range calls(org, ws, tok) {
		wantOther(t, call(t.Context(), e))
	}
}
