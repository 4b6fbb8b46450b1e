package feed

import (
	"context"
	"sync"
	"time"

	"sallyport/internal/limits"
)

// tail keeps the newest events of one organisation, while it has readers.
type tail struct {
	feed  *Feed
	orgID string
	stop  context.CancelFunc
	wake  chan struct{} // holds one: there may be something to read

	holders int // guarded by Feed.mu

	mu      sync.Mutex // guards the fields below
	begun   bool       // whether from and last are known
	from    int64      // events holds all those behind this seq, up to last
	last    int64
	events  []Event
	bytes   int
	changed chan struct{} // closed when any of it changes
}

func newTail(f *Feed, orgID string) (context.Context, *tail) {
	ctx, stop := context.WithCancel(context.Background())
	return ctx, &tail{feed: f, orgID: orgID, stop: stop, wake: make(chan struct{}, 1), changed: make(chan struct{})}
}

// run reads what comes until stop is called. Notices tell it when to look; where
// one is lost, or the bus is down, it looks by itself.
func (t *tail) run(ctx context.Context) {
	defer t.listen()()
	look := time.NewTicker(limits.EventLookEvery)
	defer look.Stop()
	failing := false
	for {
		err := t.load(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			t.feed.log.Warn("events can't be read; readers wait", "org_id", t.orgID, "error", err)
		}
		failing = err != nil
		wake := t.wake
		if failing {
			wake = nil // a store that fails is not asked at every notice
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
			gather(ctx)
		case <-look.C:
		}
	}
}

// gather waits for more notices.
func gather(ctx context.Context) {
	timer := time.NewTimer(limits.EventGatherTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// listen asks the bus for notices, which it refuses when it is closed alone.
func (t *tail) listen() (stop func()) {
	stop, err := t.feed.bus.OnActivity(t.orgID, func() {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.feed.log.Warn("no notices of events", "org_id", t.orgID, "error", err)
		return func() {}
	}
	return stop
}

// load reads all there is.
func (t *tail) load(ctx context.Context) error {
	if !t.begun { // nobody else sets it
		ctx, cancel := context.WithTimeout(ctx, limits.EventReadTime)
		defer cancel()
		last, err := t.feed.store.LastSeq(ctx, t.orgID)
		if err != nil {
			return err
		}
		t.begin(last)
	}
	for {
		events, more, err := t.feed.read(ctx, t.orgID, t.last)
		if err != nil {
			return err
		}
		if len(events) > 0 {
			t.add(events)
		}
		if !more {
			return nil
		}
	}
}

func (t *tail) begin(last int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun, t.from, t.last = true, last, last
	t.tell()
}

// add keeps new events, and lets old ones go that there is no room for.
func (t *tail) add(events []Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, events...)
	for _, e := range events {
		t.bytes += e.size()
	}
	drop := 0
	for t.bytes > limits.EventBytesKept && drop < len(t.events)-1 {
		t.bytes -= t.events[drop].size()
		t.from = t.events[drop].Seq
		drop++
	}
	clear(t.events[:drop])
	t.events = t.events[drop:]
	t.last = events[len(events)-1].Seq
	t.tell()
}

// tell wakes the readers. t.mu is held.
func (t *tail) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// size is about the memory of an event, in bytes.
func (e Event) size() int { return len(e.Row) + 100 }
