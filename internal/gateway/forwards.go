package gateway

import (
	"context"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
)

func (g *Gateway) forwardRecords() recordsOf {
	return recordsOf{rowType: sallyport.ActivityForward, rule: g.Access.Rules.Forward, one: "forward", many: "forwards"}
}

// ListForwards lists a workspace's forwards, running and ended, newest first; status, if it
// isn't empty, is that of all. It returns workspace_not_found, scope_forbidden or
// invalid_status.
func (g *Gateway) ListForwards(ctx context.Context, by Caller, ref Ref, status string, page PageRequest) (ActivityPage, error) {
	return g.listActs(ctx, by, ref, g.forwardRecords(), status, page)
}

// ForwardRow shows one of a workspace's forwards. It returns workspace_not_found,
// scope_forbidden or not_found.
func (g *Gateway) ForwardRow(ctx context.Context, by Caller, ref Ref, forwardID string) (sallyport.Activity, error) {
	_, row, err := g.actRow(ctx, by, ref, g.forwardRecords(), forwardID, "see a forward")
	return row.Activity, err
}

// EndForward ends a forward, on whichever replica it runs, and returns when its row is
// complete. It leaves a row of its own, which is on disk before. It returns
// workspace_not_found, scope_forbidden, not_found, not_running, or platform_unavailable where
// the replica does not answer.
func (g *Gateway) EndForward(ctx context.Context, by Caller, ref Ref, forwardID string) error {
	return g.endAct(ctx, by, ref, g.forwardRecords(), forwardID, func(row sallyport.Activity) audit.Event {
		return audit.Event{Type: sallyport.ActivityForwardKilled, Summary: "forward " + forwardID + " to " + row.Target + " ended"}
	})
}

// endAct ends an act that lasts, on whichever replica it runs, and returns when its row is
// complete. killed makes the row that it leaves, which is on disk before.
func (g *Gateway) endAct(ctx context.Context, by Caller, ref Ref, of recordsOf, rowID string, killed func(sallyport.Activity) audit.Event) error {
	ws, row, err := g.actRow(ctx, by, ref, of, rowID, "end a "+of.one)
	if err != nil {
		return err
	}
	notRunning := sallyport.Errorf(sallyport.CodeNotRunning, "the %s is not running", of.one)
	if !g.runs(row) {
		return notRunning
	}
	event := killed(row.Activity)
	event.By, event.ClientAddr, event.OrgID, event.WorkspaceID = by.Principal, by.Addr, ws.OrgID, ws.ID
	if err := g.Audit.Record(ctx, event); err != nil {
		return err
	}
	ended, err := g.signal(ctx, by, row.Replica, rowID, "KILL")
	switch {
	case err != nil:
		return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the server that has the %s does not answer; try again in a moment", of.one).Because(err)
	case !ended:
		return notRunning
	}
	return nil
}
