package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// Exec runs cmd on s and closes s: it is Start and Wait.
func Exec(ctx context.Context, s *sshpool.Session, cmd Command) (Outcome, error) {
	p, err := Start(ctx, s, cmd)
	if err != nil {
		return Outcome{}, err
	}
	return p.Wait(), nil
}

// Start starts cmd on s and returns when it has started, or when it may have started and
// has been ended. It takes s over, and closes it when it fails. When ctx is canceled,
// the command is ended, also after Start has returned.
//
// An error means that nothing of the command ran; it holds a *sallyport.Error, or
// is the error of cmd.Gate, or the cause of ctx.
func Start(ctx context.Context, s *sshpool.Session, cmd Command) (p Process, err error) {
	w := newWrapper()
	r := &run{
		s: s, ctx: ctx, cmd: cmd, wrapper: w, marks: newMarks(w.mark), request: newRequest(), exit: make(chan exit, 1), closed: make(chan struct{}),
		started: make(chan struct{}), fed: make(chan struct{}), endWithin: cmp.Or(cmd.EndTime, limits.EndTimeMax),
	}
	defer r.endAtPanic(ctx)
	r.over, err = r.start(ctx)
	if err != nil {
		r.close()
		return Process{}, err
	}
	return Process{r}, nil
}

// run is one command on its way.
type run struct {
	s       *sshpool.Session
	ctx     context.Context // that of Start, as in os/exec
	cmd     Command
	wrapper wrapper
	marks   *marks

	request        request
	stdout, stderr *pump
	exit           chan exit     // the exit status, once
	closed         chan struct{} // closed when the session's channel is
	started        chan struct{} // closed when the start was seen, or is waited for no longer
	fed            chan struct{} // closed when all is sent that stands before the caller's stdin

	direct bool       // the login shell takes the header itself
	onHost *hostStart // nil where our own host was not asked to start the program
	gated  bool       // Command.Gate has let the command start

	began     time.Time
	group     string   // the process group, from the mark
	over      *Outcome // set by Start where the command is over already, as far as we know
	endWithin time.Duration
}

// start has the command started and waits for its mark. It returns an Outcome for a
// command that has been ended, or was lost, before its start was seen.
func (r *run) start(ctx context.Context) (*Outcome, error) {
	if over, err := r.startOnHost(ctx); !errors.Is(err, errNoHostStart) {
		return over, err
	}
	return r.startByShell(ctx)
}

// startByShell has a shell become the program, and waits for its mark.
func (r *run) startByShell(ctx context.Context) (*Outcome, error) {
	if err := r.send(ctx); err != nil {
		return r.unconfirmed(ctx, err)
	}
	budget := time.NewTimer(r.startTime())
	defer budget.Stop()
	stdout, stderr := r.stdout.ended, r.stderr.ended
	for stdout != nil || stderr != nil {
		select {
		case <-r.marks.first:
			if err := r.readMark(); err != nil {
				return r.unconfirmed(ctx, err)
			}
			return nil, nil
		case <-r.request.refused:
			return nil, r.refusal()
		case <-stdout:
			if stdout = nil; r.stdout.err != nil {
				return r.unconfirmed(ctx, r.neverStarted(ctx))
			}
		case <-stderr:
			if stderr = nil; r.stderr.err != nil {
				return r.unconfirmed(ctx, r.neverStarted(ctx))
			}
		case <-ctx.Done():
			return r.abandon(ctx, Canceled, context.Cause(ctx))
		case <-budget.C:
			r.endWithin = time.Until(r.cmd.ConnectBy)
			return r.abandon(ctx, Late, errLate)
		}
	}
	if isClosed(r.marks.first) {
		if err := r.readMark(); err != nil {
			return r.unconfirmed(ctx, err)
		}
		return nil, nil
	}
	return r.unconfirmed(ctx, r.neverStarted(ctx))
}

