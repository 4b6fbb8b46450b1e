package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// isUpgrade tells whether a request asks for a WebSocket (RFC 6455, section 4.1).
func isUpgrade(r *http.Request) bool { return hasToken(r.Header["Upgrade"], "websocket") }

// isSameOrigin tells whether no page of another site asks: browsers let any page
// open a WebSocket, and only say where it comes from.
func isSameOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true // no browser
	}
	u, err := url.Parse(origins[0])
	return err == nil && len(origins) == 1 && strings.EqualFold(u.Host, r.Host)
}

// eventsOverSocket sends each event as a text message, the row alone: its seq is
// in it. The last message says why there are no more.
func (c *call) eventsOverSocket(follow follow) error {
	if !isSameOrigin(c.r) {
		return crossOrigin()
	}
	ctx, cancel := context.WithCancelCause(c.r.Context())
	defer cancel(nil)
	times := c.api.Times.orLimits()
	s := &eventSocket{ctx: ctx, writeTime: times.EventWrite}
	err := follow(ctx, lastEventID(c.r), gateway.EventSink{
		Opened: func(at int64) (err error) {
			tellBegin(c.w.Header(), at)
			if s.conn, err = websocket.Accept(c.w, c.r, nil); err != nil {
				return errors.Join(errNotAccepted, err)
			}
			gone := s.conn.CloseRead(ctx) // a reader has nothing to say
			context.AfterFunc(gone, func() { cancel(context.Canceled) })
			return nil
		},
		Events: s.events,
		Idle:   s.idle, IdleEvery: times.Keepalive,
	})
	switch {
	case errors.Is(err, errNotAccepted):
		c.cause = err // the answer has said so
		return nil
	case s.conn == nil:
		return err
	}
	c.cause = err
	s.end(c.wireError(err))
	return nil
}

var errNotAccepted = errors.New("not a WebSocket handshake")

// eventSocket writes events to a WebSocket.
type eventSocket struct {
	ctx  context.Context
	conn *websocket.Conn
	// writeTime is how long a reader may hold an event up.
	writeTime time.Duration
}

func (s *eventSocket) events(events []gateway.Event) error {
	for _, e := range events {
		if err := s.write(s.ctx, e.Row); err != nil {
			return err
		}
	}
	return nil
}

// idle asks whether the reader is there.
func (s *eventSocket) idle() error {
	ctx, cancel := context.WithTimeout(s.ctx, s.writeTime)
	defer cancel()
	return s.conn.Ping(ctx)
}

func (s *eventSocket) write(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s.writeTime)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, message)
}

// end says why there are no more events, twice: in a message, and where proxies and
// browsers look.
func (s *eventSocket) end(why *sallyport.Error) {
	// The reader may have gone, or the connection been given up.
	_ = s.write(context.WithoutCancel(s.ctx), frame.Last(why))
	_ = s.conn.Close(closeStatus(why.Code), string(why.Code))
}

// closeStatus is the one mapping of codes to the close codes of RFC 6455, section 7.4.
func closeStatus(code sallyport.Code) websocket.StatusCode {
	switch code {
	case sallyport.CodeDraining:
		return websocket.StatusGoingAway
	case sallyport.CodeSlowReader, sallyport.CodePlatformUnavailable:
		return websocket.StatusTryAgainLater
	case sallyport.CodeRevoked, sallyport.CodeWorkspaceDeleted, sallyport.CodeUnauthenticated, sallyport.CodeUnknownField, sallyport.CodeRequestTimeout,
		sallyport.CodeScopeForbidden, sallyport.CodeExecTierForbidden, sallyport.CodeKilled, sallyport.CodeTerminalNotFound,
		sallyport.CodeTakenOver, sallyport.CodeTerminalTimeout, sallyport.CodeRecordingFull, sallyport.CodeArgvTooLarge,
		sallyport.CodeExecTimeout, sallyport.CodeAlreadyRun, sallyport.CodeRunning, sallyport.CodeIdempotencyMismatch:
		return websocket.StatusPolicyViolation
	case sallyport.CodeCanceled:
		return websocket.StatusNormalClosure
	}
	switch {
	case strings.HasPrefix(string(code), "invalid_"):
		return websocket.StatusPolicyViolation
	case strings.HasPrefix(string(code), "too_many_"):
		return websocket.StatusTryAgainLater
	}
	return websocket.StatusInternalError
}
