package gateway_test

import (
	"io"
	"path/filepath"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/administration"
	"sallyport/internal/gateway"
	"sallyport/internal/id"
	"sallyport/internal/quota"
	"sallyport/internal/store"
)

// What another replica runs counts too: the row's transaction says so, and nothing ran.
func TestQuotaCountsOtherReplicas(t *testing.T) {
	w := newWorld(t)
	w.may.Limits = &quota.Orgs{Store: w.db, Own: sallyport.OrgLimits{RunningExecs: 2, RunningExecsPerWorkspace: 1}}
	org := w.org(t, "o")
	create := func(name string) gateway.Ref {
		ws, err := w.CreateWorkspace(t.Context(), w.admin, sallyport.WorkspaceCreate{
			OrgID: org.ID, Name: name, Tier: 4, Connector: &sallyport.Connector{Type: sallyport.ConnectorLocal},
		})
		must(t, err)
		return gateway.Ref{Workspace: ws.ID}
	}
	first, second := create("first"), create("second")
	runner := w.caller(t, administration.TokenHome{Org: org.ID}, sallyport.ScopeExec)
	file := filepath.Join(t.TempDir(), "ran")
	exec := func(on gateway.Ref, dispatched func(string)) error {
		_, err := w.Exec(t.Context(), runner, on, gateway.Exec{Argv: []string{"touch", file}, TimeoutS: 10}, gateway.ExecOutput{
			Dispatched: dispatched, Started: func() {}, Stdout: io.Discard, Stderr: io.Discard,
		})
		return err
	}
	refused := func(string) { t.Error("dispatched") }
	theirs := func(ws string) *store.Activity {
		row := &store.Activity{Class: store.ClassExec, Activity: sallyport.Activity{
			ID: id.New(), Type: sallyport.ActivityExec, Status: sallyport.StatusRunning, OrgID: org.ID, WorkspaceID: ws, CreatedAt: now(),
		}}
		must(t, w.db.CommitActivity(t.Context(), []store.ActivityChange{{Row: row}}, true))
		return row
	}
	running := theirs(first.Workspace)
	wantCode(t, "on their workspace", exec(first, refused), sallyport.CodeTooManyExecs)
	more := theirs("another")
	wantCode(t, "in their organisation", exec(second, refused), sallyport.CodeTooManyExecs)
	wantNoFile(t, file)
	for _, row := range []*store.Activity{running, more} {
		row.Status = sallyport.StatusOK
		must(t, w.db.CommitActivity(t.Context(), []store.ActivityChange{{Row: row, Complete: true}}, true))
	}
	for range 3 { // each makes room for the next
		wantCode(t, "when they have ended", exec(first, func(string) {}), "")
	}
}
