package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/audit"
	"sallyport/internal/id"
	"sallyport/internal/policy"
	"sallyport/internal/store"
)

// ListExecs lists a workspace's execs, running and ended, newest first; status, if it
// isn't empty, is that of all, and detached lists those alone. It returns
// workspace_not_found, scope_forbidden or invalid_status.
func (g *Gateway) ListExecs(ctx context.Context, by Caller, ref Ref, status string, detached bool, page PageRequest) (ActivityPage, error) {
	of := g.execRecords()
	if detached {
		of.class = store.ClassDetached
	}
	return g.listActs(ctx, by, ref, of, status, page)
}

// recordsOf is what a workspace's rows of one kind of act are called, and who may see them.
type recordsOf struct {
	rowType string
	rule    policy.Rule
	// class is theirs, where those of the type have several.
	class store.Class
	// one and many are what a refusal calls them.
	one, many string
}

func (g *Gateway) execRecords() recordsOf {
	return recordsOf{rowType: sallyport.ActivityExec, rule: g.Access.Rules.Exec, one: "exec", many: "execs"}
}

func (g *Gateway) listActs(ctx context.Context, by Caller, ref Ref, of recordsOf, status string, page PageRequest) (ActivityPage, error) {
	ws, err := g.Access.Workspace(ctx, by, ref)
	if err != nil {
		return ActivityPage{}, err
	}
	if err := g.Access.Check(ctx, by, of.rule, &ws, "list "+of.many); err != nil {
		return ActivityPage{}, err
	}
	if all := actStatuses(); status != "" && !slices.Contains(all, status) {
		return ActivityPage{}, sallyport.Errorf(sallyport.CodeInvalidStatus, "status must be one of %s", strings.Join(all, ", "))
	}
	return g.activity(ctx, ws.OrgID, ws.ID, ActivityQuery{Type: of.rowType, Status: status, Class: of.class, Page: page})
}

func actStatuses() []string {
	return []string{
		sallyport.StatusRunning, sallyport.StatusOK, sallyport.StatusError, sallyport.StatusTimeout, sallyport.StatusCanceled, sallyport.StatusInterrupted,
	}
}

// ExecRow shows one of a workspace's execs. It returns workspace_not_found,
// scope_forbidden or not_found.
func (g *Gateway) ExecRow(ctx context.Context, by Caller, ref Ref, execID string) (sallyport.Activity, error) {
	_, row, err := g.actRow(ctx, by, ref, g.execRecords(), execID, "see an exec")
	return row.Activity, err
}

func (g *Gateway) actRow(ctx context.Context, by Caller, ref Ref, of recordsOf, rowID, tried string) (store.Workspace, store.Activity, error) {
	ws, err := g.Access.Workspace(ctx, by, ref)
	if err != nil {
		return ws, store.Activity{}, err
	}
	if err := g.Access.Check(ctx, by, of.rule, &ws, tried); err != nil {
		return ws, store.Activity{}, err
	}
	if !id.Is(rowID) {
		return ws, store.Activity{}, access.NotFound(of.one)
	}
	row, err := g.Activities.Activity(ctx, ws.OrgID, rowID)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (row.WorkspaceID != ws.ID || row.Type != of.rowType):
		return ws, store.Activity{}, access.NotFound(of.one)
	case err != nil:
		return ws, store.Activity{}, access.Unavailable(err)
	}
	return ws, row, nil
}

// RunsDetached tells whether detached execs run on a workspace's machine.
func (g *Gateway) RunsDetached(ctx context.Context, orgID, workspaceID string) (bool, error) {
	filter := store.ActivityFilter{OrgID: orgID, WorkspaceID: workspaceID, Type: sallyport.ActivityExec, Status: sallyport.StatusRunning, Class: store.ClassDetached}
	found, err := g.Activities.Activities(ctx, filter, store.Page{Limit: 1})
	return len(found) > 0, access.StoreError(err, "activity")
}

// SignalExec sends a signal to the process group of an exec's command. It leaves a row of
// its own, which is on disk before. It returns workspace_not_found, scope_forbidden,
// not_found, invalid_signal, not_running where there is nothing to signal any more or
// yet, or connect_failed and the like where the machine can't be reached.
func (g *Gateway) SignalExec(ctx context.Context, by Caller, ref Ref, execID, signal string) error {
	ws, row, err := g.actRow(ctx, by, ref, g.execRecords(), execID, "signal an exec")
	if err != nil {
		return err
	}
	if all := sallyport.Signals(); !slices.Contains(all, signal) {
		return sallyport.Errorf(sallyport.CodeInvalidSignal, "signal must be one of %s", strings.Join(all, ", "))
	}
	if isDetached := row.Activity.Detached; isDetached && row.Status != sallyport.StatusRunning || !isDetached && !g.runs(row) {
		return notRunning()
	}
	err = g.Audit.Record(ctx, audit.Event{
		Type: sallyport.ActivityExecSignal, By: by.Principal, ClientAddr: by.Addr, OrgID: ws.OrgID, WorkspaceID: ws.ID,
		Summary: signal + " sent to exec " + execID,
	})
	if err != nil {
		return err
	}
	var sent bool
	if row.Activity.Detached {
		sent, err = g.detachedOn(by, ws).Signal(ctx, execID, signal)
	} else {
		sent, err = g.signal(ctx, by, row.Replica, execID, signal)
	}
	switch {
	case err != nil:
		return sallyport.Errorf(sallyport.CodeExecTransport, "the machine did not take the signal").Because(err)
	case !sent:
		return notRunning()
	}
	return nil
}

// runs tells whether the act of a row may be running, here or on another replica.
func (g *Gateway) runs(row store.Activity) bool {
	if row.Status != sallyport.StatusRunning {
		return false
	}
	_, here := g.live.Find(row.ID)
	return here || row.Replica != g.Replica && g.Peers != nil
}

func notRunning() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeNotRunning, "the exec's command is not running")
}
