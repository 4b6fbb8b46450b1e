package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
)

// OutputOptions say what of a detached exec's output is wanted. The zero value is all that is
// kept now, of both streams.
type OutputOptions struct {
	// Stream is sallyport.Stdout or sallyport.Stderr; empty is both.
	Stream string
	// SinceStdout and SinceStderr are where to begin, in bytes from the beginning of the
	// stream; -N is its newest N bytes.
	SinceStdout, SinceStderr int64
	// Follow goes on until the exec ends.
	Follow bool
	// MaxBytes ends the reading after so many bytes of data, both streams together; 0 is all.
	MaxBytes int64
	// Cut is called, by Next, when an answer was cut off, before the output is asked for
	// again. Nil is for nobody.
	Cut func(error)
}

// query is what asks for it.
func (o OutputOptions) query(org string) url.Values {
	q := orgQuery(org)
	stdout, stderr := strconv.FormatInt(o.SinceStdout, 10), strconv.FormatInt(o.SinceStderr, 10)
	since := stdout + "," + stderr
	switch o.Stream {
	case sallyport.Stdout:
		since = stdout
	case sallyport.Stderr:
		since = stderr
	}
	set(q, "stream", o.Stream)
	q.Set("since", since)
	if o.Follow {
		q.Set("follow", "true")
	}
	if o.MaxBytes != 0 {
		q.Set("max_bytes", strconv.FormatInt(o.MaxBytes, 10))
	}
	return q
}

// Tries to go on with an output behind a cut.
const (
	// outputResumeTime is for how long it is tried.
	outputResumeTime = time.Minute
	// outputSilenceMax is how long an answer may tell nothing, not even that it stands.
	outputSilenceMax = time.Minute
)

