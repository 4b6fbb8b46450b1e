package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// checkHandshake checks what the headers say of a WebSocket, and tells whether one is asked
// for at all: a plain GET is answered with upgradeRequired, once all else that is checked
// before an upgrade holds for it. It returns cross_origin_forbidden or invalid_handshake.
func (c *call) checkHandshake(subprotocol string) (upgrade bool, err error) {
	if !isSameOrigin(c.r) {
		return false, crossOrigin()
	}
	if !isUpgrade(c.r) || c.r.Method != http.MethodGet {
		return false, nil
	}
	h := c.r.Header
	keys := h["Sec-Websocket-Key"]
	wrong := ""
	switch {
	case c.r.ProtoMajor != 1 || !hasToken(h["Connection"], "upgrade"):
		wrong = "it is no HTTP/1.1 request with Connection: Upgrade"
	case len(h["Sec-Websocket-Version"]) != 1 || strings.TrimSpace(h["Sec-Websocket-Version"][0]) != "13":
		c.w.Header().Set("Sec-WebSocket-Version", "13")
		wrong = "the version is 13"
	case len(keys) != 1 || !isSocketKey(strings.TrimSpace(keys[0])):
		wrong = "Sec-WebSocket-Key must be 16 bytes in base64"
	case !slices.Contains(elements(h["Sec-Websocket-Protocol"]), subprotocol):
		wrong = "the subprotocol " + subprotocol + " must be offered"
	default:
		return true, nil
	}
	return true, sallyport.Errorf(sallyport.CodeInvalidHandshake, "the WebSocket handshake is not usable: %s", wrong)
}

func isSocketKey(key string) bool {
	b, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(b) == 16
}

// upgradeRequired is the answer to a plain GET of what is a WebSocket.
func (c *call) upgradeRequired(subprotocol string) error {
	c.w.Header().Set("Upgrade", "websocket")
	c.w.Header().Set("Connection", "Upgrade")
	return sallyport.Errorf(sallyport.CodeUpgradeRequired, "this is a WebSocket of subprotocol %s; nothing has happened", subprotocol)
}

// socket is one of our WebSockets (RFC 6455), without extensions: binary messages are bytes,
// in any cut, and text messages control. One goroutine reads, one writes. Its maker calls end,
// once.
type socket struct {
	conn   *websocket.Conn
	out    *gatherer       // below conn
	ctx    context.Context // ends with the connection, also when a ping can't be sent
	cancel context.CancelFunc
	pings  sync.WaitGroup
	// message is what is left of the message that is being read; nil is none.
	message io.Reader

	// waiting tells that somebody reads, so that a pong is seen; heldUntil is when input that
	// was held back for long was read on, in nanoseconds of Unix time.
	waiting   atomic.Bool
	heldUntil atomic.Int64
	// heardAt is when the last pong came, in nanoseconds of Unix time: also one that nobody
	// asked for, which our client sends while its reader takes nothing, and so no ping.
	heardAt atomic.Int64
	readAt  time.Time // when the last read returned
	writing atomic.Bool
}

// openSocket upgrades a request whose handshake was checked, and pings the other side from
// then on: one that has not answered within every is lost.
func (c *call) openSocket(subprotocol string, every time.Duration) (*socket, error) {
	s := &socket{readAt: time.Now(), out: &gatherer{}}
	var err error
	s.conn, err = websocket.Accept(hijacker{ResponseWriter: c.w, to: s.out}, c.r, &websocket.AcceptOptions{
		OnPongReceived: func(context.Context, []byte) { s.heardAt.Store(time.Now().UnixNano()) },
		Subprotocols:   []string{subprotocol}, CompressionMode: websocket.CompressionDisabled,
		InsecureSkipVerify: true, // checkHandshake has looked at the origin
	})
	if err != nil {
		return nil, errors.Join(errNotAccepted, err)
	}
	s.conn.SetReadLimit(limits.SocketMessageBytesMax)
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(c.r.Context()))
	s.startPings(every)
	return s, nil
}

// startPings pings until the socket's end. Between two pings no goroutine waits: there are many
// sockets, and most are idle.
func (s *socket) startPings(every time.Duration) {
	s.pings.Add(1)
	var mu sync.Mutex // guards next, and that none is set behind the end
	var next *time.Timer
	mu.Lock()
	defer mu.Unlock()
	next = time.AfterFunc(every, func() {
		began := time.Now()
		isThere := s.ping(every)
		mu.Lock()
		defer mu.Unlock()
		if isThere && s.ctx.Err() == nil {
			next.Reset(max(0, every-time.Since(began)))
		} else {
			s.pings.Done()
		}
	})
	context.AfterFunc(s.ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if next.Stop() { // else it is at work, and sees the end
			s.pings.Done()
		}
	})
}

