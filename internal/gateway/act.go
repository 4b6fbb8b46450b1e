package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/fairqueue"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// kind holds the properties that all acts of one kind share.
type kind struct {
	// rowType is the type of the kind's rows, one of sallyport's.
	rowType string
	// class is the class by which acts of this kind are counted.
	class store.Class
	// tried is how a refusal calls an act of this kind.
	tried string
	// rules say which principals may, all of them, and allowed, if it isn't nil, on which
	// workspaces.
	rules   []policy.Rule
	allowed func(store.Workspace) error
	// drain is how an act of this kind takes the end of the server.
	drain live.OnDrain
	// endsBelowTier is set for what ends when the workspace's tier is lowered below exec's.
	endsBelowTier bool
}

// actSpec is one act that a caller asks for.
type actSpec struct {
	kind
	// detail holds the row's fields that are known at the begin.
	detail audit.Detail
	// reserve sets aside what an act on the workspace needs, or refuses it; nil is for an act
	// that needs nothing.
	reserve func(store.Workspace) error
	// claim is what the act's idempotency key stands for; nil is an act without keys.
	claim func(store.Workspace) (*store.Claim, error)
	// announce is called when the server begins to end, with the time that is left for the
	// act; nil is nobody. It must not block.
	announce func(left time.Duration)
	// detached is what is kept of a detached exec.
	detached *store.Detached
	// recorded is called once, when the row is on disk; nil is nobody.
	recorded func(rowID string)
}

// act is one thing done on a workspace's machine, from the decision to its completed row:
// begin, durable, open, finish, close. Only what lies between open and finish differs from
// kind to kind.
type act struct {
	g      *Gateway
	by     Caller
	ws     store.Workspace
	call   *live.Call
	row    *audit.Pending
	quota  *store.Quota
	report *ActReport
	// start is the act's place among those that start; given back when it has started.
	start *fairqueue.Place
	// durable waits until the row is on disk: nothing may happen on the machine before it
	// has returned nil. It may be called more than once, and then returns the same.
	durable func() error
	// refused tells, after durable, that the store refused the row: there is none.
	refused  bool
	finished bool
	untrack  func()
}

// begin finds the workspace within the caller's tenant, decides, admits, and sends the
// row on its way: all that must hold before an act, in the contract's order. What it
// refuses leaves no row of the act. The returned context ends with its cause when the act
// is to end; the caller calls close, whatever happens.
func (g *Gateway) begin(ctx context.Context, by Caller, ref Ref, spec actSpec) (context.Context, *act, error) {
	a := &act{g: g, by: by, report: &ActReport{Type: spec.rowType, Began: time.Now()}}
	err := a.decide(ctx, ref, spec.kind)
	if err != nil {
		g.tell(ctx, a.report, err)
		return ctx, nil, err
	}
	a.call = &live.Call{OrgID: a.ws.OrgID, WorkspaceID: a.ws.ID, By: by.Principal, Class: spec.class, OnDrain: spec.drain, Acts: true, EndsBelowTier: spec.endsBelowTier, Announce: spec.announce}
	acting, untrack := g.live.Track(ctx, a.call)
	a.untrack = untrack
	if err := a.admit(acting, spec); err != nil {
		a.start.Release()
		untrack()
		g.tell(ctx, a.report, err)
		return ctx, nil, err
	}
	return acting, a, nil
}

// decide finds the workspace, and says whether the caller may do this on it.
func (a *act) decide(ctx context.Context, ref Ref, k kind) (err error) {
	if a.ws, err = a.g.Access.CachedWorkspace(ctx, a.by, ref); err != nil {
		return err
	}
	a.report.OrgID, a.report.WorkspaceID = a.ws.OrgID, a.ws.ID
	for _, rule := range k.rules {
		if err := a.g.Access.Check(ctx, a.by, rule, &a.ws, k.tried); err != nil {
			return err
		}
	}
	if err := hasHost(a.ws); err != nil {
		return err
	}
	if k.allowed == nil {
		return nil
	}
	return a.g.Access.Refuse(ctx, a.by, k.allowed(a.ws), &a.ws, k.tried)
}

// hasHost returns workspace_has_no_host for a workspace without a connector.
func hasHost(ws store.Workspace) error {
	if ws.Connector == nil {
		return sallyport.Errorf(sallyport.CodeWorkspaceHasNoHost,
			"workspace %s has no host to run commands on: give it a connector first", ws.Name)
	}
	return nil
}

