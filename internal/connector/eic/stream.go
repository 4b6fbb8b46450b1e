package eic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"sallyport/internal/limits"
)

// stream is a tunnel as a net.Conn: the bytes of its binary messages, whose borders mean
// nothing. Its deadlines can't be set. Read and Write are each for one goroutine at a
// time, and Close for any.
type stream struct {
	ws     *websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc
	rest   io.Reader // of the message that is being read
	first  []byte    // the bytes that awaitByte has read

	once sync.Once
	// closed is called once, at the end; failed when the endpoint says that the
	// machine can't be reached.
	closed, failed func()
}

func newStream(ctx context.Context, ws *websocket.Conn) *stream {
	ws.SetReadLimit(-1) // a message is read piece by piece, however long it is
	s := &stream{ws: ws, closed: func() {}, failed: func() {}}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// errText is a message that the protocol has no use for.
var errText = errors.New("the endpoint sent a text message")

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.first) > 0 {
		n := copy(p, s.first)
		s.first = s.first[n:]
		return n, nil
	}
	for {
		if s.rest == nil {
			kind, r, err := s.ws.Reader(s.ctx)
			if err != nil {
				return 0, s.fault(err)
			}
			if kind != websocket.MessageBinary {
				_ = s.Close() // the error says it all
				return 0, errText
			}
			s.rest = r
		}
		n, err := s.rest.Read(p)
		if err != nil {
			s.rest = nil
		}
		switch {
		case n > 0 || err == nil:
			return n, nil
		case !errors.Is(err, io.EOF):
			return 0, s.fault(err)
		}
	}
}

// awaitByte waits until the machine has said something, which Read then returns. When
// ctx ends first, so does the tunnel.
func (s *stream) awaitByte(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // its end is told below
	defer stop()
	var b [1]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		if ctx.Err() != nil {
			return &fault{class: unreachable, action: openTunnel, err: errors.New("nothing came from the machine")}
		}
		return err
	}
	s.first = b[:]
	return nil
}

// fault is how a tunnel ended. Code 1000 is a normal end; that the target can't be
// reached is told in a reason, some time after the upgrade.
func (s *stream) fault(err error) error {
	said, ok := errors.AsType[websocket.CloseError](err)
	switch {
	case !ok && s.ctx.Err() != nil:
		return net.ErrClosed
	case !ok:
		return fmt.Errorf("tunnel broken off: %w", io.ErrUnexpectedEOF)
	case strings.Contains(strings.ToLower(said.Reason), "unable to connect"):
		s.failed()
		return &fault{class: unreachable, action: openTunnel, code: "Unable to connect to target"}
	case said.Code == websocket.StatusNormalClosure:
		return io.EOF
	}
	return fmt.Errorf("tunnel closed with code %d: %w", said.Code, io.ErrUnexpectedEOF)
}

func (s *stream) Write(p []byte) (int, error) {
	for sent := 0; ; {
		chunk := p[sent:min(len(p), sent+limits.TunnelMessageBytesMax)]
		if err := s.ws.Write(s.ctx, websocket.MessageBinary, chunk); err != nil {
			if s.ctx.Err() != nil {
				return sent, net.ErrClosed
			}
			return sent, err
		}
		if sent += len(chunk); sent == len(p) {
			return sent, nil
		}
	}
}

// Close ends the tunnel at once: there is no half-close, and no handshake is waited for,
// which a far side that has gone silent would hold up.
func (s *stream) Close() error {
	s.once.Do(func() {
		s.cancel()
		_ = s.ws.CloseNow() // the end is all that is wanted
		s.closed()
	})
	return nil
}

func (s *stream) LocalAddr() net.Addr  { return address{} }
func (s *stream) RemoteAddr() net.Addr { return address{} }

var errNoDeadline = errors.New("a tunnel has no deadlines: close it")

func (s *stream) SetDeadline(time.Time) error      { return errNoDeadline }
func (s *stream) SetReadDeadline(time.Time) error  { return errNoDeadline }
func (s *stream) SetWriteDeadline(time.Time) error { return errNoDeadline }

type address struct{}

func (address) Network() string { return "tunnel" }
func (address) String() string  { return "tunnel" }
