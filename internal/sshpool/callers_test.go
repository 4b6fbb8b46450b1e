package sshpool_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/sshpool"
)

// callers records on whose behalf a machine is dialled, and its host key judged.
type callers struct {
	*machine
	mu     sync.Mutex // guards the fields below
	dialed []string
	judged []string
}

// by is a call of one caller's.
func (c *callers) by(name string) call {
	return checkedCall("k", func(context.Context, sshpool.HostKey) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.judged = append(c.judged, name)
		return nil
	}, func(ctx context.Context) (*connector.Link, error) {
		c.mu.Lock()
		c.dialed = append(c.dialed, name)
		c.mu.Unlock()
		link, err := c.dial(ctx)
		if err == nil {
			link.HostKey = nil
		}
		return link, err
	})
}

// A dial is made on behalf of the caller that caused it, however many share the machine's
// connections, and whoever came first.
func TestWhoCausesADialMakesIt(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		c := &callers{machine: m}
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1}, m)
		alice := open(t, p, c.by("alice"))
		bob := open(t, p, c.by("bob"))
		alice.Close()
		synctest.Wait()
		open(t, p, c.by("carol")).Close() // on alice's connection: no dial, no judgement
		synctest.Wait()
		bob.Close()
		want := []string{"alice", "bob"}
		if !slices.Equal(c.dialed, want) || !slices.Equal(c.judged, want) {
			t.Errorf("dialled by %v, judged for %v, want %v", c.dialed, c.judged, want)
		}
	})
}

// Callers that wait together for several connections each cause one.
func TestWaitersDialForThemselves(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		m.gate = make(chan struct{})
		c := &callers{machine: m}
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1}, m)
		var opens []*opening
		want := []string{"alice", "bob", "carol"}
		for _, name := range want {
			opens = append(opens, openLater(t.Context(), p, c.by(name)))
			synctest.Wait()
		}
		close(m.gate)
		for _, o := range opens {
			<-o.done
			if o.err != nil {
				t.Fatal(o.err)
			}
			o.session.Close()
		}
		slices.Sort(c.dialed)
		if !slices.Equal(c.dialed, want) {
			t.Errorf("dialled by %v, want %v", c.dialed, want)
		}
	})
}

// A caller whose machine's connection has ended dials the next one by itself, also where
// another caller made the first.
func TestRedialIsTheCallers(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		c := &callers{machine: m}
		p := start(t, &sshpool.Pool{}, m)
		open(t, p, c.by("alice")).Close()
		synctest.Wait()
		m.connections()[0].close()
		synctest.Wait()
		open(t, p, c.by("bob")).Close()
		if want := []string{"alice", "bob"}; !slices.Equal(c.judged, want) {
			t.Errorf("judged for %v, want %v", c.judged, want)
		}
	})
}

// A connection of one owner isn't closed for another's idle ones: who has the most loses.
func TestIdleConnectionsAreSharedOutByOwner(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{ConnectionsIdleMax: 4, IdleTime: time.Hour}, m)
		idle := func(owner, key string) {
			c := m.target(key)
			c.target.Owner = owner
			open(t, p, c).Close()
			synctest.Wait()
			<-time.After(time.Second)
		}
		idle("small", "s0")
		for i := range 8 {
			idle("big", fmt.Sprint("b", i))
		}
		idle("small", "s1")
		for i := range 8 {
			idle("big", fmt.Sprint("c", i))
		}
		for key, want := range map[string]int{"s0": 1, "s1": 1, "b7": 0, "c5": 0, "c6": 1, "c7": 1} {
			if got := p.State(key).Connections; got != want {
				t.Errorf("%s has %d connections, want %d", key, got, want)
			}
		}
		if got := p.Stats().Connections; got != 4 {
			t.Errorf("%d idle connections, want 4", got)
		}
	})
}

// stuck is a log that takes nothing until it is let go.
type stuck struct {
	slog.Handler
	holding chan struct{}
	letGo   chan struct{}
}

func (s *stuck) Handle(context.Context, slog.Record) error {
	select {
	case s.holding <- struct{}{}:
	default:
	}
	<-s.letGo
	return nil
}

// A log that takes nothing holds up the callers of no other machine.
func TestLogIsOutsideOfTheLock(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	log := &stuck{slog.NewTextHandler(t.Output(), nil), make(chan struct{}, 1), make(chan struct{})}
	p := start(t, &sshpool.Pool{Log: slog.New(log)}, m)
	defer close(log.letGo)
	d := &dead{}
	failing := openLater(t.Context(), p, d.target())
	<-log.holding
	for range 3 {
		open(t, p, m.target("other")).Close()
	}
	<-failing.done
	wantCode(t, failing.err, sallyport.CodeConnectFailed)
}

// A store that fails while a machine is dialled is no failure of the machine: the next
// caller dials at once, and nothing is remembered.
func TestStoreOutageIsNotTheMachines(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"dial", "host key", "keys"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			testStoreOutage(t, at)
		})
	}
}

func testStoreOutage(t *testing.T, at string) {
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		out := true
		fail := func(here string) error {
			if out && here == at {
				return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the store doesn't answer")
			}
			return nil
		}
		target := checkedCall("k", func(context.Context, sshpool.HostKey) error { return fail("host key") }, func(ctx context.Context) (*connector.Link, error) {
			link, err := m.dial(ctx)
			link.HostKey = nil
			link.Signers = func(context.Context) ([]ssh.Signer, error) { return []ssh.Signer{m.signer}, fail("keys") }
			if failed := fail("dial"); failed != nil {
				link.Conn.Close()
				return nil, failed
			}
			return link, err
		})
		for range 5 {
			_, err := openOn(t.Context(), p, target)
			wantCode(t, err, sallyport.CodePlatformUnavailable)
		}
		m.wantConnections(t, 5)
		if s := p.State("k"); s.Phase != sshpool.None || s.LastError != nil || !s.NotBefore.IsZero() {
			t.Errorf("state %+v", s)
		}
		out = false
		open(t, p, target).Close()
		if s := p.State("k"); s.LastError != nil {
			t.Errorf("last error %v", s.LastError)
		}
	})
}
