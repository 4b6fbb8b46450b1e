package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/policy"
	"sallyport/internal/remote"
	"sallyport/internal/store"
)

// Var is one variable of a command's environment.
type Var = remote.Var

// Exec is one argv to run on a workspace. It has been checked against the
// contract: what is left to decide is who may, and how it goes.
type Exec struct {
	Argv  []string
	Env   []Var
	Cwd   string
	Stdin []byte
	// TimeoutS is the time-out in force, in seconds.
	TimeoutS int
	// MaxOutputBytes is the cap in force; it is the output's to apply, and told
	// here for the row.
	MaxOutputBytes int64
	// Stream says how the caller wants its output; it is told here for what an
	// idempotency key stands for.
	Stream bool
	// IdempotencyKey keeps the exec from running twice; empty is none.
	IdempotencyKey string
}

// ExecOutput is where an exec tells what happens.
type ExecOutput struct {
	// Reserve sets memory aside that the output will take, for the organisation that it is
	// of, or refuses the exec: it is called last before the row. Nil is for output that
	// isn't kept.
	Reserve func(orgID string) error
	// Dispatched is called once the exec's row is on disk, with the row's id, before
	// the command starts.
	Dispatched func(execID string)
	// Started is called when the command has started, before its first output.
	Started func()
	// Stdout and Stderr: see remote.Command.
	Stdout, Stderr io.Writer
}

// Exec runs an argv on a workspace, and leaves one row. It returns when the
// command has ended and its row is complete. The command's own failure is a
// result; a *sallyport.Error is a refusal, or what kept us from carrying it
// through: the codes of the exec contract.
func (g *Gateway) Exec(ctx context.Context, by Caller, ref Ref, e Exec, out ExecOutput) (result sallyport.ExecResult, err error) {
	report := &ExecReport{Began: time.Now()}
	defer func(ctx context.Context) { g.report(ctx, report, err) }(ctx)
	ws, err := g.execWorkspace(ctx, by, ref)
	report.OrgID, report.WorkspaceID = ws.OrgID, ws.ID
	if err != nil {
		return sallyport.ExecResult{}, err
	}
	ctx, untrack := g.track(ctx, runningCall{orgID: ws.OrgID, workspaceID: ws.ID, by: by.Principal})
	defer untrack()
	err = g.stillMay(ctx, by, &ws)
	if ctx.Err() != nil { // ended before anything was dispatched: no row
		return sallyport.ExecResult{}, canceledBy(context.Cause(ctx))
	}
	if err != nil {
		return sallyport.ExecResult{}, err
	}
	report.authorized(ws)
	quota, claim, err := g.admit(ctx, ws, e, out)
	if err != nil {
		return sallyport.ExecResult{}, err
	}

	row := g.Audit.Begin(audit.Exec{
		By: by.Principal, ClientAddr: by.Addr, OrgID: ws.OrgID, WorkspaceID: ws.ID,
		Argv: e.Argv, Cwd: e.Cwd, EnvNames: envNames(e.Env), StdinBytes: int64(len(e.Stdin)), TimeoutS: e.TimeoutS,
		Replica: g.Replica, Claim: claim, Quota: quota,
	})
	report.ExecID = row.ID()
	defer g.running.forget(row.ID())
	durable := sync.OnceValue(func() error {
		err := row.Durable(ctx)
		if err == nil {
			report.Recorded = time.Now()
			g.running.record(ws, 1)
			out.Dispatched(row.ID())
		}
		return err
	})
	finish := func(end audit.ExecEnd) error {
		if !report.Recorded.IsZero() {
			g.running.record(ws, -1)
		}
		report.ended(end)
		return row.Finish(end)
	}
	finished := false
	defer func() {
		if !finished { // a panic: the row must not stay open
			_ = finish(audit.ExecEnd{Status: sallyport.StatusError, Code: sallyport.CodeInternal})
		}
	}()
	outcome, err := g.run(ctx, by, ws, e, out, durable, report)
	finished = true
	if notOnDisk := durable(); notOnDisk != nil {
		if refused := refusedRow(notOnDisk, quota); refused != nil {
			return sallyport.ExecResult{}, refused
		}
		err = notOnDisk
	}
	end, result, err := conclude(e, outcome, err)
	end.NothingRan = nothingRan(err)
	if notKept := finish(end); notKept != nil {
		return sallyport.ExecResult{}, notKept
	}
	return result, err
}

