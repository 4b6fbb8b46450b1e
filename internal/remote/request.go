package remote

import (
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
)

// request is what was asked of the machine, to start a shell, and its answer.
type request struct {
	accepted chan struct{} // closed when the machine has taken it
	refused  chan struct{} // closed when it has not: nothing runs
}

func newRequest() request {
	return request{accepted: make(chan struct{}), refused: make(chan struct{})}
}

// ask asks the machine to run a command line. It doesn't wait for the answer: a session
// that ends without one shows elsewhere.
func (r *run) ask(line string) {
	r.s.Go(func() {
		ok, err := r.s.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
		switch {
		case err != nil:
		case ok:
			close(r.request.accepted)
		default:
			close(r.request.refused)
		}
	})
}

// awaitAcceptance waits until the machine has taken the request: only then may anything
// be sent behind it. The answer comes while the shell is being started, so it costs
// nothing where the machine is near. Nothing of the command has been sent yet.
func (r *run) awaitAcceptance(ctx context.Context) error {
	late := time.NewTimer(time.Until(r.cmd.ConnectBy))
	defer late.Stop()
	select {
	case <-r.request.accepted:
		return nil
	case <-r.request.refused:
		return r.refusal()
	case <-r.closed:
		return r.endedUnsent()
	case <-r.s.Lost():
		return r.endedUnsent()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return errLate.WithStarted(false)
	}
}

// refusal is the error of a machine that refuses to start a command. OpenSSH does where it
// can't fork, and the embedded host where it has no more files or processes.
func (r *run) refusal() error {
	e := sallyport.Errorf(sallyport.CodeTooManyExecs,
		"the machine refused to start the command: it has no processes, files or memory left for it, or runs no commands; try again in a moment")
	e.Reason = sallyport.ReasonCapacity
	return e.Because(errors.New("exec request refused"))
}

// endedUnsent is the end of a session before the header was sent.
func (r *run) endedUnsent() error {
	if r.direct && !r.isBroken() {
		return r.notSh(errors.New("the session ended before the header was sent"))
	}
	return r.unsent(errors.New("lost before the header was sent"))
}
