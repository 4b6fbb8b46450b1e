package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"sallyport/client/sallyport"
)

// Exec is one command to run on a workspace. The zero value of every field but
// Workspace and Cmd asks for the default.
type Exec struct {
	// Workspace is an id or a name.
	Workspace string
	// Org is Client.Org for this exec alone.
	Org string
	// Cmd is the argv, which reaches the program as it is: there is no shell
	// unless Cmd names one. It must be UTF-8, as JSON is.
	Cmd []string
	// Timeout counts from the command's start, and is rounded up to seconds. 0
	// or less is 30 s, and more than 120 s, or an hour with Stdin, is that: ExecDone has the
	// time-out in force.
	Timeout time.Duration
	// Stdin is passed on as the command takes it, however much it is, to its end. A Read that
	// fails ends the command, which sees no end of file then. When the command ends first,
	// or ctx, a Read that is under way is left behind.
	Stdin io.Reader
	// Env is added to the command's environment.
	Env map[string]string
	// Cwd is where the command runs; the default is the user's home.
	Cwd string
	// MaxOutputBytes cuts each of stdout and stderr; 0 is 1 MiB, and 1 GiB is
	// the most there is.
	MaxOutputBytes int64
	// Output asks for the first and the newest bytes of each stream alone, in place of
	// MaxOutputBytes, which must be 0 then; where bytes are left out, a line says how many.
	// Nil is all, up to that cap.
	Output *sallyport.OutputSize
	// IdempotencyKey, 1 to 255 visible ASCII characters, keeps the exec from running
	// twice within a day: the same again is an error with the code already_run or
	// running, and ExecID; for another exec it is idempotency_mismatch. Empty is none.
	IdempotencyKey string
	// Keep is how long the output of a detached exec (StartExec) is kept behind its end, rounded
	// up to seconds; 0 is a day, and a week is the most. Other execs have no use of it.
	Keep time.Duration
	// Stdout and Stderr are written as the output arrives, never at the same
	// time. Nil drops it. A Write that fails cancels the exec.
	Stdout, Stderr io.Writer
	// Started, if it is set, is called once when the command has started, before any of
	// its output: with the exec's id, and the time-out in force, in seconds.
	Started func(execID string, timeoutS int)
}

// ExecDone is a command that ran to its end, whatever its exit code.
type ExecDone struct {
	sallyport.ExecResult
	// ExecID names the exec's row in the activity log.
	ExecID string
	// TimeoutS is the time-out that was in force, in seconds.
	TimeoutS int
	// StdoutTruncated and StderrTruncated are true if MaxOutputBytes or Output cut the
	// stream; a line that says so stands at its end, or where bytes are left out.
	StdoutTruncated, StderrTruncated bool
}

// Exec runs a command and returns how it ended; a non-zero exit code is no error.
// Canceling ctx cancels the command on its machine.
//
// Every error returns no ExecDone. It is one of these:
//   - a *sallyport.Error: Sallyport refused the exec or could not carry it
//     through. Its code is exec_timeout when the command ran out of time;
//   - ErrCut: the exec was sent, and how it ended is not known;
//   - Stdin's own error: it failed, and the exec was canceled;
//   - a *WriteError: Stdout or Stderr failed, and the exec was canceled;
//   - ctx's own error: the exec was canceled;
//   - any other: the server was not reached, or is none of Sallyport's.
func (c *Client) Exec(ctx context.Context, e Exec) (*ExecDone, error) {
	frames, err := c.startExec(ctx, e, false)
	if err != nil {
		return nil, err
	}
	defer frames.Close()
	done := &ExecDone{ExecID: frames.ExecID, TimeoutS: frames.TimeoutS}
	if e.Started != nil {
		e.Started(frames.ExecID, frames.TimeoutS)
	}
	room := map[string]int64{sallyport.Stdout: e.outputMax(), sallyport.Stderr: e.outputMax()}
	for {
		f, err := frames.Next()
		switch {
		case err != nil:
			return nil, err
		case f.Err != nil:
			return nil, fmt.Errorf("%s: %w", frames.doing, f.Err)
		case f.Result != nil:
			done.ExecResult = *f.Result
			done.addCuts(e.Output)
			return done, nil
		}
		// More than the cap is the cap and a marker: raw frames don't tell.
		room[f.Stream] -= int64(len(f.Data))
		f.Truncated = f.Truncated || e.Output == nil && room[f.Stream] < 0
		if err := done.take(f, e); err != nil {
			return nil, fmt.Errorf("%s: %w", frames.doing, err)
		}
	}
}

// addCuts tells of a stream of which a part alone was wanted whether it was longer.
func (d *ExecDone) addCuts(size *sallyport.OutputSize) {
	isCut := func(n *int64) bool { return size != nil && n != nil && *n > size.Bytes() }
	d.StdoutTruncated = d.StdoutTruncated || isCut(d.StdoutBytes)
	d.StderrTruncated = d.StderrTruncated || isCut(d.StderrBytes)
}

// outputMax is the cap in force.
func (e Exec) outputMax() int64 {
	if e.MaxOutputBytes > 0 {
		return e.MaxOutputBytes
	}
	return outputBytesDefault
}

// take writes one piece of output to where it belongs.
func (d *ExecDone) take(f Frame, e Exec) error {
	w, truncated := e.Stdout, &d.StdoutTruncated
	if f.Stream == sallyport.Stderr {
		w, truncated = e.Stderr, &d.StderrTruncated
	}
	*truncated = *truncated || f.Truncated
	if w == nil {
		return nil
	}
	n, err := w.Write(f.Data)
	if err == nil && n < len(f.Data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return &WriteError{Stream: f.Stream, Err: err}
	}
	return nil
}

