package replica_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sallyport/internal/limits"
	"sallyport/internal/replica"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shaky is a store that is out of reach at times.
type shaky struct {
	*sqlite.DB
	away atomic.Bool
}

var errAway = errors.New("out of reach")

func (s *shaky) RenewLease(ctx context.Context, id string, life time.Duration) error {
	if s.away.Load() {
		return errAway
	}
	return s.DB.RenewLease(ctx, id, life)
}

func (s *shaky) TakeLease(ctx context.Context, id, url string, life time.Duration) error {
	if s.away.Load() {
		return errAway
	}
	return s.DB.TakeLease(ctx, id, url, life)
}

// member is a replica that counts what it is told to do.
type member struct {
	*replica.Replica
	store                   *shaky
	lost, adopted, rechecks atomic.Int64
	stop                    func()
}

// join starts a replica on db.
func join(t *testing.T, db *sqlite.DB, id string) *member {
	t.Helper()
	m := &member{store: &shaky{DB: db}}
	m.Replica = &replica.Replica{
		ID: id, Store: m.store, Log: slog.New(slog.DiscardHandler),
		Lost:    func() { m.lost.Add(1) },
		Adopt:   func(ctx context.Context) error { m.adopted.Add(1); _, err := db.AdoptActs(ctx, id, 9); return err },
		Recheck: func(context.Context) { m.rechecks.Add(1) },
	}
	if err := m.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Run(ctx)
	}()
	m.stop = func() { cancel(); <-ended }
	return m
}

func open(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// alive are those with a lease.
func alive(t *testing.T, db *sqlite.DB) []string {
	t.Helper()
	all, err := db.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A replica that renews is alive, does its rounds, and leaves at once.
func TestRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t)
		defer db.Close()
		a, b := join(t, db, "a"), join(t, db, "b")
		<-time.After(10 * limits.LeaseTime)
		if got := alive(t, db); !slices.Equal(got, []string{"a", "b"}) || a.lost.Load()+b.lost.Load() != 0 {
			t.Errorf("alive %q, lost %d and %d", got, a.lost.Load(), b.lost.Load())
		}
		rounds := int64(10*limits.LeaseTime/limits.AdoptEvery) + 1
		if a.adopted.Load() < rounds-1 || a.adopted.Load() > rounds+1 || a.rechecks.Load() < int64(10*limits.LeaseTime/limits.RecheckEvery)-1 {
			t.Errorf("%d rounds, %d rechecks", a.adopted.Load(), a.rechecks.Load())
		}
		if others, err := a.Others(t.Context()); err != nil || !slices.Equal(others, []string{"b"}) {
			t.Errorf("others %q, %v", others, err)
		}
		a.stop()
		if err := a.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if got := alive(t, db); !slices.Equal(got, []string{"b"}) {
			t.Errorf("alive %q", got)
		}
		b.stop()
	})
}

// A replica that can't renew stops what it runs before anybody may take that over, and what
// begins after that, and goes on when it can renew again.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t)
		defer db.Close()
		a := join(t, db, "a")
		defer a.stop()
		<-time.After(limits.LeaseRenewEvery + time.Millisecond) // it has renewed once
		a.store.away.Store(true)
		<-time.After(limits.LeaseTime - limits.LeaseMargin - 2*time.Millisecond)
		if a.lost.Load() != 0 || !a.Holds() {
			t.Error("it stopped too soon")
		}
		<-time.After(3 * time.Millisecond)
		if a.lost.Load() != 1 || a.Holds() || !slices.Equal(alive(t, db), []string{"a"}) {
			t.Errorf("lost %d times, alive %q: others may take over what it runs", a.lost.Load(), alive(t, db))
		}
		<-time.After(5 * limits.LeaseTime)
		if a.lost.Load() < int64(5*limits.LeaseTime/limits.LeaseRenewEvery) || a.Holds() || len(alive(t, db)) != 0 {
			t.Errorf("lost %d times, alive %q", a.lost.Load(), alive(t, db))
		}
		a.store.away.Store(false)
		<-time.After(limits.LeaseRenewEvery + limits.LeaseCallTime)
		before := a.lost.Load()
		if !slices.Equal(alive(t, db), []string{"a"}) || !a.Holds() {
			t.Errorf("alive %q", alive(t, db))
		}
		<-time.After(2 * limits.LeaseTime)
		if a.lost.Load() != before {
			t.Error("it stops though it has a lease")
		}
		a.store.away.Store(true)
		<-time.After(limits.LeaseTime)
		if a.lost.Load() == before || a.Holds() {
			t.Error("it doesn't stop the second time")
		}
	})
}

// A replica whose lease somebody has ended finds out at its next renewal, and joins again.
func TestEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t)
		defer db.Close()
		a := join(t, db, "a")
		defer a.stop()
		if err := db.EndLease(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := db.RenewLease(t.Context(), "a", time.Hour); !errors.Is(err, store.ErrLeaseLost) {
			t.Fatal(err)
		}
		<-time.After(limits.LeaseRenewEvery + time.Millisecond)
		if a.lost.Load() != 1 || !slices.Equal(alive(t, db), []string{"a"}) {
			t.Errorf("lost %d times, alive %q", a.lost.Load(), alive(t, db))
		}
		<-time.After(2 * limits.LeaseTime)
		if a.lost.Load() != 1 || !slices.Equal(alive(t, db), []string{"a"}) {
			t.Errorf("lost %d times, alive %q", a.lost.Load(), alive(t, db))
		}
	})
}

// A replica that was cut off for so long that somebody has ended its lease stops what it
// has begun since it stopped the first time: until the lease was ended it could.
func TestEndedWhileCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t)
		defer db.Close()
		a := join(t, db, "a")
		defer a.stop()
		a.store.away.Store(true)
		<-time.After(limits.LeaseTime - limits.LeaseMargin + time.Millisecond)
		if a.lost.Load() != 1 {
			t.Fatalf("lost %d times", a.lost.Load())
		}
		// Its lease is in force for another LeaseMargin, so that rows are taken.
		if err := db.EndLease(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		a.store.away.Store(false)
		<-time.After(limits.LeaseRenewEvery + time.Millisecond)
		if a.lost.Load() < 2 || !slices.Equal(alive(t, db), []string{"a"}) {
			t.Errorf("lost %d times, alive %q", a.lost.Load(), alive(t, db))
		}
	})
}

// The bounds fit: what a dead server left is closed within 30 s, and a server that is cut
// off has ended what it ran when others may look.
func TestBounds(t *testing.T) {
	if all := limits.LeaseTime + limits.AdoptEvery + limits.AdoptTime; all > 28*time.Second {
		t.Errorf("a dead server's execs stay open for %v", all)
	}
	if limits.LeaseMargin < limits.EndTimeMax || limits.LeaseTime-limits.LeaseMargin < 3*limits.LeaseRenewEvery {
		t.Error("a lease is lost too soon or too late")
	}
	if limits.AuthCacheTime >= limits.PeersTime || limits.RecheckEvery >= limits.PeersTime {
		t.Error("a revocation may be told as done too soon")
	}
}
