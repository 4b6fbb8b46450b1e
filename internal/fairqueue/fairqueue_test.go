package fairqueue_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"sallyport/internal/fairqueue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const held = 100 * time.Millisecond

// bubble is a queue of two places in a bubble with a clock of its own.
type bubble struct {
	*testing.T
	*fairqueue.Queue
	ctx context.Context
}

func inBubble(t *testing.T, f func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Hour) // nobody has asked for long
		f(&bubble{T: t, Queue: fairqueue.New(2, held), ctx: t.Context()})
	})
}

// now takes a place that must be there at once.
func (b *bubble) now(orgID string) *fairqueue.Place {
	b.Helper()
	began := time.Now()
	p, err := b.Take(b.ctx, orgID)
	if err != nil || time.Since(began) > 0 {
		b.Fatalf("%s: %v, after %s", orgID, err, time.Since(began))
	}
	return p
}

// wait lets an organisation wait for a place, and returns where it arrives.
func (b *bubble) wait(orgID string) <-chan *fairqueue.Place {
	b.Helper()
	got := make(chan *fairqueue.Place, 1)
	go func() {
		p, _ := b.Take(b.ctx, orgID)
		got <- p
	}()
	synctest.Wait()
	if len(got) > 0 {
		b.Fatalf("%s did not wait", orgID)
	}
	return got
}

// came is whether a place has arrived by now.
func came(got <-chan *fairqueue.Place) bool {
	synctest.Wait()
	return len(got) > 0
}

// An organisation that is alone has as many places as it likes, until another asks, and
// again when no other has asked for a second.
func TestAlone(t *testing.T) {
	inBubble(t, func(b *bubble) {
		for range 100 {
			b.now("a")
		}
		b.now("b")
		waits := b.wait("a")
		<-time.After(fairqueue.Alone + time.Nanosecond)
		if !came(waits) {
			t.Error("a place is not given back by its time")
		}
		for range 100 {
			b.now("a")
		}
	})
}

// An organisation that needs no place isn't kept out by one that is alone.
func TestNote(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.Queue = fairqueue.New(1, time.Hour)
		first := b.now("a")
		b.now("a").Release()
		b.Note("b")
		waits := b.wait("a")
		first.Release()
		if !came(waits) {
			t.Error("it waits for who has no place")
		}
	})
}

// Who waits has a place when it is alone again, before who comes then.
func TestAloneAgain(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.Queue = fairqueue.New(2, time.Hour)
		b.now("b")
		b.now("a")
		waits := b.wait("a")
		<-time.After(fairqueue.Alone + time.Nanosecond)
		b.now("a")
		if !came(waits) {
			t.Error("it still waits")
		}
	})
}

// An organisation without a place never waits; of those with some the one with the fewest
// is next, and of its calls the first.
func TestFewestFirst(t *testing.T) {
	inBubble(t, func(b *bubble) {
		a := []*fairqueue.Place{b.now("a"), b.now("a"), b.now("a")}
		small := b.now("b")
		first, second := b.wait("a"), b.wait("a")
		third := b.wait("b")
		c := b.now("c")
		for _, p := range a { // of the six that are held, two are one too many
			p.Release()
			p.Release() // again does nothing
		}
		if !came(first) || came(second) || came(third) {
			t.Errorf("a, which holds none, has to wait: %t %t %t", came(first), came(second), came(third))
		}
		c.Release()
		small.Release()
		if !came(third) || came(second) {
			t.Error("b, which holds none, is not next")
		}
		(<-first).Release()
		if !came(second) {
			t.Error("nobody is before a")
		}
	})
}

// A place is given to the next when it was held for its time.
func TestHeldTooLong(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.now("a")
		b.now("b")
		waits := b.wait("a")
		<-time.After(held - time.Nanosecond)
		if came(waits) {
			t.Error("before its time")
		}
		<-time.After(time.Nanosecond)
		if !came(waits) {
			t.Error("it still waits")
		}
	})
}

// Who ends waiting is told why, and takes no place from those behind.
func TestCanceled(t *testing.T) {
	inBubble(t, func(b *bubble) {
		a := b.now("a")
		b.now("b")
		ctx, cancel := context.WithCancelCause(b.ctx)
		ended := make(chan error, 1)
		go func() {
			_, err := b.Take(ctx, "a")
			ended <- err
		}()
		synctest.Wait()
		behind := b.wait("a")
		why := errors.New("revoked")
		cancel(why)
		if err := <-ended; !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		a.Release()
		if !came(behind) {
			t.Error("the next waits behind who is gone")
		}
	})
}

// A nil queue has no bound, nor has a nil place anything to give back.
func TestNil(t *testing.T) {
	var q *fairqueue.Queue
	p, err := q.Take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	p.Release()
}

// Whatever comes in what order, every call gets its place in the end, and none is lost: two
// organisations that ask afterwards find the queue as it was made.
func TestEveryoneIsServed(t *testing.T) {
	type step struct {
		Org    string
		Cancel bool
		After  time.Duration
	}
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			Org: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "org"), Cancel: rapid.IntRange(0, 4).Draw(t, "cancel") == 0,
			After: time.Duration(rapid.IntRange(0, 30).Draw(t, "after")) * time.Millisecond,
		}
	}), 1, 40)
	rapid.Check(t, func(rt *rapid.T) {
		todo := steps.Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			q := fairqueue.New(2, held)
			done := make(chan struct{}, len(todo))
			for _, s := range todo {
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					p, err := q.Take(ctx, s.Org)
					if err == nil {
						<-time.After(s.After)
					}
					p.Release()
					done <- struct{}{}
				}()
				if s.Cancel {
					cancel()
				} else {
					defer cancel()
				}
				<-time.After(s.After / 3)
			}
			for range todo {
				<-done // a deadlock fails the test
			}
			b := &bubble{T: t, Queue: q, ctx: t.Context()}
			b.now("a")
			b.now("b")
			b.wait("a")
			<-time.After(held)
		})
	})
}
