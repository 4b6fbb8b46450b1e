package gateway

import (
	"context"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// quota is how many acts of a class may run at once on ws and in its organisation. It
// returns too_many_execs, or the class's own code, at once where this replica alone runs so
// many: a flood of them costs neither a commit nor a session. Else the row's own
// transaction decides.
func (g *Gateway) quota(ctx context.Context, class store.Class, ws store.Workspace) (*store.Quota, error) {
	if g.Limits == nil {
		return nil, nil
	}
	inForce, err := g.Limits.Of(ctx, ws.OrgID)
	if err != nil {
		return nil, unavailable(err)
	}
	quota := &store.Quota{OfWorkspace: inForce.RunningExecsPerWorkspace, OfOrg: inForce.RunningExecs}
	if class == store.ClassTransfer {
		*quota = store.Quota{OfWorkspace: g.RunningFiles.PerWorkspace, OfOrg: g.RunningFiles.PerOrg}
	}
	if over := g.live.tooMany(class, ws, *quota); over != store.WithinQuota {
		return nil, tooMany(class, over, *quota)
	}
	return quota, nil
}

// orgLimits returns the limits in force for an organisation; none where the gateway has
// none.
func (g *Gateway) orgLimits(ctx context.Context, orgID string) (sallyport.OrgLimits, error) {
	if g.Limits == nil {
		return sallyport.OrgLimits{}, nil
	}
	inForce, err := g.Limits.Of(ctx, orgID)
	if err != nil {
		return sallyport.OrgLimits{}, unavailable(err)
	}
	return inForce, nil
}

// RunningLimits bounds the acts of a class that run at once, on all replicas together.
type RunningLimits struct{ PerWorkspace, PerOrg int }

func tooMany(class store.Class, over store.QuotaVerdict, q store.Quota) *sallyport.Error {
	whose, most := "workspace", q.OfWorkspace
	if over == store.OrgFull {
		whose, most = "organisation", q.OfOrg
	}
	if class == store.ClassTransfer {
		return sallyport.Errorf(sallyport.CodeTooManyTransfers, "the %s has as many file operations on their way as it may at once, %d; try again when one has ended", whose, most)
	}
	return sallyport.Errorf(sallyport.CodeTooManyExecs, "the %s runs as many execs as it may at once, %d; try again when one has ended", whose, most)
}

// count counts n acts more whose rows are running. An act is taken off the count before
// its row is completed: those counted here are always among those that the store counts.
func (l *live) count(class store.Class, ws store.Workspace, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recorded == nil {
		l.recorded = map[counted]int{}
	}
	for _, id := range []string{ws.OrgID, ws.ID} {
		of := counted{class, id}
		if l.recorded[of] += n; l.recorded[of] == 0 {
			delete(l.recorded, of)
		}
	}
}

// counted is what is counted: the acts of a class, of an organisation or a workspace.
type counted struct {
	class store.Class
	id    string
}

// tooMany says whose acts of the class that run here would be too many with one more.
func (l *live) tooMany(class store.Class, ws store.Workspace, q store.Quota) store.QuotaVerdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.recorded[counted{class, ws.ID}] >= q.OfWorkspace:
		return store.WorkspaceFull
	case l.recorded[counted{class, ws.OrgID}] >= q.OfOrg:
		return store.OrgFull
	}
	return store.WithinQuota
}
