package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/bus"
	"sallyport/internal/feed"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a feed on a store and a bus of its own.
type world struct {
	t    testing.TB
	db   *sqlite.DB
	bus  *bus.Bus
	feed *feed.Feed
	org  string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, org: id.New()}
	log := slog.New(slog.DiscardHandler)
	var err error
	if w.bus, err = bus.Open(t.Context(), bus.Options{Log: log}); err != nil {
		t.Fatal(err)
	}
	w.db, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"),
		sqlite.Options{Migrate: true, OnChange: w.bus.ActivityChanged})
	if err != nil {
		t.Fatal(err)
	}
	w.feed = feed.New(w.db, w.bus, log)
	t.Cleanup(func() {
		if err := errors.Join(w.feed.Close(), w.db.Close(), w.bus.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) row(org string, argv ...string) *store.Activity {
	return &store.Activity{Activity: sallyport.Activity{
		ID: id.New(), OrgID: org, WorkspaceID: "w", Type: sallyport.ActivityExec, Status: sallyport.StatusRunning,
		CreatedAt: time.Now().UTC().Truncate(time.Microsecond), ExecBegun: sallyport.ExecBegun{Argv: argv},
	}}
}

// write writes n rows in one commit.
func (w *world) write(n int, argv ...string) []store.ActivityChange {
	w.t.Helper()
	changes := make([]store.ActivityChange, n)
	for i := range changes {
		changes[i] = store.ActivityChange{Row: w.row(w.org, argv...)}
	}
	w.commit(changes)
	return changes
}

func (w *world) commit(changes []store.ActivityChange) {
	w.t.Helper()
	if err := w.db.CommitActivity(context.Background(), changes, false); err != nil {
		w.t.Error(err)
	}
}

func (w *world) open(after int64) *feed.Reader {
	w.t.Helper()
	r, err := w.feed.Open(context.Background(), w.org, after)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	return r
}

// next waits for events.
func (w *world) next(r *feed.Reader) []feed.Event {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	events, err := r.Next(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return events
}

// seqs reads until it has the event with seq last.
func (w *world) seqs(r *feed.Reader, last int64) []int64 {
	w.t.Helper()
	var got []int64
	for len(got) == 0 || got[len(got)-1] < last {
		for _, e := range w.next(r) {
			got = append(got, e.Seq)
		}
	}
	return got
}

func upTo(from, to int64) []int64 {
	var all []int64
	for seq := from; seq <= to; seq++ {
		all = append(all, seq)
	}
	return all
}

func (w *world) want(what string, got, want []int64) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// A reader begins where it says: behind an event, at the next one, or at the
// next one because there is no such event yet.
func TestWhereReadersBegin(t *testing.T) {
	w := newWorld(t)
	w.write(40)
	first, middle := w.open(0), w.open(25)
	live, unknown, end := w.open(feed.Live), w.open(999), w.open(40)
	w.write(5)
	w.want("from the first", w.seqs(first, 45), upTo(1, 45))
	w.want("from the middle", w.seqs(middle, 45), upTo(26, 45))
	for _, r := range []*feed.Reader{live, unknown, end} {
		w.want("live", w.seqs(r, 45), upTo(41, 45))
	}
	w.write(1)
	w.want("on", w.seqs(live, 46), upTo(46, 46))
	if live.At() != 46 {
		t.Errorf("at %d", live.At())
	}
}

// An event is the row as the API shows it, at the time of the change.
func TestEventIsTheRow(t *testing.T) {
	w := newWorld(t)
	r := w.open(feed.Live)
	row := w.row(w.org, "<a>", "&", "ü\n")
	w.commit([]store.ActivityChange{{Row: row}})
	done := *row
	code := 7
	done.Status, done.ExitCode, done.CompletedAt = sallyport.StatusError, &code, &row.CreatedAt
	w.commit([]store.ActivityChange{{Complete: true, Row: &done}})
	var got []feed.Event
	for len(got) < 2 {
		got = append(got, w.next(r)...)
	}
	for i, want := range []store.Activity{*row, done} {
		var read sallyport.Activity
		if err := json.Unmarshal(got[i].Row, &read); err != nil {
			t.Fatal(err)
		}
		have, _ := json.Marshal(read)
		wanted, _ := json.Marshal(want.Activity)
		if string(have) != string(wanted) || strings.Contains(string(got[i].Row), "\n") || got[i].Seq != want.Seq {
			t.Errorf("event %d %s, want %s", i, got[i].Row, wanted)
		}
	}
	if !strings.Contains(string(got[0].Row), `"<a>"`) {
		t.Errorf("escaped for HTML: %s", got[0].Row)
	}
}

// Whoever reads, from wherever, and however often they come again: each sees
// every event once and in order, while many write and other organisations do too.
func TestEveryEventOnce(t *testing.T) {
	const writers, commits, readers = 4, 60, 12
	w := newWorld(t)
	var writing, reading sync.WaitGroup
	last := int64(writers * commits * 5) // 3 rows and 2 completions a commit
	for range readers {
		reading.Go(func() { w.follow(last) })
	}
	for range writers {
		writing.Go(func() {
			for range commits {
				changes := w.write(3, strings.Repeat("x", rand.IntN(4000)))
				w.commit([]store.ActivityChange{
					{Complete: true, Row: changes[0].Row}, {Row: w.row(id.New())}, {Complete: true, Row: changes[2].Row},
				})
			}
		})
	}
	writing.Wait()
	reading.Wait()
}

// follow reads all events up to last, and begins anew behind what it has at random.
func (w *world) follow(last int64) {
	at := int64(0)
	for at < last {
		r, err := w.feed.Open(context.Background(), w.org, at)
		if err != nil {
			w.t.Error(err)
			return
		}
		for n := rand.IntN(20); n >= 0 && at < last; n-- {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			events, err := r.Next(ctx)
			cancel()
			if err != nil {
				w.t.Error(err)
				at = last
			}
			for _, e := range events {
				if e.Seq != at+1 {
					w.t.Errorf("event %d after %d", e.Seq, at)
				}
				at = e.Seq
			}
		}
		r.Close()
	}
}

// A reader that stops misses nothing while it is within bounds, though what it
// missed is no longer kept for it; beyond them it is told, once it reads on.
func TestSlowReader(t *testing.T) {
	w := newWorld(t)
	r, idle := w.open(feed.Live), w.open(feed.Live)
	for seq := range int64(2) { // with the second they wait, and so are up to date
		w.write(1)
		w.seqs(r, seq+1)
		w.seqs(idle, seq+1)
	}
	large := strings.Repeat("x", limits.ArgvBytesMax)
	for range 3 * limits.EventBytesKept / len(large) {
		w.write(1, large)
	}
	const fat = 3 * limits.EventBytesKept / limits.ArgvBytesMax
	w.want("what was let go", w.seqs(r, 2+fat), upTo(3, 2+fat))
	for range limits.EventLagMax/limits.BatchRowsMax + 1 {
		w.write(limits.BatchRowsMax)
	}
	last := int64(2 + fat + (limits.EventLagMax/limits.BatchRowsMax+1)*limits.BatchRowsMax)
	again := w.open(r.At())
	w.want("from the store", w.seqs(again, last), upTo(3+fat, last))
	w.write(1) // this one comes to who is up to date once all before is known
	last++
	w.want("live again", w.seqs(again, last), upTo(last, last))
	if _, err := idle.Next(t.Context()); !errors.Is(err, feed.ErrSlow) {
		t.Errorf("got %v", err)
	}
	if got, want := w.feed.Stats(), (feed.Stats{Organisations: 1, Readers: 3, Delivered: uint64(last) + 2, Slow: 1}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

// What one reader is given at a time is bounded.
func TestBatchesAreBounded(t *testing.T) {
	w := newWorld(t)
	r := w.open(feed.Live)
	w.write(100, strings.Repeat("x", limits.EventBatchBytesMax/10))
	w.write(2, strings.Repeat("x", limits.EventBatchBytesMax+1))
	seen, most := 0, 0
	for seen < 102 {
		events := w.next(r)
		seen += len(events)
		bytes := 0
		for _, e := range events {
			bytes += len(e.Row)
		}
		if len(events) > 1 {
			most = max(most, bytes)
		}
	}
	if most == 0 || most > limits.EventBatchBytesMax {
		t.Errorf("a batch of %d bytes", most)
	}
}

// Without notices events come all the same.
func TestWithoutNotices(t *testing.T) {
	w := newWorld(t)
	r := w.open(feed.Live)
	w.write(1)
	w.seqs(r, 1)
	if err := w.bus.Close(); err != nil {
		t.Fatal(err)
	}
	w.write(3)
	w.want("no bus", w.seqs(r, 4), upTo(2, 4))
	other := w.open(0)
	w.want("no bus from the start", w.seqs(other, 4), upTo(1, 4))
}

// Next ends with its context, and says why.
func TestNextEnds(t *testing.T) {
	w := newWorld(t)
	r := w.open(feed.Live)
	why := errors.New("revoked")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(time.Millisecond, func() { cancel(why) })
	if _, err := r.Next(ctx); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	w.write(1)
	w.want("afterwards", w.seqs(r, 1), upTo(1, 1))
	r.Close()
	r.Close()
}

// Another organisation's events are nobody else's.
func TestTenantsApart(t *testing.T) {
	w := newWorld(t)
	r := w.open(feed.Live)
	w.commit([]store.ActivityChange{{Row: w.row(id.New())}, {Row: w.row(w.org)}, {Row: w.row("")}})
	events := w.next(r)
	if len(events) != 1 || !strings.Contains(string(events[0].Row), w.org) {
		t.Errorf("got %+v", events)
	}
}
