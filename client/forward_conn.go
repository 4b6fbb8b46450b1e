package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
)

const (
	// controlBytesMax bounds a control frame of the server's.
	controlBytesMax = 64 << 10
	// readBytes is how much of a terminal's message is handed to Read at once.
	readBytes = 32 << 10
	// forwardReadBytes is the longest message of a forward that is handed to Read at once.
	forwardReadBytes = 64 << 10
	// signOfLifeEvery is how often a server is told that a reader who takes nothing is there;
	// it asks every 15 s, and waits as long.
	signOfLifeEvery = 4 * time.Second
	// closeTime bounds how long an end that the server has still to tell is waited for.
	closeTime = 5 * time.Second
)

// ForwardConn is a TCP connection to a port of a workspace's machine, as Client.Forward opens
// it: a net.Conn, which also has CloseWrite. Its methods may be called concurrently.
//
// Read returns io.EOF when the target has ended its direction, and only then. Whatever else
// ends the connection is an error of Read and Write: a *sallyport.Error where the server says
// why, such as killed, revoked or exec_transport, and one for which errors.Is(err, ErrCut) is
// true where nobody does. It can't be taken up again.
type ForwardConn struct {
	doing         string
	local, remote net.Addr
	// lasting has no end: the library takes one that ends for a reason to break the connection.
	lasting context.Context
	ws      *websocket.Conn
	out     *outbox
	// received is what Read reads from, and arriving where its bytes come from.
	received, arriving net.Conn
	// writeDeadline is that of SetWriteDeadline; the pipe keeps that of reads.
	writeDeadline *deadline
	// over is closed when nothing more is read from the WebSocket.
	over chan struct{}

	writing  sync.Mutex // is held by one Write or CloseWrite, and guards sentEOF
	sentEOF  bool
	framing  sync.Mutex // is held while a message is put into out
	closing  sync.Once
	closeErr error

	mu     sync.Mutex // guards the fields below
	gotEOF bool
	// isSentAll tells that CloseWrite was called.
	isSentAll bool
	err       error
}

// addr is an address as it is shown.
type addr string

// Network is "tcp", whatever carries the bytes to the machine.
func (addr) Network() string { return "tcp" }

func (a addr) String() string { return string(a) }

func newForwardConn(lasting context.Context, doing string, remote, local net.Addr, ws *websocket.Conn, out *outbox) *ForwardConn {
	c := &ForwardConn{
		doing: doing, local: local, remote: remote, lasting: lasting, ws: ws, out: out, writeDeadline: newDeadline(), over: make(chan struct{}),
	}
	c.received, c.arriving = net.Pipe()
	go c.receive()
	return c
}

// LocalAddr is the workspace, of which no address is known here.
func (c *ForwardConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the target, as it was asked for.
func (c *ForwardConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the deadlines of Read and Write. One that passes ends neither direction.
func (c *ForwardConn) SetDeadline(t time.Time) error {
	c.writeDeadline.set(t)
	return c.received.SetReadDeadline(t)
}

// SetReadDeadline sets that of Read alone.
func (c *ForwardConn) SetReadDeadline(t time.Time) error { return c.received.SetReadDeadline(t) }

// SetWriteDeadline sets that of Write and CloseWrite.
func (c *ForwardConn) SetWriteDeadline(t time.Time) error {
	c.writeDeadline.set(t)
	return nil
}

// Read reads what the target sent.
func (c *ForwardConn) Read(p []byte) (int, error) {
	n, err := c.received.Read(p)
	switch {
	case errors.Is(err, io.ErrClosedPipe):
		err = c.named(net.ErrClosed)
	case err == io.EOF: //nolint:errorlint // as io.Reader has it
		err = c.readEnd()
	case err != nil:
		err = c.named(err)
	}
	return n, err
}

// readEnd is what Read returns behind the last byte.
func (c *ForwardConn) readEnd() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gotEOF {
		return io.EOF
	}
	return c.err
}

// Write sends p to the target. It returns when all is on its way, before the target has it.
func (c *ForwardConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for written := 0; ; {
		if err := c.awaitRoom(); err != nil {
			return written, err
		}
		if written == len(p) {
			return written, nil
		}
		message := p[written:min(len(p), written+messageBytesMax)]
		if err := c.message(websocket.MessageBinary, message); err != nil {
			return written, err
		}
		written += len(message)
	}
}

// CloseWrite tells the target that no more comes, and leaves reading as it is: TCP's
// half-close. More calls do nothing.
func (c *ForwardConn) CloseWrite() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.sentEOF {
		return nil
	}
	if err := c.awaitRoom(); err != nil {
		return err
	}
	frame, err := json.Marshal(sallyport.ForwardFrame{Type: sallyport.FrameEOF})
	if err != nil {
		return err
	}
	c.sentEOF = true
	c.mu.Lock()
	c.isSentAll = true
	c.mu.Unlock()
	return c.message(websocket.MessageText, frame)
}

// awaitRoom waits until a message may be sent. The caller holds writing.
func (c *ForwardConn) awaitRoom() error {
	for {
		passed := c.writeDeadline.wait()
		switch {
		case c.sentEOF:
			return c.named(syscall.EPIPE)
		case isClosed(c.over):
			return c.writeEnd()
		case isClosed(passed):
			return c.named(os.ErrDeadlineExceeded)
		case c.out.hasRoom():
			return nil
		}
		select {
		case <-c.out.room:
		case <-passed:
		case <-c.over:
		}
	}
}

