package feed

import (
	"context"
	"slices"

	"sallyport/internal/limits"
)

// Reader goes through one organisation's events, in order, each once. It is for
// one goroutine at a time.
type Reader struct {
	feed   *Feed
	tail   *tail
	at     int64 // the seq of the last event that was read
	live   bool  // it was up to date once
	closed bool
}

// Next waits for events and returns those that there are, at most
// limits.EventBatchBytesMax of them, or one. It returns ErrSlow, the cause of ctx
// when that ends first, or what the store said.
func (r *Reader) Next(ctx context.Context) ([]Event, error) {
	for {
		events, missed, changed, err := r.look()
		switch {
		case err != nil: // ErrSlow
			r.feed.slow.Add(1)
			return nil, err
		case missed:
			events, _, err := r.feed.read(ctx, r.tail.orgID, r.at)
			return r.take(events), err
		case len(events) > 0:
			return r.take(events), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Rest returns events that are in the store already, and none at the end of them.
func (r *Reader) Rest(ctx context.Context) ([]Event, error) {
	events, _, err := r.feed.read(ctx, r.tail.orgID, r.at)
	return r.take(events), err
}

// At is the seq of the last event that the reader was given, or has begun behind.
func (r *Reader) At() int64 { return r.at }

// Close ends the reader. It may be called twice.
func (r *Reader) Close() {
	if !r.closed {
		r.closed = true
		r.feed.release(r.tail)
	}
}

// look returns what the tail has behind the reader's position, tells whether the
// reader has missed something there, and what is closed when that changes.
func (r *Reader) look() (events []Event, missed bool, changed <-chan struct{}, err error) {
	t := r.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case r.live && t.last-r.at > limits.EventLagMax:
		err = ErrSlow
	case !t.begun || r.at > t.last: // it opened before the tail has read so far
	case r.at < t.from:
		missed = true
	default:
		i, _ := slices.BinarySearchFunc(t.events, r.at+1, func(e Event, seq int64) int { return int(e.Seq - seq) })
		// A copy: the tail clears what it lets go.
		events = slices.Clone(t.events[i : i+batch(t.events[i:])])
		r.live = r.live || i+len(events) == len(t.events)
	}
	return events, missed, t.changed, err
}

// batch is how many of the events to give at a time.
func batch(events []Event) int {
	bytes := 0
	for i, e := range events {
		if bytes += e.size(); bytes > limits.EventBatchBytesMax && i > 0 {
			return i
		}
	}
	return len(events)
}

func (r *Reader) take(events []Event) []Event {
	if len(events) > 0 {
		r.at = events[len(events)-1].Seq
		r.feed.delivered.Add(uint64(len(events)))
	}
	return events
}
