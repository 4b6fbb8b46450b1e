package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

func testWorkspaces(t *testing.T, e Engine) {
	ctx := t.Context()
	org := mustOrg(t, e, "acme")
	ws := store.Workspace{
		ID: id.New(), OrgID: org.ID, Name: "web", Tier: sallyport.TierPrivileged,
		Labels: map[string]string{"team": "core", "quote": `"<&>'` + "\n", "": "ü"},
		Connector: &sallyport.Connector{
			Type: sallyport.ConnectorSSH, Host: "h", Port: 22, User: "u", HostKey: "k", TrustOnFirstUse: true,
			Auth: &sallyport.ConnectorAuth{Type: sallyport.AuthKey},
		},
		SealedKey: []byte{0, 255, 1}, ConnectorVersion: 1, ForwardAllow: []string{"loopback:*", "[::1]:1-2"}, RecordTerminals: true,
		CreatedAt: start(), UpdatedAt: start().Add(time.Minute),
	}
	row := newRow(org.ID, ws.ID, sallyport.ActivityWorkspaceCreated)
	must(t, e.CreateWorkspace(ctx, ws, 0, store.ActivityChange{Row: row}))
	wantEqual(t, value(e.Workspace(ctx, org.ID, ws.ID))(t), ws)
	wantEqual(t, value(e.Workspace(ctx, org.ID, "web"))(t), ws)
	wantEqual(t, value(e.Workspace(ctx, "", ws.ID))(t), ws)
	wantEqual(t, value(e.Activity(ctx, org.ID, row.ID))(t), *row)

	bare := store.Workspace{ID: id.New(), OrgID: org.ID, Name: "bare", Tier: 1, CreatedAt: start(), UpdatedAt: start()}
	must(t, e.CreateWorkspace(ctx, bare, 0, noted(org.ID)))
	bare.Labels = map[string]string{}
	wantEqual(t, value(e.Workspace(ctx, org.ID, "bare"))(t), bare)
}

func testWorkspaceErrors(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	ws := mustWorkspace(t, e, org.ID, "web")
	foreign := mustWorkspace(t, e, other.ID, "db")
	mustWorkspace(t, e, other.ID, "web") // the name is unique in its organisation alone

	twin := ws
	twin.ID = id.New()
	wantError(t, e.CreateWorkspace(ctx, twin, 0, noted(org.ID)), store.ErrConflict)
	twin.Name, twin.OrgID = "new", id.New()
	wantError(t, e.CreateWorkspace(ctx, twin, 0, noted(org.ID)), store.ErrNotFound)
	twin.ID, twin.OrgID = ws.ID, org.ID
	wantOther(t, e.CreateWorkspace(ctx, twin, 0, noted(org.ID)))

	for _, c := range []struct{ org, ref string }{
		{org.ID, foreign.ID}, {org.ID, "db"}, {org.ID, id.New()}, {org.ID, ""}, {org.ID, "WEB"}, {org.ID, "w%"},
		{id.New(), ws.ID}, {"", "web"}, {"", id.New()}, {"", ""}, {"acme", ws.ID},
	} {
		_, err := e.Workspace(ctx, c.org, c.ref)
		wantError(t, err, store.ErrNotFound)
	}
}

func testWorkspacesListing(t *testing.T, e Engine) {
	ctx := t.Context()
	orgs := []store.Org{mustOrg(t, e, "acme"), mustOrg(t, e, "other")}
	var every []store.Workspace
	var of [2][]store.Workspace
	for i := range 9 {
		ws := mustWorkspace(t, e, orgs[i%2].ID, fmt.Sprintf("ws-%d", 9-i))
		every = append(every, ws)
		of[i%2] = append(of[i%2], ws)
	}
	list := func(org string) func(store.Page) ([]store.Positioned[store.Workspace], error) {
		return func(page store.Page) ([]store.Positioned[store.Workspace], error) {
			return e.Workspaces(ctx, org, page)
		}
	}
	for _, limit := range []int{1, 2, 4, 5, 10} {
		wantEqual(t, records(t, pages(t, limit, list(orgs[0].ID)), false), of[0])
		wantEqual(t, records(t, pages(t, limit, list(orgs[1].ID)), false), of[1])
		wantEqual(t, records(t, pages(t, limit, list("")), false), every)
	}
	wantEqual(t, len(value(e.Workspaces(ctx, id.New(), all))(t)), 0)
}