// execWorkspace finds the workspace and decides, in the contract's order.
func (g *Gateway) execWorkspace(ctx context.Context, by Caller, ref Ref) (store.Workspace, error) {
	ws, err := g.workspace(ctx, by, ref)
	if err != nil {
		return ws, err
	}
	const tried = "exec"
	if err := g.check(ctx, by, g.Rules.Exec, &ws, tried); err != nil {
		return ws, err
	}
	if ws.Connector == nil {
		return ws, sallyport.Errorf(sallyport.CodeWorkspaceHasNoHost,
			"workspace %s has no host to run commands on: give it a connector first", ws.Name)
	}
	return ws, g.refuse(ctx, by, policy.HostExec(ws), &ws, tried)
}

// run reaches the machine while the row goes to disk, and runs the command when
// both are done. With a key the row comes first: nobody is reached for what may have
// run already.
func (g *Gateway) run(ctx context.Context, by Caller, ws store.Workspace, e Exec, out ExecOutput, durable func() error, report *ExecReport) (remote.Outcome, error) {
	defer func() { report.Ended = time.Now() }()
	if e.IdempotencyKey != "" {
		if err := durable(); err != nil {
			return remote.Outcome{}, err
		}
	}
	connectBy := time.Now().Add(g.ConnectTime)
	connectCtx, cancel := context.WithDeadline(ctx, connectBy)
	defer cancel()
	target := g.target(by, ws, report.ExecID)
	target.Need = time.Duration(e.TimeoutS) * time.Second
	for try := 1; ; try++ {
		session, err := g.Pool.Open(connectCtx, target)
		if err != nil {
			return remote.Outcome{}, fmt.Errorf("reach workspace %s: %w", ws.ID, err)
		}
		report.Reached, report.Warm = time.Now(), session.Warm
		outcome, err := remote.Exec(ctx, session, remote.Command{
			Argv: e.Argv, Env: e.Env, Dir: e.Cwd, Stdin: e.Stdin, ExecID: report.ExecID,
			Timeout: time.Duration(e.TimeoutS) * time.Second, ConnectBy: connectBy, OutputGrace: g.OutputGrace,
			Gate: func() error { return g.gate(durable) }, Stdout: out.Stdout, Stderr: out.Stderr,
			Started: func(p remote.Process) {
				report.Started = time.Now()
				g.running.started(report.ExecID, p)
				out.Started()
			},
		})
		// A warm connection may turn out to be none: the command, of which nothing was
		// sent, goes over another one.
		if try == execTries || !remote.MayRetry(err) || connectCtx.Err() != nil {
			return outcome, err
		}
		g.Log.InfoContext(ctx, "exec begun again: its connection broke before it was sent", "exec_id", report.ExecID, "cause", err)
	}
}

// gate lets a command start: when its row is on disk, and still nobody else's to close.
func (g *Gateway) gate(durable func() error) error {
	if err := durable(); err != nil {
		return err
	}
	if g.Holds != nil && !g.Holds() {
		return interrupted()
	}
	return nil
}

// execTries is over how many connections an exec is tried of which nothing was sent.
const execTries = 3

// conclude says what became of an exec: in its row, and to its caller. err is
// that of a command that didn't start.
func conclude(e Exec, o remote.Outcome, err error) (audit.ExecEnd, sallyport.ExecResult, error) {
	end := audit.ExecEnd{
		Ran: err == nil, Duration: o.Duration, StdoutBytes: o.StdoutBytes, StderrBytes: o.StderrBytes,
		StdoutTruncated: o.StdoutBytes > e.MaxOutputBytes, StderrTruncated: o.StderrBytes > e.MaxOutputBytes,
	}
	if o.Survivors.Known {
		end.Survivors = &o.Survivors.Count
	}
	end.SurvivorsUnknown = o.Survivors.Forced && !o.Survivors.Known
	switch {
	case err != nil:
		return concludeFailed(end, err)
	case o.End == remote.Exited:
		return concludeExited(end, o)
	case o.End == remote.TimedOut:
		end.Status = sallyport.StatusTimeout
		passed := sallyport.Errorf(sallyport.CodeExecTimeout, "the command was ended: it took longer than its time-out of %d s", e.TimeoutS)
		passed.TimeoutS = e.TimeoutS
		return concludeError(end, passed)
	case o.End == remote.Lost:
		end.Status = sallyport.StatusError
		return concludeError(end, lost(o.Cause))
	case o.End == remote.Canceled && !isInternal(o.Cause):
		return concludeCanceled(end, canceledBy(o.Cause).WithStarted(true))
	}
	end.Status = sallyport.StatusError
	var known *sallyport.Error
	if !errors.As(o.Cause, &known) {
		return end, sallyport.ExecResult{}, fmt.Errorf("exec ended for no reason: %w", o.Cause)
	}
	return concludeError(end, known.WithStarted(true))
}

