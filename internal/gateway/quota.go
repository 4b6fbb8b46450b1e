package gateway

import (
	"context"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// quota is how many acts of a class may run at once on ws and in its organisation. It
// returns too_many_execs, or the class's own code, at once where this replica alone runs so
// many: a flood of them costs neither a commit nor a session. Else the row's own
// transaction decides.
func (g *Gateway) quota(ctx context.Context, class store.Class, ws store.Workspace) (*store.Quota, error) {
	if g.Access.Limits == nil || class == store.ClassNone {
		return nil, nil
	}
	inForce, err := g.Access.OrgLimits(ctx, ws.OrgID)
	if err != nil {
		return nil, err
	}
	quota := &store.Quota{OfWorkspace: inForce.RunningExecsPerWorkspace, OfOrg: inForce.RunningExecs}
	switch class {
	case store.ClassDetached:
		*quota = store.Quota{OfWorkspace: limits.DetachedExecsPerWorkspace, OfOrg: limits.DetachedExecs}
	case store.ClassStream:
		*quota = store.Quota{OfWorkspace: inForce.RunningForwardsPerWorkspace, OfOrg: inForce.RunningForwards}
	case store.ClassTerminal:
		*quota = store.Quota{OfWorkspace: inForce.RunningTerminalsPerWorkspace, OfOrg: inForce.RunningTerminals}
	case store.ClassTransfer:
		*quota = store.Quota{OfWorkspace: g.RunningFiles.PerWorkspace, OfOrg: g.RunningFiles.PerOrg}
	}
	if over := g.live.OverQuota(class, ws, *quota); over != store.WithinQuota {
		return nil, tooMany(class, over, *quota)
	}
	return quota, nil
}

// RunningLimits bounds the acts of a class that run at once, on all replicas together.
type RunningLimits struct{ PerWorkspace, PerOrg int }

func tooMany(class store.Class, over store.QuotaVerdict, q store.Quota) *sallyport.Error {
	whose, most := "workspace", q.OfWorkspace
	if over == store.OrgFull {
		whose, most = "organisation", q.OfOrg
	}
	switch class {
	case store.ClassDetached:
		return sallyport.Errorf(sallyport.CodeTooManyExecs, "the %s has as many detached execs as it may at once, %d; try again when one has ended", whose, most).WithReason(sallyport.ReasonDetached)
	case store.ClassStream:
		return sallyport.Errorf(sallyport.CodeTooManyForwards, "the %s has as many forwards open as it may at once, %d; try again when one has ended", whose, most)
	case store.ClassTerminal:
		return sallyport.Errorf(sallyport.CodeTooManyTerminals, "the %s has as many terminals as it may at once, %d; try again when one has ended", whose, most)
	case store.ClassTransfer:
		return sallyport.Errorf(sallyport.CodeTooManyTransfers, "the %s has as many file operations on their way as it may at once, %d; try again when one has ended", whose, most)
	}
	return sallyport.Errorf(sallyport.CodeTooManyExecs, "the %s runs as many execs as it may at once, %d; try again when one has ended", whose, most)
}