// startExec sends an exec and returns its answer, of which no frame was read.
// withLines asks for NDJSON, whose lines the caller wants.
func (c *Client) startExec(ctx context.Context, e Exec, withLines bool) (*Frames, error) {
	doing := "exec on workspace " + e.Workspace
	body, err := e.request()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	var sent atomic.Bool
	inner, cancel := context.WithCancel(ctx)
	traced := httptrace.WithClientTrace(inner, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	accept := sallyport.MediaFrames + ", " + sallyport.MediaNDJSON + ";q=0.5"
	if withLines {
		accept = sallyport.MediaNDJSON
	}
	sending := c.execCall(e, body)
	stdin, err := e.streamStdin(inner, &sending)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	answer, err := c.openExec(traced, accept, sending)
	if err != nil {
		cancel()
		if failed := stdin.stdinError(); failed != nil {
			return nil, fmt.Errorf("%s: %w", doing, stdinFailed(failed))
		}
		return nil, fmt.Errorf("%s: %w", doing, noAnswer(ctx, err, sent.Load()))
	}
	if err := checkExec(answer); err != nil {
		answer.Body.Close()
		cancel()
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	frames := newFrames(answer, withLines)
	frames.doing, frames.ctx, frames.cancel, frames.stdin = doing, ctx, cancel, stdin
	return frames, nil
}

// execCall is the request of an exec.
func (c *Client) execCall(e Exec, body sallyport.ExecRequest) call {
	return call{
		method: http.MethodPost, path: path("workspaces", e.Workspace, "exec"), query: orgQuery(cmp.Or(e.Org, c.Org)), body: body, key: e.IdempotencyKey,
	}
}

// streamStdin has the body of a request carry e's stdin, if there is one, until ctx ends.
func (e Exec) streamStdin(ctx context.Context, c *call) (stdin *execBody, err error) {
	if e.Stdin == nil {
		return nil, nil
	}
	if stdin, err = newExecBody(c.body, e.Stdin); err != nil {
		return nil, err
	}
	// The transport waits for its Read of the body, also once ctx has ended.
	context.AfterFunc(ctx, func() { _ = stdin.Close() }) // it never fails
	c.body, c.stream, c.mediaType = nil, stdin, sallyport.MediaExecStream
	return stdin, nil
}

func stdinFailed(err error) error { return fmt.Errorf("read stdin: %w", err) }

func (c *Client) openExec(ctx context.Context, accept string, r call) (*http.Response, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	return c.send(req)
}

// checkExec returns an error if the answer doesn't consist of frames.
func checkExec(answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return withExecID(readError(answer), answer.Header.Get(sallyport.HeaderExecID))
	}
	if !isMedia(answer, sallyport.MediaNDJSON) && !isMedia(answer, sallyport.MediaFrames) {
		return notOurs(answer)
	}
	return nil
}

// withExecID names the exec in an error about it, if the server hasn't.
func withExecID(err error, execID string) error {
	var e *sallyport.Error
	if errors.As(err, &e) && e.ExecID == "" {
		e.ExecID = execID
	}
	return err
}

// noAnswer is the error of an exec without an answer: a request that was never sent ran
// nothing; after one that was sent, nothing is known.
func noAnswer(ctx context.Context, err error, sent bool) error {
	switch {
	case ctx.Err() != nil:
		return ended(ctx)
	case sent:
		return &CutError{Err: err, silent: true}
	}
	return err
}

// request is the body of the exec, without its stdin. It refuses text that JSON would change
// in silence.
func (e Exec) request() (sallyport.ExecRequest, error) {
	req := sallyport.ExecRequest{
		Cmd: e.Cmd, TimeoutS: seconds(e.Timeout), Stream: true, Env: e.Env, Cwd: e.Cwd, MaxOutputBytes: e.MaxOutputBytes, Output: e.Output,
	}
	if err := checkRef("workspace", e.Workspace); err != nil {
		return req, err
	}
	return req, e.checkText()
}

func (e Exec) checkText() error {
	for i, s := range e.Cmd {
		if !utf8.ValidString(s) {
			return sallyport.Errorf(sallyport.CodeInvalidArgv, "cmd[%d] is not UTF-8, and JSON can't carry it", i)
		}
	}
	for name, value := range e.Env {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return sallyport.Errorf(sallyport.CodeInvalidEnv, "env %q is not UTF-8, and JSON can't carry it", name)
		}
	}
	if !utf8.ValidString(e.Cwd) {
		return sallyport.Errorf(sallyport.CodeInvalidCwd, "cwd is not UTF-8, and JSON can't carry it")
	}
	return nil
}

// seconds rounds up: a command never gets less time than was asked for.
func seconds(d time.Duration) int {
	n := d / time.Second
	if d%time.Second > 0 {
		n++
	}
	// The server clamps far below; a small int must not turn it negative.
	return int(min(n, 1<<30))
}

// outputBytesDefault is what the contract caps an output at by default.
const outputBytesDefault = 1 << 20

// headerInt reads a header that holds a number; 0 when it doesn't.
func headerInt(h http.Header, name string) int {
	n, err := strconv.Atoi(h.Get(name))
	if err != nil {
		return 0
	}
	return n
}
