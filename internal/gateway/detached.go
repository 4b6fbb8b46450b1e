package gateway

import (
	"context"
	"errors"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/remote/detached"
	"sallyport/internal/store"
)

// StartDetached starts an exec that outlives its call, and leaves a row that stays running until
// the exec has ended: see WatchDetached. It returns the row when the command's process exists.
// A caller who goes away meanwhile doesn't stop it. With an idempotency key that was used for
// the same before it returns that exec's row, and began is false. dispatched is told of a row
// that is on disk. The errors are those of Exec, and spool_unavailable.
func (g *Gateway) StartDetached(ctx context.Context, by Caller, ref Ref, e Exec, dispatched func(execID string)) (row sallyport.Activity, began bool, err error) {
	acting, a, err := g.begin(ctx, by, ref, g.detachedSpec(by, e, dispatched))
	if err != nil {
		return row, false, err
	}
	defer func() { a.close(acting, err) }()
	if started := a.startDetached(acting, by, e); started != nil {
		return g.notStarted(ctx, a, started)
	}
	a.report.Started, a.report.Ended = time.Now(), time.Now()
	found, err := g.Activities.Activity(context.WithoutCancel(ctx), a.ws.OrgID, a.row.ID())
	if err != nil {
		return row, true, access.Unavailable(err)
	}
	return found.Activity, true, nil
}

func (g *Gateway) detachedSpec(by Caller, e Exec, dispatched func(execID string)) actSpec {
	return actSpec{
		kind: kind{
			rowType: sallyport.ActivityExec, class: store.ClassDetached, tried: "exec", rules: []policy.Rule{g.Access.Rules.Exec}, allowed: policy.HostExec, drain: live.Waits,
		},
		detail: audit.Exec{
			Argv: e.Argv, Cwd: e.Cwd, EnvNames: envNames(e.Env), StdinBytes: int64(len(e.Stdin)), TimeoutS: e.TimeoutS, Detached: true, KeepS: e.KeepS,
		},
		detached: &store.Detached{TokenID: by.TokenID, TokenWorkspaceID: by.WorkspaceID, MaxOutputBytes: e.MaxOutputBytes},
		claim:    func(ws store.Workspace) (*store.Claim, error) { return g.claim(ws, e) },
		recorded: dispatched,
	}
}

// notStarted is the answer for a start that failed. A key that stands for the same exec as
// before is answered with that one.
func (g *Gateway) notStarted(ctx context.Context, a *act, err error) (sallyport.Activity, bool, error) {
	if a.finished { // nobody knows whether it runs: the row stays open
		return sallyport.Activity{}, false, err
	}
	known, isKnown := errors.AsType[*sallyport.Error](err)
	if a.refused && isKnown && (known.Code == sallyport.CodeAlreadyRun || known.Code == sallyport.CodeRunning) {
		row, err := g.Activities.Activity(ctx, a.ws.OrgID, known.ExecID)
		if err != nil {
			return sallyport.Activity{}, false, access.Unavailable(err)
		}
		return g.seen(row), false, nil
	}
	if notOnDisk := a.durable(); notOnDisk != nil {
		err = notOnDisk
	}
	if a.refused {
		return sallyport.Activity{}, false, err
	}
	end, _, err := concludeFailed(err)
	end.NothingRan = nothingRan(err)
	if notKept := a.finish(end); notKept != nil {
		err = notKept
	}
	return sallyport.Activity{}, false, err
}

// startDetached starts the command, and has it watched from then on. Where nobody knows whether
// it has started it is watched, too, and its row stays open.
func (a *act) startDetached(ctx context.Context, by Caller, e Exec) error {
	if e.IdempotencyKey != "" {
		if err := a.durable(); err != nil {
			return err
		}
	}
	m := &detachedMachine{g: a.g, by: by, ws: a.ws, gate: a.gate}
	execs := detached.Execs{Machine: m}
	lasting, cancel := a.g.lasting(ctx)
	defer cancel()
	err := execs.Start(lasting, a.detachedCommand(e))
	if errors.Is(err, detached.ErrExists) { // ended before it started: no other start comes
		_ = execs.Remove(lasting, []string{a.row.ID()})
		return sallyport.Errorf(sallyport.CodeCanceled, "the exec was ended before it had started").WithStarted(false)
	}
	if err != nil && (!m.sent || startsNothing(err)) {
		return err
	}
	if err == nil {
		a.watchDetached(ctx, by, e, true)
		return nil
	}
	states, askErr := execs.Ask(lasting, []detached.Asked{{ID: a.row.ID(), Bury: true}})
	switch s, ok := states[a.row.ID()]; {
	case askErr == nil && ok && s.Phase == detached.NeverStarted:
		return err
	case askErr == nil && ok && (s.Phase == detached.Running || s.Phase == detached.Ended):
		a.watchDetached(ctx, by, e, true)
		return nil
	}
	a.watchDetached(ctx, by, e, false)
	return sallyport.Errorf(sallyport.CodeExecTransport, "the connection to the machine broke while the command was started; GET …/execs/%s tells whether it runs", a.row.ID()).Because(err)
}

// startsNothing tells of an error of a start whether nothing ran, and nothing will.
func startsNothing(err error) bool {
	known, isKnown := errors.AsType[*sallyport.Error](err)
	return isKnown && known.Started != nil && !*known.Started
}

// lasting is a context for what goes on when its caller has gone away. It ends when a machine has
// had time enough to answer, and at the end of the server, which waits for nobody's machine.
func (g *Gateway) lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	tooLong := sallyport.Errorf(sallyport.CodeExecTransport, "the machine did not answer in time")
	lasting, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), g.ConnectTime+limits.DetachedAskTime, tooLong)
	stop := context.AfterFunc(ctx, func() {
		if sallyport.CodeOf(context.Cause(ctx)) == sallyport.CodeDraining {
			cancel()
		}
	})
	return lasting, func() {
		stop()
		cancel()
	}
}

func (a *act) detachedCommand(e Exec) detached.Command {
	env := make([]detached.EnvVar, len(e.Env))
	for i, v := range e.Env {
		env[i] = detached.EnvVar{Name: v.Name, Value: v.Value}
	}
	return detached.Command{
		ID: a.row.ID(), Argv: e.Argv, Env: env, Cwd: e.Cwd, Stdin: e.Stdin,
		Timeout: time.Duration(e.TimeoutS) * time.Second, MaxOutputBytes: e.MaxOutputBytes,
	}
}

// watchDetached has the exec of the act watched, and leaves its row open. started tells that it is
// known to have started.
func (a *act) watchDetached(ctx context.Context, by Caller, e Exec, started bool) {
	a.leave()
	a.g.watchDetached(ctx, watchedExec{
		id: a.row.ID(), ws: a.ws, by: by.Principal, created: a.g.Now(), timeout: time.Duration(e.TimeoutS) * time.Second, seen: time.Now(), started: started,
	})
	if a.g.RevocationEpoch() != by.RevocationEpoch { // what was ended during the start didn't end it
		a.g.recheckDetached(context.WithoutCancel(ctx), by.Principal, a.ws)
	}
}
