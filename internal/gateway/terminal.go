package gateway

import (
	"context"
	"errors"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/remote"
	"sallyport/internal/store"
)

// Terminal is a program at a PTY. It has been checked against the contract.
type Terminal struct {
	// Argv is empty for the user's login shell.
	Argv []string
	Env  []Var
	Cwd  string
	// Cols and Rows are the size in characters.
	Cols, Rows int
	// TimeoutS and IdleTimeoutS are those in force, in seconds.
	TimeoutS, IdleTimeoutS int
	// Record asks for a recording.
	Record bool
}

// TerminalClient is one connection of a terminal's client, or of somebody who watches.
type TerminalClient interface {
	// Receive waits for what the client sends next, bytes into p. It returns ErrClientLeft
	// where the client has left for good, a *sallyport.Error for what it may not send, and
	// any other error where the connection is lost. It returns at once after End and Abort.
	Receive(p []byte) (TerminalInput, error)
	// Write sends output, and Tell a control frame, one of sallyport's. They are called from
	// one goroutine.
	Write(p []byte) (int, error)
	Tell(frame any) error
	// End sends a last frame, an exit or an error, and closes the connection. It is called
	// once, and tells whether the other side has taken the frame.
	End(exit *sallyport.TerminalExit, why error) (taken bool)
	// Abort breaks the connection off. It may be called beside all others, and more than once.
	Abort()
}

// TerminalInput is what a terminal's client has sent: one of the fields is set.
type TerminalInput struct {
	// Bytes is how many were typed.
	Bytes  int
	Resize *sallyport.TerminalResize
	Signal string
	// Ack is how much of the output has been dealt with.
	Ack *int64
}

// ErrClientLeft is a terminal's client that hangs up.
var ErrClientLeft = errors.New("the client has left")

// MayTerminal decides whether the caller may begin a terminal, or watch one, and does nothing
// else. It returns the codes of Terminal, as far as they are known before the client has said
// what it wants.
func (g *Gateway) MayTerminal(ctx context.Context, by Caller, ref Ref) error {
	k := g.terminalKind()
	if g.Access.Rules.WatchTerminal.Check(by.Principal) == nil {
		k.rules = nil
	}
	a := &act{g: g, by: by, report: &ActReport{}}
	return a.decide(ctx, ref, k)
}

func (g *Gateway) terminalKind() kind {
	return kind{
		rowType: sallyport.ActivityTerminal, class: store.ClassTerminal, tried: "terminal", rules: []policy.Rule{g.Access.Rules.Terminal},
		allowed: policy.HostExec, drain: live.Waits, endsBelowTier: true,
	}
}

// CheckTerminal returns scope_forbidden for a caller who may start and resume no terminals.
func (g *Gateway) CheckTerminal(ctx context.Context, by Caller, ref Ref) error {
	ws, err := g.Access.CachedWorkspace(ctx, by, ref)
	if err != nil {
		return err
	}
	return g.Access.Check(ctx, by, g.Access.Rules.Terminal, &ws, "terminal")
}

// Terminal runs a program at a PTY, and leaves one row. client is its first connection, which
// Terminal ends; others may come (ResumeTerminal) when it is lost. Terminal returns when the
// row is complete and a client has taken the last frame, or none has come for it. Its error,
// for the log, is a refusal, or why the program did not end by itself.
func (g *Gateway) Terminal(ctx context.Context, by Caller, ref Ref, t Terminal, client TerminalClient) (err error) {
	run := newTerminalRun(g, t)
	ctx, a, err := g.begin(ctx, by, ref, g.terminalSpec(t, run))
	if err != nil {
		client.End(nil, err)
		return err
	}
	defer func() { a.close(ctx, err) }()
	run.act = a
	run.ctx, run.end = context.WithCancelCause(ctx)
	defer run.end(nil)
	defer func() { run.closeRecording(sallyport.StatusError) }()

	outcome, err := run.do(run.ctx, client)
	a.report.Ended = time.Now()
	if notOnDisk := a.durable(); notOnDisk != nil {
		err = notOnDisk
	}
	if a.refused {
		client.End(nil, err)
		close(run.over)
		return err
	}
	end, exit, err := run.conclude(outcome, err)
	run.closeRecording(end.Status)
	if notKept := a.finish(end); notKept != nil {
		exit, err = nil, notKept
	}
	close(run.over)
	if !run.started() {
		client.End(nil, err)
		return err
	}
	run.deliver(exit, err)
	return err
}

