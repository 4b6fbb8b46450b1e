package sshpool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// Closing a session twice frees one slot, not two.
func TestCloseTwice(t *testing.T) {
	t.Parallel()
	m, _ := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 2, ConnectionsPerKey: 1}, m)
		twice, other := open(t, p, m.target("k")), open(t, p, m.target("k"))
		twice.Close()
		twice.Close()
		synctest.Wait()
		open(t, p, m.target("k"))
		full := openLater(t.Context(), p, m.target("k"))
		synctest.Wait()
		if isDone(full.done) {
			t.Fatal("there were more sessions than slots")
		}
		other.Close()
		<-full.done
		if full.err != nil {
			t.Error(full.err)
		}
	})
}

// A session keeps its slot for as long as something runs on it.
func TestGoKeepsTheSlot(t *testing.T) {
	t.Parallel()
	m, _ := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1, ConnectionsPerKey: 1}, m)
		s := open(t, p, m.target("k"))
		end := make(chan struct{})
		s.Go(func() { <-end })
		s.Close()
		next := openLater(t.Context(), p, m.target("k"))
		synctest.Wait()
		if isDone(next.done) {
			t.Fatal("the slot was given away")
		}
		close(end)
		<-next.done
		if next.err != nil {
			t.Error(next.err)
		}
	})
}

// Closing returns at once, and a machine that never confirms it loses its
// connection: its slot would be lost otherwise.
func TestCloseUnanswered(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1, ConnectionsPerKey: 1}, m)
		s := open(t, p, m.target("k"))
		m.connections()[0].silence()
		began := time.Now()
		s.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		<-s.Lost()
		if took := time.Since(began); took > limits.KeepaliveTimeout {
			t.Errorf("given up after %v", took)
		}
		open(t, p, m.target("k")).Close()
	})
}

// A ping is a round trip, and waits no longer than its context.
func TestPing(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		s := open(t, p, m.target("k"))
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		m.connections()[0].silence()
		why := errors.New("no more time")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		if err := s.Ping(ctx); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		m.connections()[0].close()
		<-s.Lost()
		if err := s.Ping(t.Context()); err == nil {
			t.Error("a lost connection answered")
		}
		s.Close()
	})
}

// A sibling comes on the same connection, also when its slots are all taken:
// that is how what runs there is ended.
func TestSibling(t *testing.T) {
	t.Parallel()
	m, _ := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1, ConnectionsPerKey: 1}, m)
		s := open(t, p, m.target("k"))
		sibling, err := s.Sibling(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.wantConnections(t, 1)
		sibling.Close()
		synctest.Wait()
		full := openLater(t.Context(), p, m.target("k"))
		synctest.Wait()
		if isDone(full.done) {
			t.Error("a sibling's end freed a slot that it had not taken")
		}
		s.Close()
		<-full.done
	})
}

// Where the machine takes no more on the connection, or the connection is lost,
// the sibling comes on another one.
func TestSiblingElsewhere(t *testing.T) {
	t.Parallel()
	m, _ := newSmall(t, 1)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		s := open(t, p, m.target("k"))
		full, err := s.Sibling(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.wantConnections(t, 2)
		m.connections()[0].close()
		<-s.Lost()
		full.Close()
		synctest.Wait()
		lost, err := s.Sibling(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.wantConnections(t, 2)
		lost.Close()
		s.Close()
	})
}
