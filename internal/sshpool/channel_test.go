package sshpool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
	"sallyport/test/sshd"
)

// echoes is a service that says what it hears.
func echoes(t *testing.T) (host string, port uint16) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	return "127.0.0.1", portOf(t, listener.Addr().String())
}

func portOf(t *testing.T, addr string) uint16 {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(port)
}

// A forward takes none of the machine's sessions, shares its connection, and keeps it from
// being idle; one that the machine refuses harms nothing.
func TestForward(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{SessionsPerConnection: 1, ConnectionsPerKey: 1, IdleTime: 200 * time.Millisecond}
	m := startReal(t, sshd.Options{MaxSessions: 1}, p)
	held := open(t, p, m.target())
	call := m.target()
	host, port := echoes(t)
	for range 3 {
		ch, err := p.OpenForward(t.Context(), call.target, call.need, host, port)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(ch, "hello"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(ch, got); err != nil || string(got) != "hello" || !ch.Warm {
			t.Errorf("got %q, %v, warm %v", got, err, ch.Warm)
		}
		defer ch.Close()
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := portOf(t, gone.Addr().String())
	gone.Close()
	_, err = p.OpenForward(t.Context(), call.target, call.need, host, closed)
	if refused, ok := errors.AsType[*ssh.OpenChannelError](err); !ok || refused.Reason != ssh.ConnectionFailed {
		t.Errorf("a port that nothing listens on: %v", err)
	}
	held.Close()
	other := m.target()
	other.target.Key = "other"
	open(t, p, other).Close()
	await(t, "the end of a connection that is idle since later", func() bool { return p.State("other").Connections == 0 })
	if isDone(held.Lost()) || m.proxy.Accepted() != 2 {
		t.Errorf("%d connections, or a forward's was taken for idle", m.proxy.Accepted())
	}
	if err := m.echo(t.Context(), p, "beside"); err != nil {
		t.Error(err)
	}
}

// A connection is idle once its last forward is closed.
func TestForwardEnds(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{IdleTime: 50 * time.Millisecond}
	m := startReal(t, sshd.Options{}, p)
	call := m.target()
	host, port := echoes(t)
	ch, err := p.OpenForward(t.Context(), call.target, call.need, host, port)
	if err != nil {
		t.Fatal(err)
	}
	if s := p.State("real"); s.Phase != sshpool.Connected || s.Sessions != 0 {
		t.Errorf("state %+v", s)
	}
	ch.Close()
	ch.Close()
	await(t, "the end of an idle connection", func() bool { return p.State("real").Connections == 0 })
}

// A machine that answers no forward is asked for so many and no more, and its connection's
// end ends what is left of them.
func TestForwardsUnanswered(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 2*limits.ForwardsUnansweredMax)
	target, _ := rogueMachine(t, func(g *rogue) error {
		if err := g.login(); err != nil {
			return err
		}
		for {
			packet, err := g.read()
			if err != nil {
				return err
			}
			if packet[0] == msgChannelOpen {
				asked <- struct{}{}
			}
		}
	})
	p := &sshpool.Pool{}
	defer p.Close() // it waits for all that was abandoned
	for n := 0; ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := p.OpenForward(ctx, target.target, target.need, "192.0.2.1", 80)
			failed <- err
		}()
		select {
		case <-asked:
			cancel()
			<-failed
		case err := <-failed:
			cancel()
			wantCapacity(t, err)
			if n != limits.ForwardsUnansweredMax {
				t.Errorf("refused after %d", n)
			}
			return
		}
	}
}

// A subsystem that the machine doesn't have is told apart from a broken way to it.
func TestSubsystem(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{}
	m := startReal(t, sshd.Options{Config: []string{"Subsystem hello /bin/echo hello"}}, p)
	call := m.target()
	s, err := p.OpenSubsystem(t.Context(), call.target, call.need, "hello")
	if err != nil {
		t.Fatal(err)
	}
	s.Go(func() { ssh.DiscardRequests(s.Requests()) })
	if got, err := io.ReadAll(s); string(got) != "hello\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	s.Close()
	if _, err := p.OpenSubsystem(t.Context(), call.target, call.need, "absent"); !errors.Is(err, sshpool.ErrNoSubsystem) {
		t.Errorf("got %v", err)
	}
	if err := m.echo(t.Context(), p, "after"); err != nil {
		t.Error(err)
	}
}