// writeEnd is what Write returns when the connection is over.
func (c *ForwardConn) writeEnd() error {
	if err := c.Err(); err != nil {
		return err
	}
	return c.named(syscall.EPIPE)
}

// message sends one message.
func (c *ForwardConn) message(kind websocket.MessageType, p []byte) error {
	c.framing.Lock()
	err := c.ws.Write(c.lasting, kind, p)
	c.framing.Unlock()
	if err == nil {
		return nil
	}
	// The reason, if there is one, is read from the server.
	if c.awaitOver() {
		return c.writeEnd()
	}
	return c.named(cutBy(err))
}

// awaitOver reports whether the connection is over within closeTime.
func (c *ForwardConn) awaitOver() bool {
	enough := time.NewTimer(closeTime)
	defer enough.Stop()
	select {
	case <-c.over:
		return true
	case <-enough.C:
		return false
	}
}

// Done returns a channel that is closed when the connection is over: both directions have
// ended and the server has said so, or Err says why not.
func (c *ForwardConn) Done() <-chan struct{} { return c.over }

// Err is nil as long as the connection goes on, and after both directions have ended. Else it
// is what ended them, net.ErrClosed for Close.
func (c *ForwardConn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection. Where both directions have ended, it waits until the server has
// said that the target has all, and its error is the connection's. Before that it is the
// caller who ends it: what Write has taken is still sent, for a second at most, and what comes
// from the target is dropped.
func (c *ForwardConn) Close() error {
	c.closing.Do(func() { c.closeErr = c.close() })
	return c.closeErr
}

func (c *ForwardConn) close() error {
	c.mu.Lock()
	areBothEnded := c.gotEOF && c.isSentAll
	if !areBothEnded && c.err == nil && !isClosed(c.over) {
		c.err = c.named(net.ErrClosed)
	}
	c.mu.Unlock()
	if areBothEnded {
		c.awaitOver()
	}
	_ = c.received.Close()
	_ = c.ws.CloseNow()
	<-c.over
	if areBothEnded {
		return c.Err()
	}
	return nil
}

// receive reads from the WebSocket until its end.
func (c *ForwardConn) receive() {
	defer close(c.over)
	err := c.receiveAll()
	c.mu.Lock()
	if c.err == nil && err != nil {
		c.err = c.named(err)
	}
	c.mu.Unlock()
	_ = c.arriving.Close()
	var last *sallyport.Error
	if errors.As(err, &last) { // the server closes behind it
		ctx, cancel := context.WithTimeout(c.lasting, closeTime)
		defer cancel()
		_, _, _ = c.ws.Reader(ctx)
	}
	_ = c.ws.CloseNow()
}

func (c *ForwardConn) receiveAll() error {
	buffer := make([]byte, forwardReadBytes)
	for {
		kind, message, err := c.ws.Reader(c.lasting)
		switch {
		case err != nil && c.hasEnded() && websocket.CloseStatus(err) == websocket.StatusNormalClosure:
			return nil
		case err != nil:
			return cutBy(err)
		case kind == websocket.MessageText:
			err = c.control(message)
		case c.hasEnded():
			err = cutBy(errors.New("the server sends more behind the end"))
		default:
			err = c.pass(message, buffer)
		}
		if err != nil {
			return err
		}
	}
}

// hasEnded reports whether the target has ended its direction.
func (c *ForwardConn) hasEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gotEOF
}

// pass hands a message to Read, in pieces as large as buffer: the library reads the beginning
// of a message by itself, and each piece costs Read a turn.
func (c *ForwardConn) pass(message io.Reader, buffer []byte) error {
	for {
		n, err := fill(message, buffer)
		if n > 0 {
			if err := c.deliver(buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF: //nolint:errorlint // the message's end; a cut is another
			return nil
		case err != nil:
			return cutBy(err)
		}
	}
}

// fill reads until p is full or reading fails, and returns that error as it is.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}

// deliver waits until Read has taken p. The server's pings lie behind what isn't taken yet,
// and can't be answered: it is told that this side is there all the same.
func (c *ForwardConn) deliver(p []byte) error {
	for {
		if err := c.arriving.SetWriteDeadline(time.Now().Add(signOfLifeEvery)); err != nil {
			return err
		}
		n, err := c.arriving.Write(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		p = p[n:]
		c.framing.Lock()
		_, _ = c.out.Write(emptyPong()) // where nothing can be sent, reading ends too
		c.framing.Unlock()
	}
}

// emptyPong is a pong that nobody asked for (RFC 6455, 5.5.3), as a frame: final, masked,
// without payload. The library sends none.
func emptyPong() []byte { return []byte{0x80 | 0xa, 0x80, 0, 0, 0, 0} }

// control obeys a control frame.
func (c *ForwardConn) control(message io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(message, controlBytesMax+1))
	if err != nil {
		return cutBy(err)
	}
	var frame sallyport.SocketError
	if len(text) > controlBytesMax || json.Unmarshal(text, &frame) != nil {
		return cutBy(errors.New("the server sends what is no control frame"))
	}
	switch {
	case frame.Type == sallyport.FrameEOF && !c.hasEnded():
		c.mu.Lock()
		c.gotEOF = true
		c.mu.Unlock()
		return c.arriving.Close()
	case frame.Type == sallyport.FrameError && frame.Code != "":
		return &frame.Error
	}
	return cutBy(fmt.Errorf("the server sends a control frame %q out of its turn", frame.Type))
}

// named is err, and on which connection.
func (c *ForwardConn) named(err error) error { return fmt.Errorf("%s: %w", c.doing, err) }
