package sshpool_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// dead is a machine that can't be reached, and counts who tries.
type dead struct {
	takes time.Duration
	dials atomic.Int64
	alive atomic.Pointer[machine] // reached instead, when set
}

func (d *dead) target() call {
	return newCall("k", func(ctx context.Context) (*connector.Link, error) {
		d.dials.Add(1)
		if m := d.alive.Load(); m != nil {
			return m.dial(ctx)
		}
		select {
		case <-time.After(d.takes):
			return nil, errors.New("no route")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

// Who asks for a dead machine gets the same error at once, and it is dialled again
// after pauses that grow, up to a bound.
func TestBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &sshpool.Pool{}
		defer p.Close()
		d := &dead{}
		began := time.Now()
		var at []time.Duration // of the dials
		for time.Since(began) < time.Minute {
			before, asked := d.dials.Load(), time.Now()
			_, err := openOn(t.Context(), p, d.target())
			if known := wantCode(t, err, sallyport.CodeConnectFailed); known.Reason != sallyport.ReasonDialFailed {
				t.Fatalf("reason %q", known.Reason)
			}
			if time.Since(asked) != 0 {
				t.Fatalf("told after %v", time.Since(asked))
			}
			if d.dials.Load() > before {
				at = append(at, time.Since(began))
			}
			<-time.After(10 * time.Millisecond)
		}
		pause := limits.DialBackoffMin
		for i := range len(at) - 1 {
			if got := at[i+1] - at[i]; got < pause/2 || got > pause+20*time.Millisecond {
				t.Errorf("pause %d is %v, want %v or half of it", i, got, pause)
			}
			pause = min(2*pause, limits.DialBackoffMax)
		}
		if len(at) < 10 || len(at) > 20 {
			t.Errorf("%d dials in a minute", len(at))
		}
	})
}

// A machine that is back is found by the first who asks after the pause, and the
// next failure begins with a short one.
func TestBackOffEnds(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		d := &dead{}
		for range 6 {
			if _, err := openOn(t.Context(), p, d.target()); err == nil {
				t.Fatal("a dead machine was reached")
			}
			<-time.After(limits.DialBackoffMax)
		}
		d.alive.Store(m)
		open(t, p, d.target()).Close()
		d.alive.Store(nil)
		m.connections()[0].close()
		synctest.Wait()
		if _, err := openOn(t.Context(), p, d.target()); err == nil {
			t.Fatal("a dead machine was reached")
		}
		if left := time.Until(p.State("k").NotBefore); left > limits.DialBackoffMin {
			t.Errorf("the pause is %v after a success", left)
		}
	})
}

// Of a machine that is dead and doesn't say so, one caller learns that it is so
// still; no others wait with him.
func TestNoPileOnADeadMachine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &sshpool.Pool{}
		defer p.Close()
		d := &dead{takes: time.Hour}
		_, err := openOn(t.Context(), p, d.target())
		wantCode(t, err, sallyport.CodeConnectTimeout)
		<-time.After(limits.DialBackoffMax)
		probe := openLater(t.Context(), p, d.target())
		<-time.After(limits.ProbeJoinTime + time.Millisecond)
		for range 100 {
			began := time.Now()
			_, err := openOn(t.Context(), p, d.target())
			wantCode(t, err, sallyport.CodeConnectTimeout)
			if time.Since(began) != 0 {
				t.Fatalf("told after %v", time.Since(began))
			}
		}
		<-probe.done
		if n := d.dials.Load(); n != 2 {
			t.Errorf("%d dials", n)
		}
	})
}

// A dial that fails beside a connection that there is puts off the next one, and
// who waits gets what becomes free.
func TestDialFailsBesideOthers(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1}, m)
		d := &dead{}
		d.alive.Store(m)
		first := open(t, p, d.target())
		d.alive.Store(nil)
		second := openLater(t.Context(), p, d.target())
		<-time.After(30 * time.Second)
		if n := d.dials.Load(); n < 5 || n > 15 || isDone(second.done) {
			t.Errorf("%d dials in 30 s; %v", n, second.err)
		}
		d.alive.Store(m)
		<-second.done
		if second.err != nil {
			t.Error(second.err)
		}
		first.Close()
	})
}

// The queue for a machine's sessions has a bound, and who comes then is told so.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1, ConnectionsPerKey: 1}, m)
		held := open(t, p, m.target("k"))
		ctx, cancel := context.WithCancel(t.Context())
		var waiting []*opening
		for range limits.SlotWaitersMax {
			waiting = append(waiting, openLater(ctx, p, m.target("k")))
		}
		synctest.Wait()
		_, err := openOn(t.Context(), p, m.target("k"))
		wantCapacity(t, err)
		if n := p.State("k").Waiting; n != limits.SlotWaitersMax {
			t.Errorf("%d wait", n)
		}
		cancel()
		for _, o := range waiting {
			<-o.done
		}
		held.Close()
	})
}

// A machine that drops one of the connections that come together is not dead: who asks
// while another is on its way waits for that.
func TestDropBesideADial(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		var dials atomic.Int64
		target := newCall("k", func(ctx context.Context) (*connector.Link, error) {
			if dials.Add(1) == 2 {
				return nil, errors.New("dropped")
			}
			<-time.After(limits.DialBackoffMin / 4)
			return m.dial(ctx)
		})
		var asked []*opening
		for range limits.SessionsPerConnection + 1 { // which asks for a second connection
			asked = append(asked, openLater(t.Context(), p, target))
		}
		synctest.Wait()
		if n := dials.Load(); n != 2 || p.State("k").NotBefore.IsZero() {
			t.Fatalf("%d dials, back-off until %v", n, p.State("k").NotBefore)
		}
		asked = append(asked, openLater(t.Context(), p, target))
		for _, o := range asked {
			<-o.done
			if o.err != nil {
				t.Fatal(o.err)
			}
			defer o.session.Close()
		}
	})
}