func concludeExited(end audit.ExecEnd, o remote.Outcome) (audit.ExecEnd, sallyport.ExecResult, error) {
	end.Status, end.ExitCode, end.Signal = sallyport.StatusOK, &o.ExitCode, o.Signal
	if o.ExitCode != 0 || o.Signal != "" {
		end.Status = sallyport.StatusError
	}
	return end, sallyport.ExecResult{
		ExitCode: o.ExitCode, Signal: o.Signal, OutputOpen: o.OutputOpen, DurationMS: o.Duration.Milliseconds(),
	}, nil
}

// concludeFailed is the end of a command that did not start, or of which nobody
// knows.
func concludeFailed(end audit.ExecEnd, err error) (audit.ExecEnd, sallyport.ExecResult, error) {
	var known *sallyport.Error
	isKnown := errors.As(err, &known)
	if errors.Is(err, context.Canceled) || (isKnown && endsCalls(known.Code)) {
		return concludeCanceled(end, canceledBy(err).WithStarted(false))
	}
	end.Status = sallyport.StatusError
	if !isKnown {
		end.Code = sallyport.CodeInternal
		return end, sallyport.ExecResult{}, err
	}
	if known.Started == nil && known.Code != sallyport.CodeTooManyExecs {
		known = known.WithStarted(false)
	}
	return concludeError(end, known)
}

// concludeError tells the row what the caller is told.
func concludeError(end audit.ExecEnd, err *sallyport.Error) (audit.ExecEnd, sallyport.ExecResult, error) {
	end.Code, end.Reason = err.Code, err.Reason
	return end, sallyport.ExecResult{}, err
}

// concludeCanceled is the end of an exec that its caller canceled, or we for a
// reason that the row tells.
func concludeCanceled(end audit.ExecEnd, err *sallyport.Error) (audit.ExecEnd, sallyport.ExecResult, error) {
	end.Status = sallyport.StatusCanceled
	if err.Code != sallyport.CodeCanceled {
		end.Reason = string(err.Code)
	}
	return end, sallyport.ExecResult{}, err
}

// lost is what a caller is told of a command whose connection broke: the machine's way of
// breaking off, where that is known, or that it ran.
func lost(cause error) *sallyport.Error {
	var known *sallyport.Error
	if errors.As(cause, &known) {
		return known.WithStarted(true)
	}
	return sallyport.Errorf(sallyport.CodeExecTransport, "the connection to the machine broke while the command ran").WithStarted(true).Because(cause)
}

func isInternal(err error) bool {
	var known *sallyport.Error
	return errors.As(err, &known) && known.Code == sallyport.CodeInternal
}

// canceledBy says who ended an exec: the server, whose reason is in the chain, or
// the caller.
func canceledBy(cause error) *sallyport.Error {
	var known *sallyport.Error
	if errors.As(cause, &known) && endsCalls(known.Code) {
		return known
	}
	return sallyport.Errorf(sallyport.CodeCanceled, "the exec was canceled by its caller").Because(cause)
}

// endsCalls tells whether code is a reason of ours for ending a running call.
func endsCalls(code sallyport.Code) bool {
	return slices.Contains([]sallyport.Code{sallyport.CodeDraining, sallyport.CodeRevoked, sallyport.CodeWorkspaceDeleted, sallyport.CodeInterrupted}, code)
}

func envNames(env []Var) []string {
	names := make([]string, 0, len(env))
	for _, v := range env {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	return names
}