func testUpdateWorkspace(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	before := mustWorkspace(t, e, org.ID, "web")
	sibling := mustWorkspace(t, e, org.ID, "db")
	foreign := mustWorkspace(t, e, other.ID, "web")
	row := newRow(org.ID, before.ID, sallyport.ActivityWorkspaceUpdated)

	want := before
	want.Name, want.Tier, want.Labels = "web-2", 1, map[string]string{"a": "b"}
	want.Connector, want.UpdatedAt = &sallyport.Connector{Type: "ssh"}, start().Add(time.Hour)
	want.ForwardAllow = []string{} // none, which is not the default
	want.RecordTerminals = true
	got := value(e.UpdateWorkspace(ctx, org.ID, before.ID, func(ws *store.Workspace) (store.ActivityChange, error) {
		wantEqual(t, *ws, before)
		*ws = want
		ws.ID, ws.OrgID, ws.CreatedAt = foreign.ID, other.ID, time.Time{} // not theirs to change
		return store.ActivityChange{Row: row}, nil
	}))(t)
	wantEqual(t, got, want)
	wantEqual(t, value(e.Workspace(ctx, org.ID, "web-2"))(t), want)
	wantEqual(t, value(e.Workspace(ctx, other.ID, "web"))(t), foreign)
	wantEqual(t, value(e.Workspace(ctx, org.ID, "db"))(t), sibling)
	wantEqual(t, value(e.Activity(ctx, org.ID, row.ID))(t), *row)

	want.Connector, want.Labels = nil, map[string]string{}
	got = value(e.UpdateWorkspace(ctx, org.ID, before.ID, func(ws *store.Workspace) (store.ActivityChange, error) {
		ws.Connector, ws.Labels = nil, nil
		return noted(org.ID), nil
	}))(t)
	wantEqual(t, len(got.Labels), 0)
	wantEqual(t, value(e.Workspace(ctx, org.ID, "web-2"))(t), want)
}

func testUpdateWorkspaceAborted(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	ws := mustWorkspace(t, e, org.ID, "web")
	mustWorkspace(t, e, org.ID, "db")
	change := noted(org.ID)
	rename := func(w *store.Workspace) (store.ActivityChange, error) {
		w.Name = "db"
		return change, nil
	}
	_, err := e.UpdateWorkspace(ctx, org.ID, ws.ID, rename)
	wantError(t, err, store.ErrConflict)
	for _, c := range []struct{ org, id string }{{other.ID, ws.ID}, {org.ID, id.New()}, {"", ws.ID}, {org.ID, "web"}} {
		_, err := e.UpdateWorkspace(ctx, c.org, c.id, rename)
		wantError(t, err, store.ErrNotFound)
	}
	refusal := errors.New("no")
	_, err = e.UpdateWorkspace(ctx, org.ID, ws.ID, func(w *store.Workspace) (store.ActivityChange, error) {
		w.Name = "refused"
		return change, refusal
	})
	wantEqual(t, err, refusal) // the caller's own, as it is
	_, err = e.UpdateWorkspace(ctx, org.ID, ws.ID, func(w *store.Workspace) (store.ActivityChange, error) {
		w.Name = "rowless"
		return store.ActivityChange{}, nil
	})
	wantOther(t, err)

	wantEqual(t, value(e.Workspace(ctx, org.ID, ws.ID))(t), ws)
	wantEqual(t, change.Row.Seq, int64(0))
	_, err = e.Activity(ctx, "", change.Row.ID)
	wantError(t, err, store.ErrNotFound)
	wantPanic(t, func() {
		_, _ = e.UpdateWorkspace(ctx, org.ID, ws.ID, func(*store.Workspace) (store.ActivityChange, error) { panic("oops") })
	})
	wantEqual(t, value(e.Workspace(ctx, org.ID, ws.ID))(t), ws)
	mustWorkspace(t, e, org.ID, "later") // the store still takes changes
}

func wantPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	f()
}

// testUpdateWorkspaceConcurrently demands that no change is lost.
func testUpdateWorkspaceConcurrently(t *testing.T, e Engine) {
	const writers, each = 8, 10
	org := mustOrg(t, e, "acme")
	ws := mustWorkspace(t, e, org.ID, "web")
	count := func(ctx context.Context) error {
		_, err := e.UpdateWorkspace(ctx, org.ID, ws.ID, func(w *store.Workspace) (store.ActivityChange, error) {
			n, _ := strconv.Atoi(w.Labels["n"])
			w.Labels["n"] = strconv.Itoa(n + 1)
			return noted(org.ID), nil
		})
		return err
	}
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				if err := count(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wantEqual(t, value(e.Workspace(t.Context(), org.ID, ws.ID))(t).Labels["n"], strconv.Itoa(writers*each))
}

func testDeleteWorkspace(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	ws := mustWorkspace(t, e, org.ID, "web")
	tok := mustToken(t, e, org.ID, ws.ID, "ci")
	kept := mustToken(t, e, org.ID, "", "ci")
	row := newRow(org.ID, ws.ID, sallyport.ActivityWorkspaceDeleted)
	change := store.ActivityChange{Row: row}
	for _, c := range []struct{ org, id string }{{other.ID, ws.ID}, {org.ID, id.New()}, {"", ws.ID}, {org.ID, "web"}} {
		wantError(t, e.DeleteWorkspace(ctx, c.org, c.id, change), store.ErrNotFound)
	}
	wantEqual(t, value(e.Workspace(ctx, org.ID, ws.ID))(t), ws)

	must(t, e.DeleteWorkspace(ctx, org.ID, ws.ID, change))
	_, err := e.Workspace(ctx, org.ID, ws.ID)
	wantError(t, err, store.ErrNotFound)
	_, err = e.TokenByHash(ctx, tok.Hash)
	wantError(t, err, store.ErrNotFound)
	wantEqual(t, value(e.TokenByHash(ctx, kept.Hash))(t), kept)
	wantEqual(t, value(e.Activity(ctx, org.ID, row.ID))(t), *row)
	wantError(t, e.DeleteWorkspace(ctx, org.ID, ws.ID, noted(org.ID)), store.ErrNotFound)
	mustWorkspace(t, e, org.ID, "web") // the name is free again
}
