package gateway

import (
	"context"
	"io"
	"slices"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/live"
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
	// StreamedStdin is the stdin in place of Stdin; nil is Stdin. It is read as the command
	// takes it, and closed when nothing more is wanted. A Read that fails, but for io.EOF, is a
	// caller that has gone: the command is ended, and sees no end of file.
	StreamedStdin io.ReadCloser
	// TimeoutS is the time-out in force, in seconds.
	TimeoutS int
	// MaxOutputBytes is the cap in force; it is the output's to apply, and told
	// here for the row.
	MaxOutputBytes int64
	// Output is how much of each stream is wanted, in place of MaxOutputBytes; nil is that
	// cap.
	Output *sallyport.OutputSize
	// Stream says how the caller wants its output; it is told here for what an
	// idempotency key stands for.
	Stream bool
	// Detached is an exec that outlives its call, whose output is kept on the machine, at most
	// MaxOutputBytes of each stream, and KeepS seconds behind its end. It is begun by
	// StartDetached alone.
	Detached bool
	KeepS    int
	// IdempotencyKey keeps the exec from running twice; empty is none.
	IdempotencyKey string
}

// cut tells whether the caller isn't sent all of a stream of so many bytes.
func (e Exec) cut(n int64) bool {
	if e.Output != nil {
		return n > e.Output.Bytes()
	}
	return n > e.MaxOutputBytes
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
	// Running is called behind Started, with the command; nil is for a caller who doesn't send
	// it signals along with its stdin.
	Running func(Signaler)
	// Stdout and Stderr: see remote.Command.
	Stdout, Stderr io.Writer
}

// Signaler is a command that runs. It is safe for concurrent use.
type Signaler interface {
	// Signal sends a signal, one of sallyport.Signals, to the command's process group, and
	// tells whether anything was there to take it.
	Signal(ctx context.Context, name string) (sent bool, err error)
}

func (o ExecOutput) reserve(ws store.Workspace) error {
	if o.Reserve == nil {
		return nil
	}
	return o.Reserve(ws.OrgID)
}

// MayExec decides whether the caller may run a command, and does nothing else. It returns the
// codes of Exec, as far as they are known before what is to run is.
func (g *Gateway) MayExec(ctx context.Context, by Caller, ref Ref) error {
	a := &act{g: g, by: by, report: &ActReport{}}
	return a.decide(ctx, ref, g.execKind())
}

// Exec runs an argv on a workspace, and leaves one row. It returns when the
// command has ended and its row is complete. The command's own failure is a
// result; a *sallyport.Error is a refusal, or what kept us from carrying it
// through: the codes of the exec contract.
func (g *Gateway) Exec(ctx context.Context, by Caller, ref Ref, e Exec, out ExecOutput) (result sallyport.ExecResult, err error) {
	ctx, a, err := g.begin(ctx, by, ref, g.execSpec(e, out))
	if err != nil {
		return result, err
	}
	defer func() { a.close(ctx, err) }()
	feeding, feed := newStdinFeed(ctx, e.StreamedStdin)
	outcome, err := a.runCommand(feeding, e, out, feed)
	passed := feed.stop()
	if notOnDisk := a.durable(); notOnDisk != nil {
		err = notOnDisk
	}
	if a.refused {
		return result, err
	}
	end, result, err := concludeExec(e, outcome, passed, err)
	if notKept := a.finish(end); notKept != nil {
		return sallyport.ExecResult{}, notKept
	}
	return result, err
}

func (g *Gateway) execKind() kind {
	return kind{
		rowType: sallyport.ActivityExec, class: store.ClassExec, tried: "exec", rules: []policy.Rule{g.Access.Rules.Exec}, allowed: policy.HostExec, drain: live.Waits,
	}
}

func (g *Gateway) execSpec(e Exec, out ExecOutput) actSpec {
	return actSpec{
		kind: g.execKind(),
		detail: audit.Exec{
			Argv: e.Argv, Cwd: e.Cwd, EnvNames: envNames(e.Env), StdinBytes: int64(len(e.Stdin)), TimeoutS: e.TimeoutS,
		},
		reserve:  out.reserve,
		claim:    func(ws store.Workspace) (*store.Claim, error) { return g.claim(ws, e) },
		recorded: out.Dispatched,
	}
}

// runCommand reaches the machine while the row goes to disk, and runs the command when
// both are done. With a key the row comes first: no machine is reached for what may have
// run already.
func (a *act) runCommand(ctx context.Context, e Exec, out ExecOutput, feed *stdinFeed) (remote.Outcome, error) {
	defer func() { a.report.Ended = time.Now() }()
	if e.IdempotencyKey != "" {
		if err := a.durable(); err != nil {
			return remote.Outcome{}, err
		}
	}
	connectBy := time.Now().Add(a.g.ConnectTime)
	connectCtx, cancel := context.WithDeadline(ctx, connectBy)
	defer cancel()
	command := a.command(e, out, connectBy, feed)
	for attempt := 1; ; attempt++ {
		session, err := a.open(connectCtx, command.Timeout)
		if err != nil {
			return remote.Outcome{}, err
		}
		outcome, err := remote.Exec(ctx, session, command)
		// A warm connection may turn out to be broken: a command that has not been sent
		// goes over another one.
		if attempt == execAttempts || !remote.MayRetry(err) || connectCtx.Err() != nil {
			return outcome, err
		}
		a.g.Log.InfoContext(ctx, "exec begun again: its connection broke before it was sent", "exec_id", a.row.ID(), "cause", err)
	}
}

// execAttempts bounds the connections tried for an exec that has not been sent yet.
const execAttempts = 3

func (a *act) command(e Exec, out ExecOutput, connectBy time.Time, feed *stdinFeed) remote.Command {
	return remote.Command{
		Argv: e.Argv, Env: e.Env, Dir: e.Cwd, Stdin: e.Stdin, OpenStdin: feed != nil, ExecID: a.row.ID(),
		Timeout: time.Duration(e.TimeoutS) * time.Second, ConnectBy: connectBy, OutputGrace: a.g.OutputGrace, EndTime: a.g.EndTime,
		Gate: a.gate, Stdout: out.Stdout, Stderr: out.Stderr,
		Started: func(p remote.Process) {
			a.report.Started = time.Now()
			a.runs(p)
			out.Started()
			if out.Running != nil {
				out.Running(p)
			}
			feed.start(p)
		},
	}
}

func envNames(env []Var) []string {
	names := make([]string, 0, len(env))
	for _, v := range env {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	return names
}
