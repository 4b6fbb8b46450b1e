package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"sallyport/client/sallyport"
)

// detachedStdinMax bounds the stdin of a detached exec, in bytes.
const detachedStdinMax = 1 << 20

// StartExec starts a command that goes on when the call, its connection or the server ends, and
// returns its row once it has started: ID names the exec to ExecOutput, WaitExec, SignalExec and
// DeleteExec. With an IdempotencyKey that has started it before, the row is as it is now.
//
// Of e, Timeout is a day by default and a week at most, and MaxOutputBytes is how much of each
// stream is kept on the machine: 16 MiB by default, 64 KiB at least. Stdin, 1 MiB at most, is
// read whole before; Stdout, Stderr and Started are not used, and Output must be nil.
//
// The errors are those of Exec. After ErrCut it is not known whether the command has started;
// with an IdempotencyKey, asking again tells.
func (c *Client) StartExec(ctx context.Context, e Exec) (sallyport.Activity, error) {
	var row sallyport.Activity
	doing := "start an exec on workspace " + e.Workspace
	body, err := e.detachedRequest()
	if err != nil {
		return row, fmt.Errorf("%s: %w", doing, err)
	}
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	err = c.roundTrip(traced, c.execCall(e, body), &row)
	if _, isAnswer := errors.AsType[*StatusError](err); err != nil && sallyport.CodeOf(err) == "" && !isAnswer {
		err = noAnswer(ctx, err, sent.Load())
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", doing, err)
	}
	return row, err
}

// detachedRequest is the body of a detached exec.
func (e Exec) detachedRequest() (sallyport.ExecRequest, error) {
	req, err := e.request()
	if err != nil {
		return req, err
	}
	req.Stream, req.Detach, req.KeepS = false, true, seconds(e.Keep)
	if e.Stdin == nil {
		return req, nil
	}
	stdin, err := io.ReadAll(io.LimitReader(e.Stdin, detachedStdinMax+1))
	switch {
	case err != nil:
		return req, stdinFailed(err)
	case len(stdin) > detachedStdinMax:
		return req, sallyport.Errorf(sallyport.CodeInvalidStdin, "stdin is larger than %d bytes, the most that a detached exec takes", detachedStdinMax)
	}
	req.StdinBase64 = stdin
	return req, nil
}

const (
	// execWait is how long one request waits for an exec's end, and execWaitSlack how much
	// longer its answer may take.
	execWait      = time.Minute
	execWaitSlack = 30 * time.Second
	// execWaitPause is between requests that are answered sooner, as a server does that drains.
	execWaitPause = time.Second
)

// WaitExec returns the row of an exec, detached or not, when it has ended. It goes on over
// connections that are cut and servers that end, where one answers again within a minute. The end
// of ctx does nothing to the exec.
func (c *Client) WaitExec(ctx context.Context, workspace, execID string) (sallyport.Activity, error) {
	var until time.Time // zero while the server answers
	for {
		asked := time.Now()
		row, err := c.waitOnce(ctx, workspace, execID)
		switch {
		case ctx.Err() != nil && err != nil:
			return row, err
		case err == nil && row.Status != sallyport.StatusRunning:
			return row, nil
		case err == nil:
			until = time.Time{}
		case !mayPass(err) || !until.IsZero() && time.Until(until) <= execWaitPause:
			return row, err
		case until.IsZero():
			until = time.Now().Add(outputResumeTime)
		}
		if left := execWaitPause - time.Since(asked); left > 0 && !pause(ctx, left, time.Now().Add(time.Hour)) {
			return row, fmt.Errorf("wait for exec %s: %w", execID, ended(ctx))
		}
	}
}

// waitOnce asks once, and waits for the end for execWait.
func (c *Client) waitOnce(ctx context.Context, workspace, execID string) (row sallyport.Activity, err error) {
	r, err := c.oneAct("wait for ", http.MethodGet, "exec", workspace, execID)
	if err != nil {
		return row, err
	}
	r.query.Set("wait_s", strconv.Itoa(int(execWait.Seconds())))
	patient, cancel := context.WithTimeout(ctx, execWait+execWaitSlack)
	defer cancel()
	return row, c.do(patient, r, &row)
}

// EndExec ends a detached exec if it runs, as a time-out does, and leaves its output until it
// would go anyway. The error's code is not_detached for another exec. It may be called again.
func (c *Client) EndExec(ctx context.Context, workspace, execID string) error {
	r, err := c.oneAct("end ", http.MethodDelete, "exec", workspace, execID)
	if err != nil {
		return err
	}
	r.query.Set("output", "keep")
	return c.do(ctx, r, nil)
}

// DeleteExec is EndExec that removes the output, too. The row stays.
func (c *Client) DeleteExec(ctx context.Context, workspace, execID string) error {
	r, err := c.oneAct("remove ", http.MethodDelete, "exec", workspace, execID)
	if err != nil {
		return err
	}
	return c.do(ctx, r, nil)
}
