package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// Exec runs cmd on s and closes s. It returns when the command has ended and its
// output has come, or when it has been ended, because cmd.Timeout passed or ctx
// was canceled.
//
// The error is for a command of which nothing ran, or of which it is not known
// whether it ran; it holds a *sallyport.Error that says which (Started), or the
// error of cmd.Gate, or the cause of ctx. What happened to a command that
// started is in the Outcome, with a nil error.
func Exec(ctx context.Context, s *sshpool.Session, cmd Command) (Outcome, error) {
	defer func() { _ = s.Close() }() // the command is over, or the connection is
	r := &run{s: s, cmd: cmd, wrapper: newWrapper(), exit: make(chan exit, 1), closed: make(chan struct{})}
	defer r.detach()
	if err := r.start(); err != nil {
		return Outcome{}, err
	}
	if err := r.awaitMark(ctx); err != nil {
		return Outcome{Survivors: r.survivors}, err
	}
	return r.await(ctx), nil
}

// run is one command on its way.
type run struct {
	s       *sshpool.Session
	cmd     Command
	wrapper wrapper

	stdout, stderr *pump
	exit           chan exit     // the exit status, once
	closed         chan struct{} // closed when the session's channel is

	began     time.Time
	group     string // the process group, from the mark
	survivors Survivors
}

// start asks for the shell, waits for the gate, and sends the header.
func (r *run) start() error {
	r.stdout = newPump(r.s, r.cmd.Stdout, r.wrapper.mark)
	r.stderr = newPump(r.s.Stderr(), r.cmd.Stderr, r.wrapper.mark)
	r.s.Go(r.readRequests)
	r.s.Go(r.stdout.run)
	r.s.Go(r.stderr.run)
	payload := ssh.Marshal(struct{ Command string }{r.wrapper.line()})
	if _, err := r.s.SendRequest("exec", false, payload); err != nil {
		return transportError("the connection to the machine broke before the command started", false, err)
	}
	if err := r.cmd.Gate(); err != nil {
		return err
	}
	r.s.Go(r.feed)
	return nil
}

// feed sends the header, the caller's stdin behind it, and the end of file. A
// command that ends without reading makes it fail, which is no fault.
func (r *run) feed() {
	header := r.wrapper.header(r.cmd)
	// One packet when it is small.
	if len(r.cmd.Stdin) < 16<<10 {
		header = append(header, r.cmd.Stdin...)
		_, _ = r.s.Write(header)
	} else if _, err := r.s.Write(header); err == nil {
		_, _ = r.s.Write(r.cmd.Stdin)
	}
	r.s.CloseWrite()
}

// readRequests takes what the machine says of the command's end.
func (r *run) readRequests() {
	defer close(r.closed)
	for req := range r.s.Requests() {
		if e, ok := parseExit(req); ok {
			select {
			case r.exit <- e:
			default: // a second one means nothing
			}
		}
		if req.WantReply {
			req.Reply(false, nil)
		}
	}
}

// awaitMark waits for the proof that the command has started.
func (r *run) awaitMark(ctx context.Context) error {
	budget := time.NewTimer(time.Until(r.cmd.ConnectBy))
	defer budget.Stop()
	select {
	case <-r.stdout.marked:
		return r.readMark()
	case <-r.stdout.ended:
		return r.neverStarted()
	case <-ctx.Done():
		r.abandon(ctx)
		return context.Cause(ctx)
	case <-budget.C:
		started := r.abandon(ctx)
		return sallyport.Errorf(sallyport.CodeConnectTimeout, "the machine did not start the command in time").WithStarted(started)
	}
}

// readMark takes what the mark says, and lets the output flow.
func (r *run) readMark() error {
	word, group, _ := strings.Cut(r.stdout.said, " ")
	switch {
	case word == markNoDir:
		return sallyport.Errorf(sallyport.CodeInvalidCwd, "the directory %q can't be entered on the machine", r.cmd.Dir).WithStarted(false)
	case word != markStarted || !isGroup(group):
		return transportError("the machine did not start the command as it was told to", true, fmt.Errorf("mark %q", r.stdout.said))
	}
	r.began, r.group = time.Now(), group
	r.cmd.Started()
	r.stdout.release()
	r.stderr.release()
	return nil
}

// isGroup tells whether s is the number of a process group that may be ended:
// the far side is not to be trusted with what we put into a command line.
func isGroup(s string) bool {
	return len(s) > 0 && len(s) <= 10 && strings.Trim(s, "0123456789") == "" && s[0] != '0' && s != "1"
}

