package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
	"sallyport/internal/sshhost"
)

// hostStart is a request to our own host to start the program itself, and its answer.
type hostStart struct {
	started  chan struct{} // closed when it has; group is set before
	group    string
	answered chan struct{} // closed when the answer has come, or none will; answer is set before
	answer   hostAnswer
}

// hostAnswer is what became of a request to our own host.
type hostAnswer int

// Answers of a host.
const (
	hostSilent  hostAnswer = iota // none within the time
	hostStarted                   // the program was executed
	hostRefused                   // it was not, and will not be
	hostUnasked                   // the request could not be sent
	hostLost                      // the session ended, and nobody knows
)

func newHostStart() *hostStart {
	return &hostStart{started: make(chan struct{}), answered: make(chan struct{})}
}

// note takes a request of the host's.
func (h *hostStart) note(req *ssh.Request) {
	var msg sshhost.Started
	if req.Type != sshhost.StartedRequest || ssh.Unmarshal(req.Payload, &msg) != nil || isClosed(h.started) {
		return
	}
	h.group = strconv.FormatUint(uint64(msg.PID), 10)
	close(h.started)
}

// errNoHostStart is a program that our own host did not start: a shell must.
var errNoHostStart = errors.New("the host leaves the start to a shell")

// startOnHost has our own host start the program, without a shell and with no mark. It
// returns errNoHostStart where nothing ran and the session is as it was.
func (r *run) startOnHost(ctx context.Context) (*Outcome, error) {
	if !r.s.StartsDirectly() || r.cmd.script != "" || r.cmd.PTY != nil {
		return nil, errNoHostStart
	}
	payload := startOf(r.cmd).Marshal()
	if len(payload) > limits.HostStartBytesMax {
		return nil, errNoHostStart
	}
	r.onHost = newHostStart()
	r.listen()
	if err := r.awaitGate(ctx); err != nil {
		return nil, err
	}
	r.askHost(payload)
	startCtx, cancel := context.WithTimeout(ctx, r.startTime())
	defer cancel()
	switch r.awaitHost(startCtx) {
	case hostStarted:
		return nil, r.beginOnHost()
	case hostRefused:
		return nil, errNoHostStart
	case hostUnasked:
		return nil, r.unsent(errors.New("lost before the start was asked for"))
	case hostLost:
		return r.lostOnHost(ctx), nil
	}
	if ctx.Err() != nil {
		return r.abandonOnHost(ctx, Canceled, context.Cause(ctx))
	}
	r.endWithin = time.Until(r.cmd.ConnectBy)
	return r.abandonOnHost(ctx, Late, errLate)
}

// awaitHost waits for the host's answer until ctx ends. A program may have started and ended
// by the time that anybody looks: its session is over then, and all the same it has started.
func (r *run) awaitHost(ctx context.Context) hostAnswer {
	answered := r.onHost.answered
	var closed <-chan struct{}
	for {
		select {
		case <-r.onHost.started:
			return hostStarted
		case <-answered:
			if r.onHost.answer != hostStarted && r.onHost.answer != hostLost {
				return r.onHost.answer
			}
			answered, closed = nil, r.closed // behind all that the host has said
		case <-closed:
			if isClosed(r.onHost.started) {
				return hostStarted
			}
			return hostLost
		case <-ctx.Done():
			return hostSilent
		}
	}
}

// startOf is the request that starts cmd.
func startOf(cmd Command) sshhost.Start {
	env := make([]string, 0, len(cmd.Env)+1)
	for _, v := range cmd.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	return sshhost.Start{Argv: cmd.Argv, Env: append(env, "SALLYPORT_EXEC_ID="+cmd.ExecID), Dir: cmd.Dir}
}

// askHost sends the request. An error without an answer is one of sending it, but for an end
// of file, which may also be that of the answers.
func (r *run) askHost(payload []byte) {
	r.s.Go(func() {
		defer close(r.onHost.answered)
		ok, err := r.s.SendRequest(sshhost.StartRequest, true, payload)
		switch {
		case errors.Is(err, io.EOF):
			r.onHost.answer = hostLost
		case err != nil:
			r.onHost.answer = hostUnasked
		case ok:
			r.onHost.answer = hostStarted
		default:
			r.onHost.answer = hostRefused
		}
	})
}

// beginOnHost begins the life of a program that the host has started.
func (r *run) beginOnHost() error {
	if !isGroup(r.onHost.group) {
		return transportError("the machine did not start the command as it was told to", true, fmt.Errorf("process %q", r.onHost.group))
	}
	r.began, r.group = time.Now(), r.onHost.group
	r.cmd.Started(Process{r})
	close(r.started)
	r.marks.waive()
	r.s.Go(r.stdout.runUnmarked)
	r.s.Go(r.stderr.runUnmarked)
	r.stdout.release()
	r.stderr.release()
	close(r.fed)
	r.s.Go(r.feedStdin)
	return nil
}

// lostOnHost is the end of a command whose session ended before the host's answer. It may have
// started, and is looked for.
func (r *run) lostOnHost(ctx context.Context) *Outcome {
	r.began = time.Now()
	return r.force(ctx, Outcome{End: Lost, Cause: transportError("the connection broke while the command was being started", true, nil)}, false)
}

// abandonOnHost gives up waiting for the host's answer, and ends the command, which may be
// starting just now. It returns an error if nothing ran.
func (r *run) abandonOnHost(ctx context.Context, end End, cause error) (*Outcome, error) {
	r.detach()
	r.began = time.Now()
	lastCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.TermGrace)
	defer cancel()
	switch r.awaitHost(lastCtx) {
	case hostStarted:
		r.group = r.onHost.group
	case hostRefused, hostUnasked:
		return nil, cause
	}
	return r.force(ctx, Outcome{End: end, Cause: cause}, false), nil
}
