package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/internal/feed"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// follow is a use case that hands events to a sink until something ends it.
type follow func(ctx context.Context, after int64, sink gateway.EventSink) error

// workspaceEvents is GET /workspaces/{workspace}/events.
func (c *call) workspaceEvents() error {
	return c.events(func(ctx context.Context, after int64, sink gateway.EventSink) error {
		return c.api.Gateway.WorkspaceEvents(ctx, c.by, c.ref(), after, sink)
	})
}

// orgEvents is GET /orgs/{org}/events.
func (c *call) orgEvents() error {
	return c.events(func(ctx context.Context, after int64, sink gateway.EventSink) error {
		return c.api.Gateway.OrgEvents(ctx, c.by, c.r.PathValue("org"), after, sink)
	})
}

// events answers as server-sent events, or over a WebSocket where that is asked for.
func (c *call) events(follow follow) error {
	done, err := c.api.Gateway.Admit()
	if err != nil {
		return err
	}
	defer done()
	if isUpgrade(c.r) {
		return c.eventsOverSocket(follow)
	}
	times := c.api.Times.orLimits()
	s := &eventStream{w: c.w, control: http.NewResponseController(c.w), writeTime: times.EventWrite}
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	err = follow(ctx, lastEventID(c.r), gateway.EventSink{
		Opened: func(at int64) error {
			if c.r.Method == http.MethodHead {
				cancel()
			}
			return s.open(at)
		},
		Events: s.events,
		Idle:   s.idle, IdleEvery: times.Keepalive,
	})
	if !s.begun {
		return err
	}
	c.cause = err
	return s.end(c.wireError(err))
}

// lastEventID is the seq behind which a reader wants to begin: in the header by
// which an EventSource comes again (WHATWG HTML, section 9.2.3), or in the query for
// who can't set one. Anything but a number begins with the next event.
func lastEventID(r *http.Request) int64 {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("last_event_id")
	}
	seq, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return feed.Live
	}
	return int64(seq)
}

// tellBegin says behind which event a stream begins, so that a reader who is cut off
// before the first comes again to the same place.
func tellBegin(h http.Header, at int64) {
	h.Set(sallyport.HeaderEventID, strconv.FormatInt(at, 10))
}

// eventStream writes events as they come, those that come together in one go.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
	buf     []byte
	// writeTime is how long a reader may hold an event up.
	writeTime time.Duration
}

// open begins the answer, with nothing in it: a block without data is no event, but
// not every reader knows that.
func (s *eventStream) open(at int64) error {
	h := s.w.Header()
	h.Set("Content-Type", sallyport.MediaSSE)
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	tellBegin(h, at)
	s.begun = true
	s.w.WriteHeader(http.StatusOK)
	return s.control.Flush()
}

func (s *eventStream) events(events []gateway.Event) error {
	b := s.buf[:0]
	for _, e := range events {
		b = append(b, "id: "...)
		b = strconv.AppendInt(b, e.Seq, 10)
		b = append(b, "\ndata: "...)
		b = append(b, e.Row...)
		b = append(b, "\n\n"...)
	}
	if cap(b) <= 2*limits.EventBatchBytesMax {
		s.buf = b
	}
	return s.write(b)
}

func (s *eventStream) idle() error { return s.write(frame.SSE.AppendKeepalive(s.buf[:0])) }

// end says why there are no more events. A reader that comes again with the id of
// its last event misses none.
func (s *eventStream) end(why *sallyport.Error) error {
	_ = s.write(frame.SSE.AppendLast(s.buf[:0], why)) // who has gone knows
	return nil
}

func (s *eventStream) write(b []byte) error {
	setWriteDeadline(s.control, time.Now().Add(s.writeTime))
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.control.Flush()
}