// neverStarted is an end of stdout without a mark. When the machine told an exit
// status, the shell ended before it came to the command: nothing ran. When the
// connection broke behind the header, nobody knows.
func (r *run) neverStarted() error {
	if r.stdout.err != nil {
		return transportError("the machine printed too much before the command started", false, r.stdout.err)
	}
	wait := time.NewTimer(limits.OutputGrace)
	defer wait.Stop()
	select {
	case <-r.closed:
	case <-wait.C:
	}
	select {
	case e := <-r.exit:
		return transportError("the machine's login shell ended before it came to the command", false,
			fmt.Errorf("exit status %d, signal %q, no mark", e.code, e.signal))
	default:
	}
	return transportError("the connection broke while the command was being started", true, errors.New("no mark, no exit status"))
}

// abandon ends a command whose mark has not come: it may be starting just now.
// It tells whether it had.
func (r *run) abandon(ctx context.Context) (started bool) {
	r.detach()
	wait := time.NewTimer(limits.TermGrace)
	defer wait.Stop()
	select {
	case <-r.stdout.marked:
		word, group, _ := strings.Cut(r.stdout.said, " ")
		if word == markStarted && isGroup(group) {
			r.group = group
			r.survivors = r.endGroup(ctx, false)
			return true
		}
	case <-r.stdout.ended:
	case <-wait.C:
		r.survivors = r.endByID(ctx)
	}
	return false
}

// await waits for the command's end and that of its output.
func (r *run) await(ctx context.Context) Outcome {
	deadline := time.NewTimer(r.cmd.Timeout)
	defer deadline.Stop()
	quietCtx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		out            Outcome
		over           bool // the command has ended, or its connection has
		stdout, stderr = r.stdout.ended, r.stderr.ended
		closed         = r.closed
		quiet          chan struct{}
	)
	out.End = Lost
	for !over || stdout != nil || stderr != nil {
		select {
		case e := <-r.exit:
			over = true
			out = Outcome{End: Exited, ExitCode: e.code, Signal: e.signal, Duration: time.Since(r.began)}
			quiet = make(chan struct{})
			r.s.Go(func() { r.awaitQuiet(quietCtx, quiet) })
		case <-stdout:
			stdout = nil
		case <-stderr:
			stderr = nil
		case <-closed:
			closed = nil
			over = over || len(r.exit) == 0 // what was said before comes first
		case <-quiet:
			out.OutputOpen = true
			return r.count(out)
		case <-deadline.C:
			return r.force(ctx, Outcome{End: TimedOut}, over)
		case <-ctx.Done():
			return r.force(ctx, Outcome{End: Canceled, Cause: context.Cause(ctx)}, over)
		case err := <-r.stdout.failed:
			return r.force(ctx, Outcome{End: Canceled, Cause: err}, over)
		case err := <-r.stderr.failed:
			return r.force(ctx, Outcome{End: Canceled, Cause: err}, over)
		}
	}
	if out.End == Lost {
		return r.force(ctx, Outcome{End: Lost, Cause: errors.New("no exit status")}, false)
	}
	return r.count(out)
}

// awaitQuiet closes quiet when the output has been silent for the grace, counted
// from the answer to a round trip that began after the exit status: what the
// command wrote has then arrived. Time in which the caller holds the output back
// doesn't count, and asks for another round trip, since the window may have been
// shut.
func (r *run) awaitQuiet(ctx context.Context, quiet chan<- struct{}) {
	// Nearly every command's output ends with it: no round trip for those.
	if !wait(ctx, 10*time.Millisecond) {
		return
	}
	for {
		holds := r.holds()
		if err := r.s.Ping(ctx); err != nil {
			return // the channel has closed, or nobody waits any more
		}
		since := time.Now()
		for holds == r.holds() {
			if last := r.lastByte(); last.After(since) {
				since = last
			}
			left := r.cmd.OutputGrace - time.Since(since)
			if r.stdout.held() || r.stderr.held() {
				left = r.cmd.OutputGrace
			}
			if left <= 0 {
				close(quiet)
				return
			}
			if !wait(ctx, left) {
				return
			}
		}
	}
}

func (r *run) holds() int32 { return r.stdout.holds.Load() + r.stderr.holds.Load() }

func (r *run) lastByte() time.Time {
	if a, b := r.stdout.lastByte(), r.stderr.lastByte(); a.After(b) {
		return a
	} else {
		return b
	}
}

// wait waits for d and tells whether ctx let it.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// force ends the command's process group and all that is in it.
func (r *run) force(ctx context.Context, out Outcome, exited bool) Outcome {
	r.detach()
	out.Survivors = r.endGroup(ctx, exited)
	out.Duration = time.Since(r.began)
	return r.count(out)
}

func (r *run) count(out Outcome) Outcome {
	r.detach()
	out.StdoutBytes, out.StderrBytes = r.stdout.bytes.Load(), r.stderr.bytes.Load()
	return out
}

// detach lets no Write begin from now on.
func (r *run) detach() {
	r.stdout.discard()
	r.stderr.discard()
}

func transportError(message string, started bool, cause error) *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeExecTransport, "%s", message).WithStarted(started).Because(cause)
}
