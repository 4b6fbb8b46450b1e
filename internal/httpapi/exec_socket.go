package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// execSocket is GET /workspaces/{workspace}/exec: an exec as a WebSocket, whose stdin is
// streamed. What is to run stands in its first message.
func (c *call) execSocket() error {
	upgrade, err := c.checkHandshake(sallyport.SubprotocolExec)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(c.r.Header[sallyport.HeaderIdempotencyKey])
	if err != nil {
		return err
	}
	if err := c.api.Gateway.MayExec(c.r.Context(), c.by, c.ref()); err != nil {
		return err
	}
	if !upgrade {
		return c.upgradeRequired(sallyport.SubprotocolExec)
	}
	c.isExec = true
	s, err := c.openSocket(sallyport.SubprotocolExec, c.api.Times.orLimits().Keepalive)
	if err != nil {
		c.cause = err // the answer is written
		return nil
	}
	defer s.abort()
	var req gateway.Exec
	text, err := s.first(c.api.Times.orLimits().TerminalStart)
	if err == nil {
		req, err = c.parseExecStart(text)
	}
	if err != nil {
		c.cause = err
		s.end(c.wireError(err))
		return nil
	}
	req.IdempotencyKey = key
	c.cause = c.serveExecSocket(s, req)
	return nil
}

// execStart is the first message of a client.
type execStart struct {
	Type string `json:"type"`
	execBody
}

// parseExecStart parses the first message, within the bounds of a body.
func (c *call) parseExecStart(text []byte) (gateway.Exec, error) {
	var f execStart
	err := c.readWith(bytes.NewReader(text), func(r *bodyReader) error {
		err := parse(r, &f)
		if f.Type != sallyport.FrameStart && frameType(text) != sallyport.FrameStart {
			return sallyport.Errorf(sallyport.CodeInvalidFrame, "the first message must be a text message of type start")
		}
		return err
	})
	switch {
	case sallyport.CodeOf(err) == sallyport.CodeInvalidJSON:
		return gateway.Exec{}, invalidFrame(err)
	case err != nil:
		return gateway.Exec{}, err
	}
	f.Stream = true
	return f.streamed()
}

// serveExecSocket runs an exec and tells its end. It returns why the exec did not end by
// itself, for the log.
func (c *call) serveExecSocket(s *socket, req gateway.Exec) error {
	memory := c.api.Memory.Hold()
	defer memory.Close() // the newest bytes have left
	out := &execSocketOutput{socket: s}
	stdout := &execSocketSide{out, newGoing(frame.Raw, sallyport.Stdout, req)}
	stderr := &execSocketSide{out, newGoing(frame.Raw, sallyport.Stderr, req)}
	result, err := c.runExecSocket(s, req, gateway.ExecOutput{
		Reserve:    func(orgID string) error { return reserveTail(memory, orgID, req) },
		Dispatched: func(id string) { c.execID = id },
		Started:    func() { out.started(c.execID, req.TimeoutS) },
		Stdout:     stdout, Stderr: stderr,
	})
	if err != nil {
		known := c.wireError(err)
		out.finish(sallyport.SocketError{Type: sallyport.FrameError, Error: *known}, stdout, stderr)
		s.close(nil, closeStatus(known.Code), string(known.Code))
		return err
	}
	out.finish(sallyport.ExecExit{Type: sallyport.FrameExit, ExecResult: result}, stdout, stderr)
	s.close(nil, websocket.StatusNormalClosure, sallyport.FrameExit)
	return nil
}

// runExecSocket runs an exec whose stdin, and signals, are what the client sends.
func (c *call) runExecSocket(s *socket, req gateway.Exec, out gateway.ExecOutput) (sallyport.ExecResult, error) {
	ctx, end := context.WithCancelCause(s.ctx) // a ping that can't be sent ends the exec, too
	defer end(nil)
	in := &execSocketInput{socket: s, end: end, running: make(chan gateway.Signaler, 1)}
	req.StreamedStdin, in.stdin = io.Pipe()
	defer func() { _ = req.StreamedStdin.Close() }() // also of an exec that was refused; it never fails
	out.Running = func(command gateway.Signaler) { in.running <- command }
	s.pings.Go(func() { in.receive(ctx) })
	result, err := c.api.Gateway.Exec(ctx, c.by, c.ref(), req, out)
	return result, endedByFrame(ctx, err)
}

// endedByFrame is err, of an exec, or in its place what was wrong with the message that has
// ended the exec.
func endedByFrame(ctx context.Context, err error) error {
	canceled, _ := errors.AsType[*sallyport.Error](err)
	why, known := errors.AsType[*sallyport.Error](context.Cause(ctx))
	if canceled == nil || canceled.Code != sallyport.CodeCanceled || !known {
		return err
	}
	return why.WithStarted(canceled.Started != nil && *canceled.Started)
}