// startTime is how long to wait for the start: what is left of the budget, minus the time
// to end a command whose start was not seen.
func (r *run) startTime() time.Duration {
	left := time.Until(r.cmd.ConnectBy)
	return left - min(limits.EndTimeMax, left/5)
}

// errLate is why a Late command ended.
var errLate = sallyport.Errorf(sallyport.CodeConnectTimeout, "the machine did not start the command in time")

// send asks for the shell, waits for the gate, and sends the header.
func (r *run) send(ctx context.Context) error {
	r.listen()
	if r.cmd.PTY == nil {
		r.s.Go(r.stdout.run)
		r.s.Go(r.stderr.run)
	} else {
		r.s.Go(r.runAtPTY)
		if err := r.seat(ctx); err != nil {
			return err
		}
	}
	r.wrapper.asksShell = r.s.Facts().LoginShell == sshpool.LoginShellUnknown
	if r.s.RoundTrip() >= limits.FarRoundTrip && isPlain(r.cmd) {
		return r.sendPlain(ctx)
	}
	line := r.wrapper.line(r.cmd)
	if r.direct = r.s.Facts().LoginShell == sshpool.LoginShellSh; r.direct {
		line = r.wrapper.directLine(r.cmd)
	}
	r.ask(line)
	if err := r.awaitGate(ctx); err != nil {
		return err
	}
	if err := r.awaitAcceptance(ctx); err != nil {
		return err
	}
	r.s.Go(func() { r.feed(r.wrapper.header(r.cmd)) })
	return nil
}

// listen begins to receive what the machine says of the session, once.
func (r *run) listen() {
	if r.stdout != nil {
		return
	}
	r.stdout = newPump(r.s, r.cmd.Stdout, r.marks)
	r.stderr = newPump(r.s.Stderr(), r.cmd.Stderr, r.marks)
	r.s.Go(r.readRequests)
}

// sendPlain waits for the gate, and sends all in the command line. When that fails
// nobody knows what has arrived.
func (r *run) sendPlain(ctx context.Context) error {
	if err := r.awaitGate(ctx); err != nil {
		return err
	}
	r.ask(r.wrapper.plainLine(r.cmd))
	r.s.Go(func() {
		select {
		case <-r.request.accepted: // an end of file before the request would be lost, and stdin never end
			r.feed(r.wrapper.plainHeader(r.cmd))
		case <-r.request.refused:
		case <-r.closed:
		case <-r.s.Lost():
		}
	})
	return nil
}