// keeper is something that is kept with a connection.
type keeper struct {
	session *sshpool.Session
	closed  atomic.Int32
}

func (k *keeper) Close() error {
	k.closed.Add(1)
	return k.session.Close()
}

// What is kept with a connection is made once for all that ask together, lets the
// connection be idle, and is closed once, with it.
func TestKept(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{IdleTime: 300 * time.Millisecond}
	m := startReal(t, sshd.Options{}, p)
	call := m.target()
	var mu sync.Mutex
	var made []*keeper
	fail := errors.New("not now")
	lease := func(failure error) (*sshpool.Lease, error) {
		return p.Kept(t.Context(), call.target, call.need, "thing", func(_ context.Context, s *sshpool.Session) (io.Closer, error) {
			if failure != nil {
				return nil, failure
			}
			k := &keeper{session: s}
			s.Go(func() { ssh.DiscardRequests(s.Requests()) })
			mu.Lock()
			made = append(made, k)
			mu.Unlock()
			return k, nil
		})
	}
	if _, err := lease(fail); !errors.Is(err, fail) {
		t.Errorf("got %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			l, err := lease(nil)
			if err != nil {
				t.Error(err)
				return
			}
			l.Release()
			l.Release()
		})
	}
	all.Wait()
	if len(made) != 1 || m.proxy.Accepted() != 1 {
		t.Fatalf("made %d times on %d connections", len(made), m.proxy.Accepted())
	}
	broken, err := lease(nil)
	if err != nil {
		t.Fatal(err)
	}
	broken.Discard()
	if again, err := lease(nil); err != nil || again.Value == broken.Value {
		t.Errorf("what was discarded is had again, %v", err)
	} else {
		again.Release()
	}
	await(t, "the end of an idle connection", func() bool { return p.State("real").Connections == 0 })
	await(t, "the end of what was kept", func() bool { return made[len(made)-1].closed.Load() == 1 })
	for i, k := range made {
		if n := k.closed.Load(); n != 1 {
			t.Errorf("the %dth was closed %d times", i, n)
		}
	}
}

// A connection that breaks ends what is kept with it, and the next caller makes it anew.
func TestKeptBreaks(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{}
	m := startReal(t, sshd.Options{}, p)
	call := m.target()
	make := func(_ context.Context, s *sshpool.Session) (io.Closer, error) {
		s.Go(func() { ssh.DiscardRequests(s.Requests()) })
		return &keeper{session: s}, nil
	}
	first, err := p.Kept(t.Context(), call.target, call.need, "thing", make)
	if err != nil {
		t.Fatal(err)
	}
	m.proxy.Cut(true)
	<-first.Lost()
	await(t, "the end of what was kept", func() bool { return first.Value.(*keeper).closed.Load() == 1 })
	first.Release()
	second, err := p.Kept(t.Context(), call.target, call.need, "thing", make)
	if err != nil {
		t.Fatal(err)
	}
	if second.Value == first.Value {
		t.Error("what has ended is had again")
	}
	second.Release()
}

// What was learnt of a machine is known to others on the same connection, and goes with it.
func TestFacts(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	p := start(t, &sshpool.Pool{}, m)
	first, second := open(t, p, m.target("k")), open(t, p, m.target("k"))
	first.Learn(func(f *sshpool.Facts) { f.LoginShell = sshpool.LoginShellSh })
	if got := second.Facts(); got != (sshpool.Facts{LoginShell: sshpool.LoginShellSh}) {
		t.Errorf("got %+v", got)
	}
	other := open(t, p, m.target("other"))
	if got := other.Facts(); got != (sshpool.Facts{}) {
		t.Errorf("another machine: %+v", got)
	}
	for _, s := range []*sshpool.Session{first, second, other} {
		s.Close()
	}
}