// execSocketInput is what a client sends behind its first message.
type execSocketInput struct {
	*socket
	stdin *io.PipeWriter
	// eof tells that the client has ended stdin.
	eof bool
	// running holds the command, once it runs.
	running chan gateway.Signaler
	// end ends the exec.
	end context.CancelCauseFunc
}

// receive reads until the client goes, or sends what it may not, which ends the exec. It reads
// no faster than the command takes it; stdin that nobody takes any more is thrown away.
func (in *execSocketInput) receive(ctx context.Context) {
	piece := make([]byte, limits.StdinPieceBytes)
	for {
		n, err := in.read(piece, func(text []byte) error { return in.control(ctx, text) })
		if err == nil && in.eof {
			err = sallyport.Errorf(sallyport.CodeInvalidFrame, "bytes came behind stdin_eof")
		}
		if err != nil {
			in.end(err)
			_ = in.stdin.CloseWithError(io.ErrUnexpectedEOF) // never what err may wrap: io.EOF is stdin's end
			return
		}
		_, _ = in.stdin.Write(piece[:n]) // fails when nobody takes it any more
	}
}

// control takes a control message: stdin_eof, once, or a signal, for which it waits until the
// command runs.
func (in *execSocketInput) control(ctx context.Context, text []byte) error {
	switch frameType(text) {
	case sallyport.FrameStdinEOF:
		var f forwardControl
		if err := parse(bytes.NewReader(text), &f); err != nil {
			return invalidFrame(err)
		}
		if in.eof {
			return sallyport.Errorf(sallyport.CodeInvalidFrame, "stdin has ended already")
		}
		in.eof = true
		return in.stdin.Close()
	case sallyport.FrameSignal:
		name, err := parseSignal(text)
		if err == nil {
			in.signal(ctx, name)
		}
		return err
	}
	return sallyport.Errorf(sallyport.CodeInvalidFrame, "a text message must be a JSON object of type stdin_eof or signal")
}

// signal sends a signal. One that is too late, or is not taken, is nothing to the exec: its end
// tells what became of it.
func (in *execSocketInput) signal(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, limits.ConnectTime)
	defer cancel()
	select {
	case command := <-in.running:
		in.running <- command
		_, _ = command.Signal(ctx, name)
	case <-ctx.Done():
	}
}

// execSocketOutput writes an exec's output as it comes. A client that stops reading makes the
// writes block, and so slows the command down; nothing is queued here.
type execSocketOutput struct {
	*socket
	mu    sync.Mutex // guards the order of messages and what follows; a stuck Write holds it
	ended bool
}

// execSocketSide is the writer of one of the two output streams.
type execSocketSide struct {
	*execSocketOutput
	frames goingOutput
}

// started says that the command has started.
func (o *execSocketOutput) started(execID string, timeoutS int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.tell(sallyport.ExecStarted{Type: sallyport.FrameStarted, ID: execID, TimeoutS: timeoutS}) // who reads learns that the client has gone
}

// Write sends p and returns when it has left, in messages that stay within 32 KiB with what comes
// along.
func (side *execSocketSide) Write(p []byte) (int, error) {
	buf := frameBuffers.Get().(*[]byte)
	defer frameBuffers.Put(buf)
	side.mu.Lock()
	defer side.mu.Unlock()
	if side.ended {
		return 0, errEnded
	}
	for part := range slices.Chunk(p, limits.SocketPieceBytes) {
		*buf = side.frames.Append((*buf)[:0], part)
		if err := side.send(*buf); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// send sends frames of encoding Raw, each as a message.
func (o *execSocketOutput) send(frames []byte) error {
	for len(frames) > 0 {
		var message []byte
		message, frames = frame.CutMessage(frames)
		if err := o.write(websocket.MessageBinary, message); err != nil {
			return err
		}
	}
	return nil
}

// tell sends a control message.
func (o *execSocketOutput) tell(message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return o.write(websocket.MessageText, text)
}

// finish sends what the two streams held back, and the last message. A client that has stopped
// reading gets limits.AnswerWriteTime to take each part of it.
func (o *execSocketOutput) finish(last any, sides ...*execSocketSide) {
	late := time.AfterFunc(limits.AnswerWriteTime, o.cancel) // for a Write that is stuck, too
	defer late.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	for _, side := range sides {
		if err := side.frames.WriteRest(patientSocket{o, late}); err != nil {
			return // the client has gone
		}
	}
	late.Reset(limits.AnswerWriteTime)
	_ = o.tell(last) // as above
}

// patientSocket sends frames of encoding Raw, whose reader has until late for each part.
type patientSocket struct {
	*execSocketOutput
	late *time.Timer
}

func (p patientSocket) Write(frames []byte) (int, error) {
	p.late.Reset(limits.AnswerWriteTime)
	return len(frames), p.send(frames)
}
