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

// hostStart is what our own host was asked for, to start the program itself, and its answer.
type hostStart struct {
	started chan struct{} // closed when it has; group is set before
	refused chan struct{} // closed when it has not, and will not
	unsent  chan struct{} // closed when it could not be asked
	group   string
}

func newHostStart() *hostStart {
	return &hostStart{started: make(chan struct{}), refused: make(chan struct{}), unsent: make(chan struct{})}
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
	if !r.s.StartsDirectly() || r.cmd.script != "" {
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
	budget := time.NewTimer(r.startTime())
	defer budget.Stop()
	select {
	case <-r.onHost.started:
		return nil, r.beginOnHost()
	case <-r.onHost.refused:
		return nil, errNoHostStart
	case <-r.onHost.unsent:
		return nil, r.unsent(errors.New("lost before the start was asked for"))
	case <-r.closed:
		return r.lostOnHost(ctx), nil
	case <-ctx.Done():
		return r.abandonOnHost(ctx, Canceled, context.Cause(ctx))
	case <-budget.C:
		r.endWithin = time.Until(r.cmd.ConnectBy)
		return r.abandonOnHost(ctx, Late, errLate)
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
		ok, err := r.s.SendRequest(sshhost.StartRequest, true, payload)
		switch {
		case errors.Is(err, io.EOF):
		case err != nil:
			close(r.onHost.unsent)
		case !ok:
			close(r.onHost.refused)
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
	r.s.Go(r.feedStdin)
	return nil
}

// lostOnHost is the end of a command whose session ended before the host's answer. It may have
// started, and is looked for.
func (r *run) lostOnHost(ctx context.Context) *Outcome {
	r.began = time.Now()
	if isClosed(r.onHost.started) {
		r.group = r.onHost.group
	}
	return r.force(ctx, Outcome{End: Lost, Cause: transportError("the connection broke while the command was being started", true, nil)}, false)
}

// abandonOnHost gives up waiting for the host's answer, and ends the command, which may be
// starting just now. It returns an error if nothing ran.
func (r *run) abandonOnHost(ctx context.Context, end End, cause error) (*Outcome, error) {
	r.detach()
	r.began = time.Now()
	timer := time.NewTimer(limits.TermGrace)
	defer timer.Stop()
	select {
	case <-r.onHost.started:
		r.group = r.onHost.group
	case <-r.onHost.refused:
		return nil, cause
	case <-r.onHost.unsent:
		return nil, cause
	case <-r.closed:
	case <-timer.C:
	}
	return r.force(ctx, Outcome{End: end, Cause: cause}, false), nil
}
