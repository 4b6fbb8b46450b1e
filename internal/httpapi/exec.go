package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
	"sallyport/internal/quota"
)

// exec is POST /workspaces/{workspace}/exec.
func (c *call) exec() error {
	done, err := c.api.Gateway.Admit()
	if err != nil {
		return err
	}
	defer done()
	as := acceptedEncoding(c.r.Header["Accept"])
	if as == frame.Docker && !c.r.ProtoAtLeast(1, 1) {
		return sallyport.Errorf(sallyport.CodeHTTPVersionNotSupported, "this framing tells the result in trailers, which take HTTP/1.1")
	}
	c.isExec = true
	if c.streamsStdin() {
		return c.execStdin(as)
	}
	body, err := decode[execBody](c)
	if err != nil {
		return err
	}
	req, err := body.exec(sallyport.MaxTimeout)
	if err != nil {
		return err
	}
	return c.execAs(req, as)
}

// execAs runs an exec, and answers in an encoding.
func (c *call) execAs(req gateway.Exec, as frame.Encoding) (err error) {
	if req.IdempotencyKey, err = idempotencyKey(c.r.Header[sallyport.HeaderIdempotencyKey]); err != nil {
		return err
	}
	if req.Detached {
		return c.execDetached(req)
	}
	if req.Stream {
		return c.execStreamed(req, as)
	}
	return c.execBuffered(req, as)
}

// execBuffered answers when the command has ended.
func (c *call) execBuffered(req gateway.Exec, as frame.Encoding) error {
	memory := c.api.Memory.Hold()
	defer memory.Close() // the answer has left
	stdout := &lockedOutput{kept: newKept(as, sallyport.Stdout, req), memory: memory}
	stderr := &lockedOutput{kept: newKept(as, sallyport.Stderr, req), memory: memory}
	result, err := c.api.Gateway.Exec(c.r.Context(), c.by, c.ref(), req, gateway.ExecOutput{
		Reserve:    func(orgID string) error { return reserve(memory, orgID, keptBytes(req)) },
		Dispatched: func(id string) { c.dispatched(id, req) },
		Started:    func() {},
		Stdout:     stdout, Stderr: stderr,
	})
	if err != nil {
		return err
	}
	out, errOut := stdout.take(), stderr.take()
	left := out.Held() + errOut.Held()
	if left <= limits.SmallBytesMax {
		left = 0
	}
	memory.Shrink(left) // of the caps that were asked for, what was used waits for its reader
	c.sendBuffered(as, out, errOut, result)
	return nil
}

// newKept keeps what a buffered exec is to be answered with of an output stream.
func newKept(as frame.Encoding, name string, req gateway.Exec) keptOutput {
	if size := req.Output; size != nil {
		return frame.NewExcerpt(as, name, size.HeadBytes, size.TailBytes)
	}
	return frame.NewBuffer(as, name, req.MaxOutputBytes)
}

// keptBytes is how much of each stream a buffered exec keeps at most.
func keptBytes(req gateway.Exec) int64 {
	if size := req.Output; size != nil {
		return size.Bytes()
	}
	return req.MaxOutputBytes
}

// reserve sets aside the memory of an exec that asks for a cap above the default, for both
// streams. Others are counted as their output comes: what they hold at most is no more than
// SSH itself takes for a stream whose reader has stopped.
func reserve(memory *quota.Held, orgID string, maxOutput int64) error {
	bytes := int64(0)
	if maxOutput > limits.OutputBytesDefault {
		bytes = 2 * maxOutput
	}
	return reserveBytes(memory, orgID, bytes)
}

// reserveTail sets aside the memory of an exec that is streamed and asks for the newest bytes,
// which are kept until its end.
func reserveTail(memory *quota.Held, orgID string, req gateway.Exec) error {
	if req.Output == nil {
		return nil
	}
	return reserveBytes(memory, orgID, 2*req.Output.TailBytes)
}

func reserveBytes(memory *quota.Held, orgID string, bytes int64) error {
	if memory.Reserve(orgID, bytes) {
		return nil
	}
	full := sallyport.Errorf(sallyport.CodeTooManyExecs,
		"the memory for buffered output is taken; try again in a moment, with a lower max_output_bytes or output, or ask for a stream")
	full.Reason = sallyport.ReasonMemory
	return full
}

// sendBuffered sends a whole exec: in one piece when it is small, in parts when it
// is large.
func (c *call) sendBuffered(as frame.Encoding, stdout, stderr keptOutput, result sallyport.ExecResult) {
	declareTrailers(c.w.Header(), as)
	answer := func(w io.Writer) error {
		if err := errors.Join(stdout.WriteFrame(w), stderr.WriteFrame(w)); err != nil {
			return err
		}
		_, err := w.Write(as.AppendLast(nil, result))
		return err
	}
	defer func() { setTrailers(c.w.Header(), as, result) }()
	if stdout.Len()+stderr.Len() > limits.ChunkBytesMax {
		c.sendParts(http.StatusOK, mediaType(as), answer)
		return
	}
	var whole bytes.Buffer
	_ = answer(&whole) // a bytes.Buffer takes all
	c.send(http.StatusOK, mediaType(as), whole.Bytes())
}

// execStreamed answers as the output arrives. Once the command has started, what
// fails is told in the last frame.
func (c *call) execStreamed(req gateway.Exec, as frame.Encoding) error {
	memory := c.api.Memory.Hold()
	defer memory.Close()
	s := newStream(c.w, as, func(name string) goingOutput { return newGoing(as, name, req) }, c.api.Times.orLimits().Keepalive)
	whole := false
	defer func() {
		if !whole { // a panic cuts the answer
			s.stop()
		}
	}()
	result, err := c.api.Gateway.Exec(c.r.Context(), c.by, c.ref(), req, gateway.ExecOutput{
		Reserve:    func(orgID string) error { return reserveTail(memory, orgID, req) },
		Dispatched: func(id string) { c.dispatched(id, req) },
		Started:    s.start,
		Stdout:     s.stdout, Stderr: s.stderr,
	})
	whole = true
	switch {
	case err == nil:
		s.end(result)
	case s.begun.Load():
		c.cause = err
		s.end(c.wireError(err))
	default:
		return err
	}
	return nil
}

// newGoing makes frames of an output stream as it comes.
func newGoing(as frame.Encoding, name string, req gateway.Exec) goingOutput {
	if size := req.Output; size != nil {
		return frame.NewExcerpt(as, name, size.HeadBytes, size.TailBytes)
	}
	return frame.NewStream(as, name, req.MaxOutputBytes)
}

// dispatched names the row in the answer, whatever the answer will be.
func (c *call) dispatched(execID string, req gateway.Exec) {
	c.execID = execID
	h := c.w.Header()
	h.Set(sallyport.HeaderExecID, execID)
	h.Set(sallyport.HeaderTimeoutS, strconv.Itoa(req.TimeoutS))
}

// idempotencyKey reads the header's values; none is no key.
func idempotencyKey(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	isPlain := func(r rune) bool { return r > ' ' && r <= '~' }
	if len(values) > 1 || key == "" || len(key) > limits.IdempotencyKeyCharsMax || strings.ContainsFunc(key, func(r rune) bool { return !isPlain(r) }) {
		return "", sallyport.Errorf(sallyport.CodeInvalidIdempotencyKey, "Idempotency-Key must be given once, with 1 to %d visible ASCII characters", limits.IdempotencyKeyCharsMax)
	}
	return key, nil
}
