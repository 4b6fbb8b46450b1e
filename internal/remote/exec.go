package remote

import (
	"cmp"
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
// The error is for a command of which nothing ran; it holds a *sallyport.Error, or
// is the error of cmd.Gate, or the cause of ctx. What happened to a command that
// started, or may have, since its connection broke while it was being started, is in
// the Outcome, with a nil error.
func Exec(ctx context.Context, s *sshpool.Session, cmd Command) (Outcome, error) {
	defer func() { _ = s.Close() }() // the command is over, or the connection is
	r := &run{s: s, cmd: cmd, wrapper: newWrapper(), exit: make(chan exit, 1), closed: make(chan struct{})}
	defer r.detach()
	defer r.endAtPanic(ctx)
	if err := r.start(ctx); err != nil {
		return r.unproven(ctx, err)
	}
	budget := time.NewTimer(time.Until(r.cmd.ConnectBy))
	defer budget.Stop()
	select {
	case <-r.stdout.marked:
		if err := r.readMark(); err != nil {
			return r.unproven(ctx, err)
		}
		return r.await(ctx), nil
	case <-r.stdout.ended:
		return r.unproven(ctx, r.neverStarted())
	case <-ctx.Done():
		return r.abandon(ctx, Canceled, context.Cause(ctx))
	case <-budget.C:
		return r.abandon(ctx, Late, errLate)
	}
}

// errLate is why a Late command ended.
var errLate = sallyport.Errorf(sallyport.CodeConnectTimeout, "the machine did not start the command in time")

// run is one command on its way.
type run struct {
	s       *sshpool.Session
	cmd     Command
	wrapper wrapper

	stdout, stderr *pump
	exit           chan exit     // the exit status, once
	closed         chan struct{} // closed when the session's channel is

	direct bool // the login shell takes the header itself

	began time.Time
	group string // the process group, from the mark
}

// start asks for the shell, waits for the gate, and sends the header.
func (r *run) start(ctx context.Context) error {
	r.stdout = newPump(r.s, r.cmd.Stdout, r.wrapper.mark)
	r.stderr = newPump(r.s.Stderr(), r.cmd.Stderr, r.wrapper.mark)
	r.s.Go(r.readRequests)
	r.s.Go(r.stdout.run)
	r.s.Go(r.stderr.run)
	if r.s.RoundTrip() >= limits.FarRoundTrip && isPlain(r.cmd) {
		return r.startPlain(ctx)
	}
	line := r.wrapper.line()
	if r.direct = r.s.Learned() == loginSh; r.direct {
		line = r.wrapper.directLine()
	}
	r.wrapper.asks = r.s.Learned() == ""
	if err := r.request(line); err != nil {
		return r.unsent(err)
	}
	if err := r.pass(ctx); err != nil {
		return err
	}
	r.s.Go(func() { r.feed(r.wrapper.header(r.cmd)) })
	return nil
}

// startPlain waits for the gate, and sends all in the command line. When that fails
// nobody knows what has arrived.
func (r *run) startPlain(ctx context.Context) error {
	if err := r.pass(ctx); err != nil {
		return err
	}
	if err := r.request(r.wrapper.plainLine(r.cmd)); err != nil {
		return transportError("the connection broke while the command was being started", true, err)
	}
	r.s.Go(func() { r.feed(nil) })
	return nil
}

func (r *run) request(line string) error {
	_, err := r.s.SendRequest("exec", false, ssh.Marshal(struct{ Command string }{line}))
	return err
}

// pass waits until the command may start.
func (r *run) pass(ctx context.Context) error {
	if err := r.cmd.Gate(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case isClosed(r.closed) && r.direct && !r.isBroken():
		return r.noSh(errors.New("the session ended before the header was sent"))
	case isClosed(r.closed), r.isBroken():
		return r.unsent(errors.New("lost before the header was sent"))
	}
	return nil
}

// isBroken tells whether the connection has ended, as far as we know.
func (r *run) isBroken() bool { return r.s.Broken() || isClosed(r.s.Lost()) }

// unsent is the end of a session before anything of the command was sent. The streams end
// before the connection is known to have ended: what it is told by is Broken.
func (r *run) unsent(cause error) error {
	if r.isBroken() {
		cause = fmt.Errorf("%w: %w", errUnsent, cause)
	}
	return transportError("the connection to the machine broke before the command started", false, cause)
}

// errUnsent is a connection that broke before anything of the command was sent.
var errUnsent = errors.New("the connection broke")

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// noSh is a login shell that said it was sh, and took no header.
func (r *run) noSh(cause error) error {
	r.s.Learn(loginOther)
	return transportError("the machine's login shell did not start the command", false, fmt.Errorf("%w: %w", errNoSh, cause))
}

// errNoSh is a login shell that did not take a header itself.
var errNoSh = errors.New("the login shell is no sh")

// MayRetry tells whether err, of Exec, is that of a connection that broke before
// anything of the command was sent, or of a login shell that took nothing of it: it may
// be run again, over another session.
func MayRetry(err error) bool { return errors.Is(err, errUnsent) || errors.Is(err, errNoSh) }

// feed sends the header, the caller's stdin behind it, and the end of file. A
// command that ends without reading makes it fail, which is no fault.
func (r *run) feed(header []byte) {
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

// readMark takes what the mark says, and lets the output flow.
func (r *run) readMark() error {
	word, group, login := r.said()
	if r.wrapper.asks {
		r.s.Learn(cmp.Or(login, loginOther))
	}
	switch {
	case word == markNoDir:
		return sallyport.Errorf(sallyport.CodeInvalidCwd, "the directory %q can't be entered on the machine", r.cmd.Dir).WithStarted(false)
	case word != markStarted || !isGroup(group):
		return transportError("the machine did not start the command as it was told to", true, fmt.Errorf("mark %q", r.stdout.said))
	}
	r.began, r.group = time.Now(), group
	r.cmd.Started(Process{r})
	r.stdout.release()
	r.stderr.release()
	return nil
}

// loginOther is learned of a connection whose login shell is not sh.
const loginOther = "other"

// said is what the mark says: a word, the process group, and loginSh or nothing.
func (r *run) said() (word, group, login string) {
	word, rest, _ := strings.Cut(r.stdout.said, " ")
	group, login, _ = strings.Cut(rest, " ")
	if login != loginSh {
		login = ""
	}
	return word, group, login
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
		cause := fmt.Errorf("exit status %d, signal %q, no mark", e.code, e.signal)
		if r.direct {
			return r.noSh(cause)
		}
		return transportError("the machine's login shell ended before it came to the command", false, cause)
	default:
	}
	return transportError("the connection broke while the command was being started", true, errors.New("no mark, no exit status"))
}

// unproven concludes a command of which no mark has told that it started. If err says
// that it may have, it is looked for and ended: its mark may have been lost on the way.
func (r *run) unproven(ctx context.Context, err error) (Outcome, error) {
	if !startedOf(err) {
		return Outcome{}, err
	}
	r.began = time.Now()
	return r.count(Outcome{End: Lost, Cause: err, Survivors: r.endByID(ctx)}), nil
}

// abandon ends a command whose mark was not waited for any longer: it may be
// starting just now. It returns an error if it is known that nothing ran.
func (r *run) abandon(ctx context.Context, end End, cause error) (Outcome, error) {
	r.detach()
	r.began = time.Now()
	wait := time.NewTimer(limits.TermGrace)
	defer wait.Stop()
	select {
	case <-r.stdout.marked:
	case <-r.stdout.ended:
	case <-wait.C:
	}
	select {
	case <-r.stdout.marked: // before all else, where more than one is true
		word, group, _ := r.said()
		if word == markStarted && isGroup(group) {
			r.group = group
			return r.force(ctx, Outcome{End: end, Cause: cause}, false), nil
		}
		return Outcome{}, cause
	case <-r.stdout.ended:
		if !startedOf(r.neverStarted()) {
			return Outcome{}, cause
		}
	default:
	}
	return r.count(Outcome{End: end, Cause: cause, Survivors: r.endByID(ctx), Duration: time.Since(r.began)}), nil
}

// startedOf tells whether a command may have started, of which err says it.
func startedOf(err error) bool {
	var known *sallyport.Error
	return errors.As(err, &known) && known.Started != nil && *known.Started
}

// endAtPanic lets no command go on whose caller's function panicked.
func (r *run) endAtPanic(ctx context.Context) {
	if p := recover(); p != nil {
		if r.group != "" {
			r.force(ctx, Outcome{}, false)
		}
		panic(p)
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
