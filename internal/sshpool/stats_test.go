package sshpool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// What the pool holds is told, and who had to wait for it.
func TestStats(t *testing.T) {
	t.Parallel()
	m, _ := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		var dials []error
		p := start(t, &sshpool.Pool{ConnectionsPerKey: 1, Dialed: func(_ time.Duration, err error) { dials = append(dials, err) }}, m)
		want := func(what string, want sshpool.Stats) {
			t.Helper()
			synctest.Wait()
			if got := p.Stats(); got != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		want("nothing", sshpool.Stats{})
		first := open(t, p, m.target("k"))
		second := open(t, p, m.target("k"))
		if first.Warm || !second.Warm {
			t.Errorf("warm: first %t, second %t", first.Warm, second.Warm)
		}
		want("two sessions", sshpool.Stats{Machines: 1, Connections: 1, Sessions: 2})
		for range limits.SessionsPerConnection - 2 {
			open(t, p, m.target("k"))
		}
		waiting := openLater(t.Context(), p, m.target("k"))
		want("one waits", sshpool.Stats{Machines: 1, Connections: 1, Sessions: limits.SessionsPerConnection, Waiters: 1})
		first.Close()
		<-waiting.done
		if waiting.err != nil || waiting.session.Warm {
			t.Errorf("the one that waited: %v, warm %t", waiting.err, waiting.session.Warm)
		}
		if len(dials) != 1 || dials[0] != nil {
			t.Errorf("dials %v", dials)
		}
	})
}

// A dial that fails is told once, with its code, and the pool's own end isn't.
func TestDialed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var dials []error
		p := &sshpool.Pool{Dialed: func(_ time.Duration, err error) { dials = append(dials, err) }}
		hang := make(chan struct{})
		target := func(key string, err error) call {
			return newCall(key, func(ctx context.Context) (*connector.Link, error) {
				if err == nil {
					close(hang)
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}
				return nil, err
			})
		}
		if _, err := openOn(t.Context(), p, target("a", errors.New("refused"))); err == nil {
			t.Error("opened")
		}
		if len(dials) != 1 || sallyport.CodeOf(dials[0]) != sallyport.CodeConnectFailed {
			t.Errorf("dials %v", dials)
		}
		waiting := openLater(t.Context(), p, target("b", nil))
		<-hang
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		<-waiting.done
		if len(dials) != 1 {
			t.Errorf("dials %v", dials)
		}
	})
}