func (g *Gateway) terminalSpec(t Terminal, run *terminalRun) actSpec {
	detail := &audit.Terminal{Argv: t.Argv, Cwd: t.Cwd, EnvNames: envNames(t.Env), TimeoutS: t.TimeoutS}
	return actSpec{
		kind: g.terminalKind(), detail: detail, announce: run.announce,
		reserve: func(ws store.Workspace) error {
			if detail.Recorded = t.Record || ws.RecordTerminals; !detail.Recorded {
				return nil
			}
			run.recorded = detail
			return g.Recordings.Check(ws.OrgID)
		},
	}
}

// do starts the program, and waits for its end and that of its output.
func (r *terminalRun) do(ctx context.Context, client TerminalClient) (remote.Outcome, error) {
	a := r.act
	connectBy := time.Now().Add(a.g.ConnectTime)
	connectCtx, cancel := context.WithDeadline(ctx, connectBy)
	defer cancel()
	for attempt := 1; ; attempt++ {
		session, err := a.open(connectCtx, time.Duration(r.spec.TimeoutS)*time.Second)
		if err != nil {
			return remote.Outcome{}, err
		}
		if left := session.Left(); left > 0 { // its end takes some of it, too
			r.spec.TimeoutS = max(1, min(r.spec.TimeoutS, int((left-limits.ConnectionSpare).Seconds())))
		}
		process, err := remote.Start(ctx, session, r.command(connectBy, client))
		if err == nil {
			return process.Wait(), nil
		}
		if attempt == execAttempts || !remote.MayRetry(err) || connectCtx.Err() != nil {
			return remote.Outcome{}, err
		}
	}
}

func (r *terminalRun) command(connectBy time.Time, client TerminalClient) remote.Command {
	a := r.act
	return remote.Command{
		Argv: r.spec.Argv, Env: r.spec.Env, Dir: r.spec.Cwd, ExecID: a.row.ID(),
		PTY:     &remote.PTY{Term: termOf(r.spec.Env), Cols: r.spec.Cols, Rows: r.spec.Rows},
		Timeout: time.Duration(r.spec.TimeoutS) * time.Second, ConnectBy: connectBy, OutputGrace: limits.TerminalExitGrace, EndTime: a.g.EndTime,
		Gate: r.gate, Stdout: r, Stderr: r,
		Started: func(p remote.Process) {
			a.report.Started = time.Now()
			r.start(p, client)
			a.runs(r)
		},
	}
}

// gate lets the program start: when its row is on disk, and its recording has begun.
func (r *terminalRun) gate() error {
	if err := r.act.gate(); err != nil {
		return err
	}
	return r.beginRecording()
}

// termOf is the terminal's type.
func termOf(env []Var) string {
	for _, v := range env {
		if v.Name == "TERM" {
			return v.Value
		}
	}
	return sallyport.TerminalTypeDefault
}

// Signal implements live.Handle: whatever the signal, the terminal ends by force, and its row
// is complete when Signal returns.
func (r *terminalRun) Signal(ctx context.Context, _ string) (sent bool, err error) {
	select {
	case <-r.over: // its last frame waits for a client
		return false, nil
	default:
	}
	r.end(sallyport.Errorf(sallyport.CodeKilled, "somebody ended the terminal"))
	select {
	case <-r.over:
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