// awaitGate waits until the command may start.
func (r *run) awaitGate(ctx context.Context) error {
	if !r.gated {
		if err := r.cmd.Gate(); err != nil {
			return err
		}
		r.gated = true
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if isClosed(r.closed) || r.isBroken() {
		return r.endedUnsent()
	}
	return nil
}

// isBroken reports whether the connection has ended, as far as we know.
func (r *run) isBroken() bool { return r.s.Broken() || isClosed(r.s.Lost()) }

// unsent is the error of a session that ended before anything of the command was sent. The
// streams end before the connection is known to have ended, which Broken reports earlier.
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

// notSh is the error of a login shell that claimed to be sh, and took no header.
func (r *run) notSh(cause error) error {
	r.learnShell(sshpool.LoginShellOther)
	return transportError("the machine's login shell did not start the command", false, fmt.Errorf("%w: %w", errNotSh, cause))
}

// errNotSh is a login shell that did not take a header itself.
var errNotSh = errors.New("the login shell is no sh")

// MayRetry reports whether err, of Exec or Start, is that of a connection that broke before
// anything of the command was sent, or of a login shell that took nothing of it: the command
// may be run again, over another session.
func MayRetry(err error) bool { return errors.Is(err, errUnsent) || errors.Is(err, errNotSh) }

// feed sends the header, and behind the command's mark its stdin and the end of file. A
// command that ends without reading makes it fail, which is no fault.
func (r *run) feed(header []byte) {
	defer close(r.fed)
	if hasStdin(r.cmd) || r.cmd.PTY != nil {
		header = append(header, stdinGuard...)
	}
	if _, err := r.s.Write(header); err != nil || r.cmd.PTY != nil {
		return
	}
	if hasStdin(r.cmd) {
		select {
		case <-r.started:
		case <-r.closed:
			return
		}
		if _, err := r.s.Write([]byte(stdinGo)); err != nil {
			return
		}
	}
	r.feedStdin()
}

// feedStdin sends the command's stdin and the end of file, unless they are the caller's to
// send: see Process.Stdin.
func (r *run) feedStdin() {
	if r.cmd.OpenStdin {
		return
	}
	if len(r.cmd.Stdin) > 0 {
		if _, err := r.s.Write(r.cmd.Stdin); err != nil {
			return
		}
	}
	_ = r.s.CloseWrite() // a lost connection shows elsewhere
}

func hasStdin(cmd Command) bool { return len(cmd.Stdin) > 0 || cmd.OpenStdin }

// readRequests receives the exit status.
func (r *run) readRequests() {
	defer close(r.closed)
	for req := range r.s.Requests() {
		if e, ok := parseExit(req); ok {
			select {
			case r.exit <- e:
			default: // a second one means nothing
			}
		}
		if r.onHost != nil {
			r.onHost.note(req)
		}
		if req.WantReply {
			req.Reply(false, nil)
		}
	}
}

// readMark reads the first mark, and lets the output flow.
func (r *run) readMark() error {
	word, group, login := r.marks.parse()
	switch {
	case word == markNoDir:
		return sallyport.Errorf(sallyport.CodeInvalidCwd, "the directory %q can't be entered on the machine", r.cmd.Dir).WithStarted(false)
	case word != markStarted || !isGroup(group):
		return transportError("the machine did not start the command as it was told to", true, fmt.Errorf("mark %q", r.marks.line))
	}
	if r.wrapper.asksShell {
		r.learnShell(shellOf(login))
	}
	r.began, r.group = time.Now(), group
	r.cmd.Started(Process{r})
	close(r.started)
	r.stdout.release()
	r.stderr.release()
	return nil
}

// learnShell keeps what the login shell is for others on the connection.
func (r *run) learnShell(shell sshpool.LoginShell) {
	r.s.Learn(func(f *sshpool.Facts) { f.LoginShell = shell })
}

// shellOf is the login shell that a mark names.
func shellOf(login string) sshpool.LoginShell {
	if login == loginSh {
		return sshpool.LoginShellSh
	}
	return sshpool.LoginShellOther
}

// neverStarted returns the error for a session that ended without a mark. If the machine sent
// an exit status, the shell ended before it came to the command: nothing ran, unless the
// machine hides what is printed. If the connection broke behind the header, the command may
// have started.
func (r *run) neverStarted(ctx context.Context) error {
	if err := errors.Join(r.stdout.err, r.stderr.err); err != nil {
		return transportError("the machine printed too much before the command started", false, err)
	}
	timer := time.NewTimer(limits.OutputGrace)
	defer timer.Stop()
	select {
	case <-r.closed:
	case <-timer.C:
	}
	select {
	case e := <-r.exit:
		switch cause := (&unmarked{e}); {
		case r.direct:
			return r.notSh(cause)
		case r.cmd.script == "" && r.hidesMarks(ctx, e.code):
			return transportError("the machine hides what commands print: an rc file of its login shell redirects stdout and stderr", true, cause)
		default:
			return transportError("the machine's login shell ended before it came to the command", false, cause)
		}
	default:
	}
	cause := errors.New("no mark, no exit status")
	if !r.isBroken() {
		return transportError("the machine ended the output before it came to the command", true, cause)
	}
	return transportError("the connection broke while the command was being started", true, cause)
}

// unmarked is an end without a mark.
type unmarked struct{ exit exit }

func (u *unmarked) Error() string {
	return fmt.Sprintf("exit status %d, signal %q, no mark", u.exit.code, u.exit.signal)
}

// hidesMarks finds out whether the machine runs what it is sent, though no mark is seen: it
// runs a script with an exit code of its own.
func (r *run) hidesMarks(ctx context.Context, other int) bool {
	ctx, cancel := context.WithDeadline(ctx, r.cmd.ConnectBy)
	defer cancel()
	s, err := r.s.Sibling(ctx)
	if err != nil {
		return false
	}
	code := 57
	if other == code {
		code++
	}
	_, err = runScript(ctx, s, fmt.Sprintf("exit %d", code), limits.ConnectTime)
	var end *unmarked
	return errors.As(err, &end) && end.exit.code == code
}

// unconfirmed concludes a command without a mark. If err says that the command may have
// started, its processes are looked for and ended: the mark may have been lost on the way.
func (r *run) unconfirmed(ctx context.Context, err error) (*Outcome, error) {
	var known *sallyport.Error
	switch {
	case !startedOf(err):
		return nil, err
	case hasStdin(r.cmd) && !isClosed(r.marks.first) && errors.As(err, &known):
		return nil, known.WithStarted(false)
	}
	r.began = time.Now()
	return r.force(ctx, Outcome{End: Lost, Cause: err}, false), nil
}

// abandon gives up waiting for the mark, and ends the command, which may be starting just
// now. It returns an error if nothing ran.
func (r *run) abandon(ctx context.Context, end End, cause error) (*Outcome, error) {
	if hasStdin(r.cmd) {
		return nil, cause // it waits for stdin, and finds the end of its session
	}
	r.detach()
	r.began = time.Now()
	if end == Canceled && r.cmd.script == "" {
		r.awaitLastMark()
	}
	switch {
	case isClosed(r.marks.first):
		word, group, _ := r.marks.parse()
		if word != markStarted || !isGroup(group) {
			return nil, cause
		}
		r.group = group
	case isClosed(r.stdout.ended) && isClosed(r.stderr.ended) && !startedOf(r.neverStarted(context.WithoutCancel(ctx))):
		return nil, cause
	}
	return r.force(ctx, Outcome{End: end, Cause: cause}, false), nil
}

// awaitLastMark waits for the mark of a command that was canceled while it was starting.
func (r *run) awaitLastMark() {
	timer := time.NewTimer(limits.TermGrace)
	defer timer.Stop()
	stdout, stderr := r.stdout.ended, r.stderr.ended
	for stdout != nil || stderr != nil {
		select {
		case <-r.marks.first:
			return
		case <-stdout:
			stdout = nil
		case <-stderr:
			stderr = nil
		case <-timer.C:
			return
		}
	}
}

// startedOf reports whether err is of a command that may have started.
func startedOf(err error) bool {
	var known *sallyport.Error
	return errors.As(err, &known) && known.Started != nil && *known.Started
}

// endAtPanic ends the command when a function of the caller's panics.
func (r *run) endAtPanic(ctx context.Context) {
	if p := recover(); p != nil {
		if r.group != "" {
			r.force(ctx, Outcome{}, false)
		}
		r.close()
		panic(p)
	}
}

// force ends the command and whatever it has started.
func (r *run) force(ctx context.Context, out Outcome, reaped bool) *Outcome {
	r.detach()
	out.Survivors = r.end(ctx, r.goal(reaped))
	out.Duration = time.Since(r.began)
	return r.count(out)
}

func (r *run) count(out Outcome) *Outcome {
	r.detach()
	out.StdoutBytes, out.StderrBytes = r.stdout.bytes.Load(), r.stderr.bytes.Load()
	return &out
}

// detach lets no Write begin from now on.
func (r *run) detach() {
	r.stdout.discard()
	r.stderr.discard()
}

// close lets the session go: the command is over, or its connection is.
func (r *run) close() {
	if r.stdout != nil {
		r.detach()
	}
	_ = r.s.Close()
}

func transportError(message string, started bool, cause error) *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeExecTransport, "%s", message).WithStarted(started).Because(cause)
}
