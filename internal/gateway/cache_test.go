package gateway_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/administration"
	"sallyport/internal/gateway"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

// counted is a real store that counts the look-ups of workspaces, and calls looked, if it
// isn't nil, when one has been answered.
type counted struct {
	*sqlite.DB
	looks  atomic.Int64
	looked func()
}

func (c *counted) Workspace(ctx context.Context, orgID, ref string) (store.Workspace, error) {
	c.looks.Add(1)
	ws, err := c.DB.Workspace(ctx, orgID, ref)
	if c.looked != nil {
		c.looked()
	}
	return ws, err
}

// newCachingWorld is a world that keeps workspaces for life, and how to run `true` on its one.
func newCachingWorld(t *testing.T, life time.Duration) (*world, *counted, sallyport.Workspace, func() error) {
	t.Helper()
	w := newWorld(t)
	db := &counted{DB: w.db}
	w.may.Workspaces, w.may.WorkspaceCacheTime = db, life
	org := w.org(t, "o")
	ws := w.host(t, org)
	runner := w.caller(t, administration.TokenHome{Org: org.ID}, sallyport.ScopeExec)
	return w, db, ws, func() error {
		_, err := w.Exec(t.Context(), runner, gateway.Ref{Workspace: ws.Name}, gateway.Exec{Argv: []string{"true"}, TimeoutS: 10},
			gateway.ExecOutput{Dispatched: func(string) {}, Started: func() {}, Stdout: io.Discard, Stderr: io.Discard})
		return err
	}
}

// Many acts on one workspace look it up once; where nothing is cached, each does.
func TestWorkspaceIsCached(t *testing.T) {
	for life, want := range map[time.Duration]int64{time.Hour: 1, 0: 3} {
		_, db, _, run := newCachingWorld(t, life)
		for range 3 {
			must(t, run())
		}
		if got := db.looks.Load(); got != want {
			t.Errorf("cached for %v: 3 acts made %d look-ups, want %d", life, got, want)
		}
	}
}

// Nothing is done on a workspace as it was before a change, once that is answered: also
// where the look-up was on its way when it was made.
func TestCachedWorkspaceIsChanged(t *testing.T) {
	w, db, ws, run := newCachingWorld(t, time.Hour)
	admin, ref := w.admin, gateway.Ref{Workspace: ws.ID}
	tier := func(tier int) {
		_, err := w.UpdateWorkspace(t.Context(), admin, ref, administration.WorkspaceChange{Tier: &tier})
		must(t, err)
	}
	must(t, run())
	tier(sallyport.TierSandboxed)
	wantCode(t, "after the change", run(), sallyport.CodeExecTierForbidden)
	tier(sallyport.TierFullHost)
	db.looked = func() {
		db.looked = nil
		tier(sallyport.TierSandboxed)
	}
	must(t, run()) // it was looked up before the change was answered
	wantCode(t, "after the look-up of before", run(), sallyport.CodeExecTierForbidden)
	must(t, w.DeleteWorkspace(t.Context(), admin, ref))
	wantCode(t, "after the deletion", run(), sallyport.CodeWorkspaceNotFound)
	w.host(t, sallyport.Org{ID: ws.OrgID})
	must(t, run()) // one of the same name
}
