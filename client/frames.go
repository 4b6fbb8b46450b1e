package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
)

// Frame is one frame of an exec's answer. Exactly one of three is set: Stream,
// with Data and Truncated, on a piece of output; Result, how the command ended;
// Err, an error of Sallyport's own. The last two are last frames. Data is valid
// until the next call of Next.
type Frame = frame.Frame

// Frames is the answer to an exec, or the output of a detached one, frame by frame. It is not safe for concurrent
// use.
type Frames struct {
	// ExecID names the exec's row in the activity log.
	ExecID string
	// TimeoutS is the time-out in force, in seconds; 0 in the output of a detached exec.
	TimeoutS int

	doing  string
	ctx    context.Context // the caller's
	cancel context.CancelFunc
	body   io.ReadCloser
	stdin  *execBody // nil where none is streamed
	output *reading  // nil but for the output of a detached exec
	reader frameReader
	tap    *tap // nil if the caller doesn't want the lines
	line   []byte
	last   bool
}

// frameReader reads one of the encodings that we ask for.
type frameReader interface{ Next() (frame.Frame, error) }

// ExecFrames starts a command and returns its answer as it comes, for callers that
// want the frames themselves; e's Stdout, Stderr and Started are not used. The caller
// closes it. Canceling ctx, or closing before the last frame, cancels the command
// on its machine. The errors are those of Exec.
func (c *Client) ExecFrames(ctx context.Context, e Exec) (*Frames, error) {
	return c.startExec(ctx, e, true)
}

func newFrames(answer *http.Response, withLines bool) *Frames {
	f := &Frames{
		ExecID:   answer.Header.Get(sallyport.HeaderExecID),
		TimeoutS: headerInt(answer.Header, sallyport.HeaderTimeoutS),
		body:     answer.Body,
	}
	var r io.Reader = answer.Body
	if withLines {
		f.tap = &tap{r: r}
		r = f.tap
	}
	f.reader = frame.NewReader(r)
	if isMedia(answer, sallyport.MediaFrames) {
		f.reader = frame.NewRawReader(r)
	}
	return f
}

// Next returns the next frame, and io.EOF after the last. An answer that ends
// without a last frame, or can't be read, is ErrCut; a context that ended is its
// own error.
func (f *Frames) Next() (Frame, error) {
	switch {
	case f.last:
		return Frame{}, io.EOF
	case f.output != nil:
		return f.nextOutput()
	}
	return f.nextOfOne()
}

// nextOfOne returns the next frame of the answer at hand.
func (f *Frames) nextOfOne() (Frame, error) {
	next, err := f.reader.Next()
	if err != nil && f.ctx.Err() != nil {
		return Frame{}, fmt.Errorf("%s: %w", f.doing, ended(f.ctx))
	}
	if failed := f.stdin.stdinError(); err != nil && failed != nil {
		return Frame{}, fmt.Errorf("%s: %w", f.doing, stdinFailed(failed))
	}
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.ErrUnexpectedEOF // whichever layer noticed it
		}
		return Frame{}, fmt.Errorf("%s: %w", f.doing, &CutError{ExecID: f.ExecID, Err: err})
	}
	f.last = next.Stream == ""
	if next.Err != nil && next.Err.ExecID == "" {
		next.Err.ExecID = f.ExecID
	}
	if f.tap != nil {
		f.line = f.tap.next()
	}
	return next, nil
}

// Line returns the frame that Next returned last as the server wrote it, without
// the newline. It is valid until the next call of Next.
func (f *Frames) Line() []byte { return f.line }

// drainTime bounds the wait for the end of an answer whose last frame is there.
const drainTime = time.Second

// Close ends the answer, and the exec with it when its last frame has not come, unless it is
// a detached one.
// It may be called twice.
func (f *Frames) Close() {
	if f.last {
		f.drain()
	}
	f.cancel()
	f.body.Close()
}

// drain reads up to the end of the answer, which follows the last frame: only then can the
// connection carry another request.
func (f *Frames) drain() {
	late := time.AfterFunc(drainTime, f.cancel)
	defer late.Stop()
	// Whether it succeeds makes no difference to an exec that has ended.
	_, _ = io.CopyN(io.Discard, f.body, 512)
}

// tap keeps the bytes that pass through it, so that the line of a frame is at hand.
type tap struct {
	r     io.Reader
	kept  []byte
	given int
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.kept = append(t.kept[:copy(t.kept, t.kept[t.given:])], p[:n]...)
	t.given = 0
	return n, err
}

// next returns the next line that is not empty: that of the frame which was read
// last, since keep-alives are no frames.
func (t *tap) next() []byte {
	for {
		line, _, found := bytes.Cut(t.kept[t.given:], []byte("\n"))
		if !found {
			return nil
		}
		t.given += len(line) + 1
		if len(line) > 0 {
			return line
		}
	}
}
