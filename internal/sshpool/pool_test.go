package sshpool_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// A connection that is warm is used again, by the next act and beside another.
func TestReuse(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	p := start(t, &sshpool.Pool{}, m)
	beside := open(t, p, m.target("k"))
	for i := range 3 {
		s := open(t, p, m.target("k"))
		want := fmt.Sprintln("act", i)
		if got, err := output(s, fmt.Sprint("echo act ", i)); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		s.Close()
	}
	if got, err := output(beside, "echo beside"); got != "beside\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	beside.Close()
	m.wantConnections(t, 1)
}

// Who comes while a connection is dialled waits for it, and dials no other.
func TestColdOpensShareOneDial(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		m.gate = make(chan struct{})
		p := start(t, &sshpool.Pool{}, m)
		var opens []*opening
		for range limits.SessionsPerConnection {
			opens = append(opens, openLater(t.Context(), p, m.target("k")))
			synctest.Wait()
		}
		m.gate <- struct{}{}
		for _, o := range opens {
			<-o.done
			if o.err != nil {
				t.Fatal(o.err)
			}
			o.session.Close()
		}
		synctest.Wait()
		m.wantConnections(t, 1)
		if m.diallingMax != 1 {
			t.Errorf("%d dials at once, want 1", m.diallingMax)
		}
	})
}

// A connection holds so many sessions and no more: the next takes another one.
func TestSessionsPerConnection(t *testing.T) {
	t.Parallel()
	m, s := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		for i := range 2*limits.SessionsPerConnection + 1 {
			open(t, p, m.target("k"))
			m.wantConnections(t, 1+i/limits.SessionsPerConnection)
		}
		if _, busiest := s.counts(); busiest != limits.SessionsPerConnection {
			t.Errorf("up to %d sessions on a connection, want %d", busiest, limits.SessionsPerConnection)
		}
	})
}

// Where a machine has all the connections that it may, the next waits until a
// session is closed, and takes its place.
func TestWaitsForASlot(t *testing.T) {
	t.Parallel()
	m, _ := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1, ConnectionsPerKey: 2}, m)
		first, second := open(t, p, m.target("k")), open(t, p, m.target("k"))
		third := openLater(t.Context(), p, m.target("k"))
		<-time.After(time.Minute)
		synctest.Wait()
		if isDone(third.done) {
			t.Fatalf("a third session came to be: %v", third.err)
		}
		first.Close()
		<-third.done
		if third.err != nil {
			t.Fatal(third.err)
		}
		m.wantConnections(t, 2)
		second.Close()
		third.session.Close()
	})
}

// Who waited in vain is told that the machine is full, and leaves no trace: the
// slot that is freed later goes to the next.
func TestFullMachine(t *testing.T) {
	t.Parallel()
	m, _ := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1, ConnectionsPerKey: 1}, m)
		first := open(t, p, m.target("k"))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := openOn(ctx, p, m.target("k"))
		wantCapacity(t, err)
		if waited := time.Since(began); waited != 3*time.Second {
			t.Errorf("waited %v, want 3s", waited)
		}
		first.Close()
		open(t, p, m.target("k")).Close()
		m.wantConnections(t, 1)
	})
}

// A slot that is granted to somebody in the moment in which he goes away is not
// lost: the pool would be full for ever.
func TestCanceledWhileGranted(t *testing.T) {
	t.Parallel()
	m, _ := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1, ConnectionsPerKey: 1}, m)
		for round := range 200 {
			s := open(t, p, m.target("k"))
			ctx, cancel := context.WithCancel(t.Context())
			o := openLater(ctx, p, m.target("k"))
			synctest.Wait()
			s.Close()
			for range round % 40 { // sooner or later than the grant
				runtime.Gosched()
			}
			cancel()
			<-o.done
			if o.err == nil {
				o.session.Close()
			}
		}
		m.wantConnections(t, 1)
	})
}

