package sshpool_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// mortal is a target whose connections last for life, and share what shared names.
func (m *machine) mortal(key string, life, need time.Duration, shared string) call {
	target := m.target(key)
	target.need.Life = need
	target.need.By.Dial = func(ctx context.Context) (*connector.Link, error) {
		link, err := m.dial(ctx)
		if err == nil {
			link.MaxLife, link.Shared = life, shared
		}
		return link, err
	}
	return target
}

// use opens a session, and closes it.
func use(t *testing.T, p *sshpool.Pool, target call) {
	t.Helper()
	s, err := openOn(t.Context(), p, target)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	synctest.Wait()
}

// Nothing is put on a connection that ends before it; the next is dialled while there is
// time, and takes over.
func TestMortalConnections(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{IdleTime: 24 * time.Hour}, m)
		long := m.mortal("k", time.Hour, 2*time.Minute, "")
		short := m.mortal("k", time.Hour, time.Second, "")
		use(t, p, long)
		<-time.After(time.Hour - limits.RenewConnectionAt - time.Second)
		use(t, p, long)
		m.wantConnections(t, 1)
		<-time.After(2 * time.Second) // its end is near
		use(t, p, short)
		m.wantConnections(t, 2)
		if s := p.State("k"); s.Connections != 1 {
			t.Errorf("%d connections, and the first has been replaced", s.Connections)
		}
		use(t, p, long)
		m.wantConnections(t, 2)
	})
}

// What can't fit on the connection that there is waits for the next.
func TestMortalConnectionTooShort(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{IdleTime: 24 * time.Hour}, m)
		use(t, p, m.mortal("k", time.Hour, time.Minute, ""))
		<-time.After(time.Hour - time.Minute)
		use(t, p, m.mortal("k", time.Hour, time.Minute, ""))
		m.wantConnections(t, 2)
		// Where no connection is ever long enough, a fresh one has to do.
		use(t, p, m.mortal("brief", 10*time.Second, time.Minute, ""))
		use(t, p, m.mortal("brief", 10*time.Second, time.Minute, ""))
		m.wantConnections(t, 3)
	})
}

// What no connection lasts for takes one with half of its life left, and waits for the next where
// less is left.
func TestMortalConnectionHalfSpent(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{IdleTime: 24 * time.Hour}, m)
		endless := m.mortal("k", time.Hour, 12*time.Hour, "")
		use(t, p, endless)
		<-time.After(29 * time.Minute)
		use(t, p, endless)
		m.wantConnections(t, 1)
		<-time.After(2 * time.Minute)
		use(t, p, endless)
		m.wantConnections(t, 2)
	})
}

// The connection that is idle for longest is evicted, of those that share the thing; one
// in use never is.
func TestEvictIdle(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{IdleTime: 24 * time.Hour}, m)
		for _, key := range []string{"a", "b", "c"} {
			use(t, p, m.mortal(key, 0, 0, "shared"))
			<-time.After(time.Second)
		}
		use(t, p, m.mortal("other", 0, 0, "another"))
		busy, err := openOn(t.Context(), p, m.mortal("a", 0, 0, "shared"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []bool{true, true, false} {
			if got := p.EvictIdle("shared"); got != want {
				t.Errorf("evicted %t, want %t", got, want)
			}
			synctest.Wait()
		}
		for key, want := range map[string]int{"a": 1, "b": 0, "c": 0, "other": 1} {
			if n := p.State(key).Connections; n != want {
				t.Errorf("%s has %d connections, want %d", key, n, want)
			}
		}
		busy.Close()
	})
}
