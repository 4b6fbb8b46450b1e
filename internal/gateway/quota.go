package gateway

import (
	"context"
	"errors"

	"sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/store"
)

// quota is how many execs may run at once on ws and in its organisation. It returns
// too_many_execs at once where this replica alone runs so many: a flood of them costs
// neither a commit nor a session. Else the row's own transaction decides.
func (g *Gateway) quota(ctx context.Context, ws store.Workspace) (*store.Quota, error) {
	if g.Limits == nil {
		return nil, nil
	}
	inForce, err := g.Limits.Of(ctx, ws.OrgID)
	if err != nil {
		return nil, unavailable(err)
	}
	quota := &store.Quota{OfWorkspace: inForce.RunningExecsPerWorkspace, OfOrg: inForce.RunningExecs}
	if over := g.running.tooMany(ws, *quota); over != store.QuotaKept {
		return nil, tooManyExecs(over, *quota)
	}
	return quota, nil
}

// admit is the last check before an exec's row, and what the row's transaction checks.
func (g *Gateway) admit(ctx context.Context, ws store.Workspace, e Exec, out ExecOutput) (*store.Quota, *store.Claim, error) {
	quota, err := g.quota(ctx, ws)
	if err != nil {
		return nil, nil, err
	}
	if out.Reserve != nil {
		if err := out.Reserve(ws.OrgID); err != nil {
			return nil, nil, err
		}
	}
	claim, err := g.claim(ws, e)
	return quota, claim, err
}

func tooManyExecs(over store.QuotaOver, q store.Quota) *sallyport.Error {
	whose, most := "workspace", q.OfWorkspace
	if over == store.QuotaOfOrg {
		whose, most = "organisation", q.OfOrg
	}
	return sallyport.Errorf(sallyport.CodeTooManyExecs, "the %s runs as many execs as it may at once, %d; try again when one has ended", whose, most)
}

// refusedRow is what is answered to an exec of which err, of its row, says that there is
// none; nil where there is, or err is none. It is platform_unavailable where nobody knows:
// the log sees to what may have come of it.
func refusedRow(err error, quota *store.Quota) error {
	if over, ok := errors.AsType[*audit.TooManyError](err); ok {
		return tooManyExecs(over.Over, *quota)
	}
	if taken, ok := errors.AsType[*audit.KeyTakenError](err); ok {
		return keyTaken(taken.Taken)
	}
	if sallyport.CodeOf(err) == sallyport.CodePlatformUnavailable {
		return err
	}
	return nil
}

// record counts n execs more whose rows are running. An exec is taken off the count before
// its row is completed: those counted here are always among those that the store counts.
func (r *running) record(ws store.Workspace, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recorded == nil {
		r.recorded = map[string]int{}
	}
	for _, id := range []string{ws.OrgID, ws.ID} {
		if r.recorded[id] += n; r.recorded[id] == 0 {
			delete(r.recorded, id)
		}
	}
}

// tooMany says whose execs that run here would be too many with one more.
func (r *running) tooMany(ws store.Workspace, q store.Quota) store.QuotaOver {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.recorded[ws.ID] >= q.OfWorkspace:
		return store.QuotaOfWorkspace
	case r.recorded[ws.OrgID] >= q.OfOrg:
		return store.QuotaOfOrg
	}
	return store.QuotaKept
}
