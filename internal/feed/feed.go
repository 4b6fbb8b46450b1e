// Package feed is the activity log as it happens. For each organisation that
// somebody follows it reads the log behind the bus's notices, once for all
// readers; what a reader has not seen yet it gets from there, or from the store.
// Nothing is queued for a reader, so that one which stops costs nothing.
package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"sallyport/internal/bus"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// Store is the part of the store that a feed needs.
type Store interface {
	// Events returns a page of events, lowest seq first, none left out.
	Events(ctx context.Context, orgID string, page store.Page) ([]store.Positioned[store.Activity], error)
	// LastSeq returns the seq of the last event, 0 for none.
	LastSeq(ctx context.Context, orgID string) (int64, error)
}

// Event is one change of the log. It is shared by all readers: nobody changes it.
type Event struct {
	Seq         int64
	WorkspaceID string
	// Row is the row as the change left it: a sallyport.Activity in JSON, on one
	// line, without its end.
	Row []byte
}

// Live is the position of a reader that wants only events from now on.
const Live int64 = -1

// ErrSlow is what a reader gets that was up to date and fell limits.EventLagMax
// behind. A reader that returns with the seq of its last event misses nothing.
var ErrSlow = errors.New("too slow for what happens")

// Feed is the way to every organisation's events. Make it with New. It is safe
// for concurrent use.
type Feed struct {
	store Store
	bus   *bus.Bus
	log   *slog.Logger
	// turns are given in the order in which readers came, whatever the store does with
	// those who wait for its connections.
	turns *semaphore.Weighted

	tails sync.WaitGroup

	delivered, slow atomic.Uint64 // see Stats

	mu   sync.Mutex // guards the fields below
	orgs map[string]*tail
}

// New returns a feed that reads st and listens on b. Close it, before b.
func New(st Store, b *bus.Bus, log *slog.Logger) *Feed {
	return &Feed{store: st, bus: b, log: log, turns: semaphore.NewWeighted(limits.EventReadsAtOnce), orgs: map[string]*tail{}}
}

// Close waits for what works for readers. All of them must be closed.
func (f *Feed) Close() error {
	f.tails.Wait()
	return nil
}

// Open returns a reader of the organisation's events behind the one with seq after.
// Live, and a seq that there is not yet, begin with the next event. Close it.
func (f *Feed) Open(ctx context.Context, orgID string, after int64) (*Reader, error) {
	last, err := f.store.LastSeq(ctx, orgID)
	if err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	if after < 0 || after > last {
		after = last
	}
	return &Reader{feed: f, tail: f.hold(orgID), at: after}, nil
}

// hold returns the tail of an organisation, which it starts for its first holder.
func (f *Feed) hold(orgID string) *tail {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.orgs[orgID]
	if t == nil {
		var ctx context.Context
		ctx, t = newTail(f, orgID)
		f.orgs[orgID] = t
		f.tails.Go(func() { t.run(ctx) })
	}
	t.holders++
	return t
}

// release stops the tail behind its last holder.
func (f *Feed) release(t *tail) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.holders--
	if t.holders == 0 {
		delete(f.orgs, t.orgID)
		t.stop()
	}
}

// read reads a page of events from the store, and tells whether there may be more.
func (f *Feed) read(ctx context.Context, orgID string, after int64) (events []Event, more bool, err error) {
	// The wait for a turn is the caller's to bound: it says nothing of the store.
	if err := f.turns.Acquire(ctx, 1); err != nil {
		return nil, false, err
	}
	defer f.turns.Release(1)
	ctx, cancel := context.WithTimeout(ctx, limits.EventReadTime)
	defer cancel()
	page := store.Page{After: after, Limit: limits.EventPageMax, Bytes: limits.EventPageBytesMax}
	rows, err := f.store.Events(ctx, orgID, page)
	if err != nil {
		return nil, false, err
	}
	events = make([]Event, len(rows))
	size := 0
	for i, row := range rows {
		if events[i], err = newEvent(row.Record); err != nil {
			return nil, false, err
		}
		size += row.Size
	}
	return events, len(rows) == page.Limit || size > page.Bytes, nil
}

func newEvent(row store.Activity) (Event, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(row.Activity); err != nil {
		return Event{}, fmt.Errorf("encode row %s: %w", row.ID, err)
	}
	return Event{Seq: row.Seq, WorkspaceID: row.WorkspaceID, Row: bytes.TrimSuffix(line.Bytes(), []byte("\n"))}, nil
}
