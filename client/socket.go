package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
)

const (
	// messageBytesMax is the size of a binary message that is sent; larger writes are cut.
	messageBytesMax = 64 << 10
	// socketReadBytesMax bounds a message that is read. The server's have 64 KiB at most.
	socketReadBytesMax = 2 << 20
	// outboxBytesMax bounds what waits to be sent: a message, and pongs behind it.
	outboxBytesMax = 1 << 20
	// outboxCloseTime is how long a server that reads slowly is waited for at the end.
	outboxCloseTime = time.Second
)

// openSocket opens the WebSocket that req asks for. A refusal is a *sallyport.Error, or a
// *StatusError. The caller closes it; the context of req is that of the handshake alone. pinged,
// if it isn't nil, is called when the server pings.
func (c *Client) openSocket(req *http.Request, subprotocol string, pinged func()) (*websocket.Conn, *outbox, error) {
	sender := http.Client{}
	if c.HTTPClient != nil {
		sender = *c.HTTPClient
	}
	transport := &socketTransport{base: sender.Transport, start: c.start}
	sender.Transport = transport
	ws, answer, err := websocket.Dial(req.Context(), req.URL.String(), &websocket.DialOptions{
		HTTPClient: &sender, HTTPHeader: req.Header, Subprotocols: []string{subprotocol},
		OnPingReceived: func(context.Context, []byte) bool {
			if pinged != nil {
				pinged()
			}
			return true
		},
	})
	if answer != nil && answer.Body != nil { // of a refusal
		defer answer.Body.Close()
	}
	if err != nil {
		return nil, nil, dialError(req, err)
	}
	if ws.Subprotocol() != subprotocol {
		_ = ws.CloseNow()
		return nil, nil, fmt.Errorf("the answer is no WebSocket of the kind %s", subprotocol)
	}
	ws.SetReadLimit(socketReadBytesMax)
	return ws, transport.out, nil
}

// dialError is the error of a handshake without the library's words around it.
func dialError(req *http.Request, err error) error {
	var refused *sallyport.Error
	var notOurs *StatusError
	var withURL *url.Error
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &notOurs):
		return notOurs
	case errors.As(err, &withURL):
		err = withURL.Err
	}
	return fmt.Errorf("reach %s://%s: %w", req.URL.Scheme, req.URL.Host, err)
}

// socketTransport sends the request of one handshake. It reads a refusal whole, of which the
// library keeps 1 KiB, and puts an outbox before the connection.
type socketTransport struct {
	base  http.RoundTripper // nil is http.DefaultTransport
	start func(f func())    // the client's
	out   *outbox
}

// RoundTrip returns the answer to a handshake that was accepted; any other is an error.
func (t *socketTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	answer, err := base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	conn, ok := answer.Body.(io.ReadWriteCloser)
	if answer.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer answer.Body.Close()
		return nil, readError(answer)
	}
	t.out = newOutbox(conn, t.start)
	answer.Body = t.out
	return answer, nil
}

// outbox is a connection whose writes are kept, and sent by a goroutine of its own. So what
// must be sent in time, a pong, is never an error because the server reads slowly: the
// library breaks a connection whose control frame has waited for 5 seconds. And a message
// leaves in one write. Whoever sends messages waits for room before each.
type outbox struct {
	conn io.ReadWriteCloser
	// wake says that there is something to send, or that it is closed; room that there is
	// room again, or will never be. Each holds one word.
	wake, room chan struct{}
	// ended is closed when the goroutine has ended.
	ended chan struct{}

	mu     sync.Mutex // guards the fields below
	kept   []byte
	err    error // why nothing is sent any more
	closed bool  // no more comes: what is kept is the last
}

var errOutboxFull = errors.New("the server doesn't read")

// newOutbox returns the outbox of conn, whose goroutine start starts, and Close ends.
func newOutbox(conn io.ReadWriteCloser, start func(f func())) *outbox {
	o := &outbox{conn: conn, wake: make(chan struct{}, 1), room: make(chan struct{}, 1), ended: make(chan struct{})}
	start(o.send)
	return o
}

func (o *outbox) Read(p []byte) (int, error) { return o.conn.Read(p) }

// Write keeps p, and never waits.
func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.err != nil:
		return 0, o.err
	case o.closed:
		return 0, io.ErrClosedPipe
	case len(o.kept)+len(p) > outboxBytesMax:
		return 0, errOutboxFull
	}
	o.kept = append(o.kept, p...)
	say(o.wake)
	return len(p), nil
}

// hasRoom reports whether a message may be written. Where it may not, room says when to ask
// again.
func (o *outbox) hasRoom() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.kept) < messageBytesMax || o.err != nil
}

// Close sends what is kept, for outboxCloseTime at most, and closes the connection.
func (o *outbox) Close() error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	say(o.wake)
	enough := time.NewTimer(outboxCloseTime)
	defer enough.Stop()
	select {
	case <-o.ended:
	case <-enough.C:
	}
	err := o.conn.Close()
	<-o.ended
	return err
}

func (o *outbox) send() {
	defer close(o.ended)
	defer say(o.room)
	var spare []byte
	for range o.wake {
		for {
			var isLast bool
			if spare, isLast = o.take(spare); isLast {
				return
			}
			if len(spare) == 0 {
				break
			}
			say(o.room)
			if _, err := o.conn.Write(spare); err != nil {
				o.mu.Lock()
				o.err = err
				o.mu.Unlock()
				return
			}
		}
	}
}

// take returns what is kept, leaving spare in its place, and whether that is nothing and
// nothing will come.
func (o *outbox) take(spare []byte) (kept []byte, isLast bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	kept, o.kept = o.kept, spare[:0]
	return kept, len(kept) == 0 && o.closed
}

// say leaves a word for who waits on c, unless there is one already.
func say(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// socketCut is a WebSocket that ended without a last frame.
type socketCut struct{ err error }

func (e *socketCut) Error() string { return fmt.Sprintf("the connection was cut: %v", e.err) }

// Is reports whether target is ErrCut.
func (e *socketCut) Is(target error) bool { return target == ErrCut }

// Unwrap returns the cause, which is never io.EOF: a cut is no end.
func (e *socketCut) Unwrap() error { return e.err }

func cutBy(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &socketCut{err}
}

// checkUpgrade asks what a handshake would be answered, and opens nothing. Nil is that it would
// succeed, as far as is known before.
func (c *Client) checkUpgrade(ctx context.Context, r call) error {
	err := c.do(ctx, r, nil)
	switch {
	case sallyport.CodeOf(err) == sallyport.CodeUpgradeRequired:
		return nil
	case err == nil:
		return fmt.Errorf("%s: the server takes no WebSocket there", r.doing)
	}
	return err
}