// admit waits for the act's turn, looks again at the token and the workspace of an act that
// is tracked now, takes what the limits leave for it, and begins its row.
func (a *act) admit(ctx context.Context, spec actSpec) (err error) {
	a.start, _ = a.g.Starts.Take(ctx, a.ws.OrgID) // fails with ctx alone, which is looked at below
	err = a.stillMay(ctx, spec.kind)
	if cause := context.Cause(ctx); ctx.Err() != nil { // ended before anything was dispatched: no row
		if sallyport.CodeOf(cause) == sallyport.CodeInterrupted {
			return notBegun(cause)
		}
		return canceledBy(cause)
	}
	if err != nil {
		return err
	}
	a.report.authorized(a.ws)
	if a.quota, err = a.g.quota(ctx, spec.class, a.ws); err != nil {
		return err
	}
	if spec.reserve != nil {
		if err := spec.reserve(a.ws); err != nil {
			return err
		}
	}
	var claim *store.Claim
	if spec.claim != nil {
		if claim, err = spec.claim(a.ws); err != nil {
			return err
		}
	}
	a.begin(ctx, spec, claim)
	return nil
}

// stillMay looks again at the token and the workspace of the act, and at its tier where the
// act ends below one.
func (a *act) stillMay(ctx context.Context, k kind) error {
	now, err := a.g.stillMay(ctx, a.by, &a.ws)
	if err != nil || !k.endsBelowTier {
		return err
	}
	return a.g.Access.Refuse(ctx, a.by, policy.HostExec(now), &a.ws, k.tried)
}

// begin sends the act's row on its way.
func (a *act) begin(ctx context.Context, spec actSpec, claim *store.Claim) {
	a.row = a.g.Audit.Begin(audit.Act{
		By: a.by.Principal, ClientAddr: a.by.Addr, OrgID: a.ws.OrgID, WorkspaceID: a.ws.ID,
		Replica: a.g.Replica, Class: spec.class, Claim: claim, Quota: a.quota, Detail: spec.detail, Detached: spec.detached,
	})
	a.report.RowID = a.row.ID()
	a.durable = sync.OnceValue(func() error { return a.awaitRow(ctx, spec.recorded) })
}

func (a *act) awaitRow(ctx context.Context, recorded func(rowID string)) error {
	if err := a.row.Durable(ctx); err != nil {
		if refusal := refusedRow(a.call.Class, err, a.quota); refusal != nil {
			a.refused = true
			return refusal
		}
		return err
	}
	a.report.Recorded = time.Now()
	a.g.live.Count(a.call.Class, a.ws, 1)
	if recorded != nil {
		recorded(a.row.ID())
	}
	return nil
}

// open opens a session on the workspace's machine, by the act's own caller. need is how
// long it will be used.
func (a *act) open(ctx context.Context, need time.Duration) (*sshpool.Session, error) {
	session, err := a.g.Pool.Open(ctx, target(a.ws), a.g.need(a.by, a.ws, a.row.ID(), need))
	if err != nil {
		return nil, fmt.Errorf("reach workspace %s: %w", a.ws.ID, err)
	}
	a.report.Reached, a.report.Warm = time.Now(), session.Warm
	return session, nil
}

// gate lets the act happen: when its row is on disk, and still nobody else's to close.
func (a *act) gate() error {
	if err := a.durable(); err != nil {
		return err
	}
	if a.g.Holds != nil && !a.g.Holds() {
		return notBegun(nil)
	}
	if !a.onOwnHost() {
		a.start.Release() // what is left to do is another machine's
	}
	return nil
}

// onOwnHost tells whether what the act starts takes this server's own processors.
func (a *act) onOwnHost() bool { return a.ws.Connector.Type == sallyport.ConnectorLocal }

// runs registers the running process, so that it can be signalled while the act lasts, and
// lets the next act start.
func (a *act) runs(h live.Handle) {
	a.g.live.Handle(a.call, a.row.ID(), h)
	a.start.Release()
}

// finish completes the row, once. Its error is the reason why it could not.
func (a *act) finish(end audit.End) error {
	if a.finished || a.refused {
		return nil
	}
	a.finished = true
	if !a.report.Recorded.IsZero() {
		a.g.live.Count(a.call.Class, a.ws, -1)
	}
	a.report.ended(end)
	return a.row.Finish(end)
}

// leave lets the act go on without us: its row stays open.
func (a *act) leave() {
	a.finished = true
	a.g.live.Count(a.call.Class, a.ws, -1)
}

// close ends the act that begin began, and reports it. err is the caller's answer.
// A row that is still open then, after a panic, is completed as an error.
func (a *act) close(ctx context.Context, err error) {
	if !a.finished {
		_ = a.finish(audit.End{Status: sallyport.StatusError, Code: sallyport.CodeInternal})
	}
	a.start.Release()
	a.untrack()
	a.g.tell(ctx, a.report, err)
}

// refusedRow is the answer to an act whose row the store refused: err, of the row, says
// that there is none. It is nil where there is a row, or where nobody knows but the log,
// which completes what may have come of it.
func refusedRow(class store.Class, err error, quota *store.Quota) error {
	if over, ok := errors.AsType[*audit.TooManyError](err); ok {
		return tooMany(class, over.Verdict, *quota)
	}
	if taken, ok := errors.AsType[*audit.KeyTakenError](err); ok {
		return keyTaken(taken.Taken)
	}
	if sallyport.CodeOf(err) == sallyport.CodePlatformUnavailable {
		return err
	}
	return nil
}