// A connection that nothing uses is closed after its time, one in use never.
func TestIdle(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		open(t, p, m.target("k")).Close()
		<-time.After(limits.ConnectionIdleTime - time.Second)
		s := open(t, p, m.target("k")) // still warm
		m.wantConnections(t, 1)
		<-time.After(10 * limits.ConnectionIdleTime)
		if isDone(s.Lost()) {
			t.Fatal("a connection in use was closed")
		}
		s.Close()
		synctest.Wait()
		<-time.After(2 * limits.ConnectionIdleTime)
		synctest.Wait()
		if !m.connections()[0].isClosed() {
			t.Error("an idle connection is still open")
		}
		open(t, p, m.target("k")).Close()
		m.wantConnections(t, 2)
	})
}

// There are bounds for the dials at once and for sessions on a connection also
// when a hundred come at once to a cold machine.
func TestHundredColdOpens(t *testing.T) {
	t.Parallel()
	m, s := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		m.gate = make(chan struct{})
		p := start(t, &sshpool.Pool{}, m)
		var opens []*opening
		for range 100 {
			opens = append(opens, openLater(t.Context(), p, m.target("k")))
		}
		synctest.Wait()
		close(m.gate)
		for _, o := range opens {
			<-o.done
			if o.err != nil {
				t.Fatal(o.err)
			}
		}
		m.wantConnections(t, 100/limits.SessionsPerConnection)
		if _, busiest := s.counts(); busiest > limits.SessionsPerConnection || m.diallingMax > 4 {
			t.Errorf("up to %d sessions on a connection and %d dials at once", busiest, m.diallingMax)
		}
		for _, o := range opens {
			o.session.Close()
		}
	})
}

// A hundred acts at once over TCP all get their own answers.
func TestHundredLeases(t *testing.T) {
	t.Parallel()
	m, host := newHost(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			m.served.Go(func() { host.Serve(context.Background(), conn) })
		}
	})
	p := start(t, &sshpool.Pool{ConnectionsPerKey: 4}, m)
	t.Cleanup(func() { // before the pool's, so that no connection comes to be in between
		listener.Close()
		accepting.Wait()
	})
	target := newCall("tcp", func(ctx context.Context) (*connector.Link, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
		if err != nil {
			return nil, err
		}
		return m.link(conn), nil
	})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			s, err := openOn(t.Context(), p, target)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if got, err := output(s, fmt.Sprint("echo ", i)); got != fmt.Sprintln(i) || err != nil {
				t.Errorf("act %d: got %q, %v", i, got, err)
			}
		})
	}
	wg.Wait()
}

// Connections are never shared across keys, so that a change of what a key is
// made of is a change of the machine.
func TestKeysDoNotShare(t *testing.T) {
	t.Parallel()
	old, _ := newHost(t)
	changed, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, start(t, &sshpool.Pool{}, old), changed)
		open(t, p, old.target("w/1")).Close()
		open(t, p, changed.target("w/2")).Close()
		open(t, p, old.target("w/1")).Close()
		open(t, p, old.target("v/1")).Close()
		old.wantConnections(t, 2)
		changed.wantConnections(t, 1)
	})
}

// A closed pool refuses everybody; Close may come first, and again.
func TestClosed(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	p := &sshpool.Pool{}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := openOn(t.Context(), p, m.target("k"))
	wantCode(t, err, sallyport.CodeDraining)
	m.wantConnections(t, 0)
}

// Close ends what is open, what is dialled and who waits, and returns when
// nothing of the pool runs any more: the bubble would not end otherwise.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 1, ConnectionsPerKey: 1}, m)
		leased := open(t, p, m.target("k"))
		sleeping := make(chan struct{})
		leased.Go(func() {
			<-leased.Lost()
			<-time.After(time.Second)
			close(sleeping)
		})
		leased.Close()
		waiting := openLater(t.Context(), p, m.target("k"))
		synctest.Wait()
		m.gate = make(chan struct{})
		dialling := openLater(t.Context(), p, m.target("other"))
		synctest.Wait()
		p.Close()
		if !isDone(sleeping) {
			t.Error("Close returned before what runs on a session did")
		}
		for _, o := range []*opening{waiting, dialling} {
			<-o.done
			wantCode(t, o.err, sallyport.CodeDraining)
		}
		if !m.connections()[0].isClosed() {
			t.Error("a connection is still open")
		}
	})
}