// ExecOutput reads the output of a detached exec, from wherever it was asked for, in order, and
// byte for byte: Frame.Offset is that of Data's first byte in its stream, and a frame with
// Skipped stands for bytes that are not kept any more. The last frame has End: Result or Err
// beside it is how the exec ended, and neither is set while it runs. End.Status is empty where
// the reading failed, as Err says.
//
// An answer that is cut off, or ends with the server, is asked for again at its offset, for a
// minute; what Next returns goes on without a gap. The caller closes what it gets. Neither that
// nor the end of ctx does anything to the exec.
func (c *Client) ExecOutput(ctx context.Context, workspace, execID string, o OutputOptions) (*Frames, error) {
	doing := "output of exec " + execID
	err := checkRef("workspace", workspace)
	if err == nil {
		err = checkRef("exec", execID)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	f := &Frames{ExecID: execID, doing: doing, ctx: ctx, cancel: func() {}, body: http.NoBody}
	f.output = &reading{client: c, path: path("workspaces", workspace, "execs", execID, "output"), options: o, wait: resumeWaitMin}
	if err := f.open(time.Hour); err != nil { // the server bounds how long an exec may take to start
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return f, nil
}

// reading is what an output, over as many answers as it takes, has come to.
type reading struct {
	client *Client
	path   string
	// options are those that the next answer is asked for with.
	options OutputOptions
	// knownStdout and knownStderr tell that the offsets there are exact.
	knownStdout, knownStderr bool
	openedAt                 time.Time
	// until is when no more is tried, once an answer was cut off; wait is before the next try.
	until time.Time
	wait  time.Duration
	// isDone tells that all MaxBytes have come.
	isDone bool
}

// open asks for the output from where it is, and waits for the answer's beginning for so long
// at most.
func (f *Frames) open(patience time.Duration) error {
	f.body.Close()
	f.cancel()
	ctx, cancel := context.WithCancel(f.ctx)
	f.cancel = cancel
	r := f.output
	req, err := r.client.request(ctx, call{method: http.MethodGet, path: r.path, query: r.options.query(r.client.Org)})
	if err != nil {
		return err
	}
	req.Header.Set("Accept", sallyport.MediaNDJSON)
	silence := time.AfterFunc(patience, cancel)
	answer, err := r.client.send(req)
	if err == nil {
		if err = checkExec(answer); err != nil {
			answer.Body.Close()
		}
	}
	if err != nil {
		silence.Stop()
		cancel()
		if f.ctx.Err() != nil {
			return ended(f.ctx)
		}
		return err
	}
	r.begin(answer.Header.Get(sallyport.HeaderOutputOffset))
	answer.Body = &heardBody{answer.Body, silence}
	opened := newFrames(answer, true)
	f.body, f.reader, f.tap = opened.body, opened.reader, opened.tap
	return nil
}

// begin takes the offsets of the first bytes, as the header of an answer tells them.
func (r *reading) begin(offsets string) {
	r.openedAt = time.Now()
	for told := range strings.SplitSeq(offsets, ",") {
		stream, digits, _ := strings.Cut(told, "=")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 0 {
			r.goOn(stream, n)
		}
	}
}

// goOn notes where a stream goes on.
func (r *reading) goOn(stream string, offset int64) {
	switch stream {
	case sallyport.Stdout:
		r.options.SinceStdout, r.knownStdout = offset, true
	case sallyport.Stderr:
		r.options.SinceStderr, r.knownStderr = offset, true
	}
}

// nextOutput is Next of a detached exec's output.
func (f *Frames) nextOutput() (Frame, error) {
	for {
		next, err := f.nextOfOne()
		if err == nil && !goesOnElsewhere(next) {
			return next, f.output.take(next)
		}
		if f.ctx.Err() != nil {
			return next, err
		}
		why := err
		if why == nil {
			why = next.Err
		}
		again, refused := f.resume(why)
		switch {
		case refused != nil:
			return Frame{}, fmt.Errorf("%s: %w", f.doing, refused)
		case !again:
			return next, err
		}
		f.last = false
	}
}

// errOutputGap: what came isn't what follows what came before.
var errOutputGap = errors.New("the output goes on with a gap, or again with what has come already")

// take notes where the output goes on behind a frame.
func (r *reading) take(next Frame) error {
	r.wait, r.until = resumeWaitMin, time.Time{}
	if next.Stream == "" {
		return nil
	}
	at, isKnown := r.options.SinceStdout, r.knownStdout
	if next.Stream == sallyport.Stderr {
		at, isKnown = r.options.SinceStderr, r.knownStderr
	}
	if isKnown && next.Offset != at {
		return fmt.Errorf("%w: %s at %d, and not at %d", errOutputGap, next.Stream, next.Offset, at)
	}
	r.goOn(next.Stream, next.Offset+int64(len(next.Data))+next.Skipped)
	if r.options.MaxBytes > 0 {
		r.options.MaxBytes -= int64(len(next.Data))
		r.isDone = r.options.MaxBytes <= 0
	}
	return nil
}

// goesOnElsewhere tells of a last frame that another server, or another try, may have more than.
func goesOnElsewhere(last Frame) bool {
	return last.End != nil && last.End.Status == "" && mayPass(last.Err)
}

// mayPass tells whether what fails may succeed a moment later.
func mayPass(err error) bool {
	switch sallyport.CodeOf(err) {
	case "", sallyport.CodeDraining, sallyport.CodePlatformUnavailable, sallyport.CodeInternal, sallyport.CodeRateLimited,
		sallyport.CodeExecTransport, sallyport.CodeConnectFailed, sallyport.CodeConnectTimeout, sallyport.CodeTooManyExecs:
		return true
	}
	return false
}

// resume asks for the output again until there is an answer, because of why. It returns false
// when the time for that is over, and an error that stands in place of why.
func (f *Frames) resume(why error) (again bool, refused error) {
	r := f.output
	if r.isDone {
		return false, nil
	}
	if now := time.Now(); r.until.IsZero() || now.Sub(r.openedAt) > resumeTryTime {
		r.until, r.wait = now.Add(outputResumeTime), resumeWaitMin
	}
	if r.options.Cut != nil {
		r.options.Cut(why)
	}
	for pause(f.ctx, r.wait, r.until) {
		r.wait = min(2*r.wait, resumeWaitMax)
		err := f.open(min(resumeTryTime, time.Until(r.until)))
		if err == nil || !mayPass(err) {
			return err == nil, err
		}
	}
	if f.ctx.Err() != nil {
		return false, ended(f.ctx)
	}
	return false, nil
}

// pause waits, and tells whether ctx still stands and until has not come.
func pause(ctx context.Context, wait time.Duration, until time.Time) bool {
	if time.Until(until) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// heardBody is the body of an answer that ends when it tells nothing for too long.
type heardBody struct {
	io.ReadCloser
	silence *time.Timer
}

// Read is that of the body.
func (b *heardBody) Read(p []byte) (int, error) {
	b.silence.Reset(outputSilenceMax)
	defer b.silence.Stop() // a reader that takes its time is no silence
	return b.ReadCloser.Read(p)
}

// Close is that of the body.
func (b *heardBody) Close() error {
	b.silence.Stop()
	return b.ReadCloser.Close()
}
