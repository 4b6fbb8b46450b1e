package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"sallyport/client/sallyport"
)

const (
	// eventBytesMax bounds one event: a row with the longest argv, escaped.
	eventBytesMax = 2 << 20
	// eventSilenceMax bounds the silence on a connection before it is abandoned. A server
	// that has nothing to tell says so every 15 s.
	eventSilenceMax = 40 * time.Second
	// eventWaitMin and eventWaitMax bound the wait before another try.
	eventWaitMin = 200 * time.Millisecond
	eventWaitMax = 5 * time.Second
)

// EventOptions say which events are wanted.
type EventOptions struct {
	// Owner says whose: an organisation's or a workspace's.
	Owner Owner
	// After is the Seq of the last event that the caller has already: the events behind
	// it come first. Nil begins with the next event that happens, 0 with the log's first.
	After *int64
	// Cut is called when the events were cut off, before they are asked for again
	// from where they were; it may be nil.
	Cut func(error)
}

// Events yields events as they happen: a row of the activity log when it is written and
// when it is completed, each once and in the order of Seq. It goes on
// until the caller stops, ctx ends, or the server says that there will be no more:
// the token was revoked, the workspace deleted. That is the last thing it yields,
// as an error. A connection that breaks is made again, once it has stood.
func (c *Client) Events(ctx context.Context, o EventOptions) iter.Seq2[sallyport.Activity, error] {
	return func(yield func(sallyport.Activity, error) bool) {
		owner, err := o.Owner.find(ctx, c)
		if err == nil {
			s := &eventStream{client: c, owner: owner, options: o, yield: yield}
			if o.After != nil {
				s.lastID = strconv.FormatInt(*o.After, 10)
			}
			err = s.run(ctx)
		}
		if err != nil {
			yield(sallyport.Activity{}, fmt.Errorf("follow the activity: %w", err))
		}
	}
}

// eventStream is one reader, over as many connections as it takes.
type eventStream struct {
	client  *Client
	owner   Owner
	options EventOptions
	yield   func(sallyport.Activity, error) bool

	lastID string // of the last event, as the server wrote it
	stood  bool   // a connection has stood once
	heard  bool   // the connection at hand has brought something
}

// errStopped ends the stream when its caller has stopped.
var errStopped = errors.New("stopped")

func (s *eventStream) run(ctx context.Context) error {
	wait := eventWaitMin
	for {
		s.heard = false
		err := s.connect(ctx)
		switch {
		case errors.Is(err, errStopped):
			return nil
		case ctx.Err() != nil:
			return ended(ctx)
		case !s.stood || isFinal(err):
			return err
		}
		if s.heard {
			wait = eventWaitMin
		}
		if s.options.Cut != nil {
			s.options.Cut(err)
		}
		select {
		case <-ctx.Done():
			return ended(ctx)
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, eventWaitMax)
	}
}

// isFinal reports whether another connection would get the same error.
func isFinal(err error) bool {
	var e *sallyport.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case sallyport.CodeDraining, sallyport.CodeSlowReader, sallyport.CodePlatformUnavailable, sallyport.CodeInternal, sallyport.CodeCanceled:
		return false
	}
	return true
}

// connect reads one connection to its end, which is always an error.
func (s *eventStream) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := call{method: http.MethodGet, path: s.owner.path("events"), query: map[string][]string{}}
	set(r.query, "org", s.owner.lookupOrg())
	req, err := s.client.request(ctx, r)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", sallyport.MediaSSE)
	if s.lastID != "" {
		req.Header.Set("Last-Event-ID", s.lastID)
	}
	silence := time.AfterFunc(eventSilenceMax, cancel)
	defer silence.Stop()
	answer, err := s.client.send(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode != http.StatusOK:
		return readError(answer)
	case !isMedia(answer, sallyport.MediaSSE):
		return notOurs(answer)
	}
	s.stood = true
	if id := answer.Header.Get(sallyport.HeaderEventID); id != "" {
		s.lastID = id
	}
	return s.read(answer.Body, func() { silence.Reset(eventSilenceMax) })
}

// read reads server-sent events (WHATWG HTML, section 9.2.6).
func (s *eventStream) read(body io.Reader, heard func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 16<<10), eventBytesMax)
	var name string
	var data []byte
	id := s.lastID
	for lines.Scan() {
		heard()
		s.heard = true
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			if !bytes.Contains(value, []byte{0}) {
				id = string(value)
			}
		case "event":
			name = string(value)
		case "data":
			if data = append(append(data, value...), '\n'); len(data) > eventBytesMax {
				return fmt.Errorf("an event of more than %d bytes", eventBytesMax)
			}
		}
		if len(lines.Bytes()) > 0 {
			continue
		}
		if len(data) > 0 {
			if err := s.dispatch(name, data); err != nil {
				return err
			}
		}
		s.lastID, name, data = id, "", data[:0] // an event that was cut is not known
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func (s *eventStream) dispatch(name string, data []byte) error {
	if name == "end" {
		var e sallyport.Error
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("read the last event: %w", err)
		}
		return &e
	}
	if name != "" && name != "message" {
		return nil // one of a later version
	}
	var row sallyport.Activity
	if err := json.Unmarshal(data, &row); err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	if !s.yield(row, nil) {
		return errStopped
	}
	return nil
}