// ping finds out whether the other side is there, and closes the connection if it isn't. A pong is
// seen by who reads, and none is waited for while the input is held back, or while the other side
// takes no output.
func (s *socket) ping(every time.Duration) (isThere bool) {
	if s.writing.Load() {
		return true
	}
	asked := time.Now()
	ctx, cancel := context.WithTimeout(s.ctx, every)
	defer cancel()
	err := s.conn.Ping(ctx)
	if err != nil && ctx.Err() == nil { // it could not be sent
		s.cancel()
		_ = s.conn.CloseNow()
		return false
	}
	if err != nil && s.waiting.Load() && !s.writing.Load() && max(s.heldUntil.Load(), s.heardAt.Load()) < asked.UnixNano() {
		_ = s.conn.CloseNow() // the reader is told
		return false
	}
	return true
}

// read reads bytes. What is a control message is handed to control, whose error it returns.
// When the other side has gone it returns canceled.
func (s *socket) read(p []byte, control func(text []byte) error) (int, error) {
	s.reads(true)
	defer s.reads(false)
	for {
		if s.message == nil {
			kind, message, err := s.conn.Reader(s.ctx)
			if err != nil {
				return 0, s.gone(err)
			}
			if kind == websocket.MessageText {
				text, err := io.ReadAll(message)
				if err != nil {
					return 0, s.gone(err)
				}
				if err := control(text); err != nil {
					return 0, err
				}
				continue
			}
			s.message = message
		}
		n, err := s.message.Read(p)
		if errors.Is(err, io.EOF) {
			s.message, err = nil, nil
		}
		if err != nil {
			return n, s.gone(err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

var errControl = errors.New("a control message has come")

// first reads the first message, which must be a control message and come in time. It returns
// request_timeout, invalid_frame, or canceled.
func (s *socket) first(within time.Duration) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	s.pings.Go(func() {
		var text []byte
		_, err := s.read(make([]byte, 1), func(b []byte) error {
			text = b
			return errControl
		})
		switch {
		case errors.Is(err, errControl):
			err = nil
		case err == nil:
			err = sallyport.Errorf(sallyport.CodeInvalidFrame, "bytes came before the first text message")
		}
		read <- result{text, err}
	})
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case r := <-read:
		return r.text, r.err
	case <-late.C:
		return nil, sallyport.Errorf(sallyport.CodeRequestTimeout, "the first message did not come within %s", within)
	}
}

// abort closes the connection at once, if it isn't closed already, and waits for whoever works
// for it.
func (s *socket) abort() {
	s.cancel()
	_ = s.conn.CloseNow()
	s.pings.Wait()
}

// reads notes that somebody begins or ceases to read.
func (s *socket) reads(begins bool) {
	if begins && time.Since(s.readAt) > limits.SocketHoldTime {
		s.heldUntil.Store(time.Now().UnixNano())
	}
	s.waiting.Store(begins)
	s.readAt = time.Now()
}

// gone is why nothing more can be read: invalid_frame for a message that is too large or no
// RFC 6455, which has its own close code, else canceled.
func (s *socket) gone(err error) error {
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return sallyport.Errorf(sallyport.CodeInvalidFrame, "a message has more than %d bytes", limits.SocketMessageBytesMax).Because(err)
	case websocket.CloseStatus(err) < 0 && strings.Contains(err.Error(), "unmasked"): // the library has no word for it
		_ = s.conn.Close(websocket.StatusProtocolError, "")
	}
	return sallyport.Errorf(sallyport.CodeCanceled, "the caller has gone").Because(err)
}

// write writes one message, and waits for as long as the other side takes nothing.
func (s *socket) write(kind websocket.MessageType, message []byte) error {
	s.writing.Store(true)
	defer s.writing.Store(false)
	s.out.gather()
	err := s.conn.Write(s.ctx, kind, message)
	if err = errors.Join(err, s.out.release()); err != nil {
		return sallyport.Errorf(sallyport.CodeCanceled, "the caller has gone").Because(err)
	}
	return nil
}

// writeControl writes a control message.
func (s *socket) writeControl(ctx context.Context, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.conn.Write(ctx, websocket.MessageText, text)
}

// end says why it ends, twice: in a last message, and in the close frame, where proxies and
// browsers look; nil is an end by both sides. Then it closes the connection, so that read and
// write return.
func (s *socket) end(why *sallyport.Error) {
	if why == nil {
		s.close(nil, websocket.StatusNormalClosure, "")
		return
	}
	s.close(sallyport.SocketError{Type: sallyport.FrameError, Error: *why}, closeStatus(why.Code), string(why.Code))
}

// close sends a last message, unless it is nil, closes the connection, and tells whether the
// other side has taken that.
func (s *socket) close(last any, code websocket.StatusCode, reason string) (taken bool) {
	var err error
	if last != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), limits.SocketEndTime)
		err = s.writeControl(ctx, last)
		cancel()
	}
	if err == nil {
		err = s.conn.Close(code, reason)
	}
	if err != nil {
		_ = s.conn.CloseNow() // the other side takes nothing, or has gone
	}
	s.cancel()
	s.pings.Wait()
	return err == nil
}
