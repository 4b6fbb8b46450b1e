package sshpool_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/sshhost"
	"sallyport/internal/sshpool"
	_ "sallyport/test/apart"
)

// The tests leave neither a goroutine nor a connection behind.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if left := sockets(); left > 0 && code == 0 {
			fmt.Fprintf(os.Stderr, "%d sockets are left\n", left)
			code = 1
		}
		os.Exit(code)
	}))
}

// sockets counts the connections that this process holds, where that can be seen.
func sockets() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	n := 0
	for _, name := range names {
		if to, err := os.Readlink("/proc/self/fd/" + name.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// machine is something to reach: an SSH server, and how often it was dialled.
type machine struct {
	serve  func(net.Conn)
	key    ssh.PublicKey
	signer ssh.Signer
	served sync.WaitGroup

	// gate, where it isn't nil, is received from by every dial before it goes on.
	gate chan struct{}

	mu          sync.Mutex // guards the fields below
	pipes       []*pipe
	dialling    int
	diallingMax int
}

// newHost makes a machine of the host that is built in. It is made outside of
// any synctest bubble: it may take over a signal, for good.
func newHost(t testing.TB) (*machine, *sshhost.Host) {
	t.Helper()
	signer := newSigner(t)
	host, err := sshhost.New(sshhost.Config{
		AuthorizedKeys: []ssh.PublicKey{signer.PublicKey()}, User: "worker", Home: "/", Shell: "/bin/sh",
	})
	if err != nil {
		t.Fatal(err)
	}
	serve := func(conn net.Conn) { host.Serve(context.Background(), conn) }
	return &machine{serve: serve, key: host.HostKey(), signer: signer}, host
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// start ties a pool and a machine to a test: first the pool ends, then the machine.
func start(t *testing.T, p *sshpool.Pool, m *machine) *sshpool.Pool {
	t.Helper()
	t.Cleanup(func() {
		p.Close()
		m.served.Wait()
	})
	return p
}

// call is what one caller brings to a pool.
type call struct {
	target sshpool.Target
	need   sshpool.Need
}

func newCall(key string, dial func(context.Context) (*connector.Link, error)) call {
	return call{sshpool.Target{Key: key}, sshpool.Need{By: sshpool.Dialer{Dial: dial}}}
}

func checkedCall(key string, check func(context.Context, sshpool.HostKey) error, dial func(context.Context) (*connector.Link, error)) call {
	c := newCall(key, dial)
	c.need.By.CheckHostKey = check
	return c
}

func openOn(ctx context.Context, p *sshpool.Pool, c call) (*sshpool.Session, error) {
	return p.Open(ctx, c.target, c.need)
}

func (m *machine) target(key string) call {
	return newCall(key, m.dial)
}

// dial counts, waits for the gate, and connects.
func (m *machine) dial(ctx context.Context) (*connector.Link, error) {
	m.mu.Lock()
	m.dialling++
	m.diallingMax = max(m.diallingMax, m.dialling)
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.dialling--
		m.mu.Unlock()
	}()
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p := newPipe()
	m.mu.Lock()
	m.pipes = append(m.pipes, p)
	m.mu.Unlock()
	m.served.Go(func() { m.serve(end{p, 1}) })
	return m.link(end{p, 0}), nil
}

func (m *machine) link(conn net.Conn) *connector.Link {
	return &connector.Link{
		Conn: conn, User: "worker", HostKey: m.key,
		Signers: func(context.Context) ([]ssh.Signer, error) { return []ssh.Signer{m.signer}, nil },
	}
}

// connections are those that were made so far.
func (m *machine) connections() []*pipe {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*pipe(nil), m.pipes...)
}

func (m *machine) wantConnections(t testing.TB, n int) {
	t.Helper()
	if got := len(m.connections()); got != n {
		t.Errorf("%d connections were made, want %d", got, n)
	}
}

// open opens a session that must come to be.
func open(t testing.TB, p *sshpool.Pool, target call) *sshpool.Session {
	t.Helper()
	s, err := openOn(t.Context(), p, target)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opening is an Open on its way.
type opening struct {
	done    chan struct{}
	session *sshpool.Session
	err     error
}

func openLater(ctx context.Context, p *sshpool.Pool, target call) *opening {
	o := &opening{done: make(chan struct{})}
	go func() {
		defer close(o.done)
		o.session, o.err = openOn(ctx, p, target)
	}()
	return o
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func wantCode(t testing.TB, err error, code sallyport.Code) *sallyport.Error {
	t.Helper()
	var known *sallyport.Error
	if !errors.As(err, &known) || known.Code != code {
		t.Fatalf("got %v, want code %s", err, code)
	}
	return known
}

func wantCapacity(t testing.TB, err error) {
	t.Helper()
	if known := wantCode(t, err, sallyport.CodeTooManyExecs); known.Reason != "capacity" {
		t.Errorf("reason %q, want capacity", known.Reason)
	}
}

// output runs a command line on s and returns what it wrote to stdout.
func output(s *sshpool.Session, line string) (string, error) {
	if err := begin(s, line); err != nil {
		return "", err
	}
	out, err := io.ReadAll(s)
	return string(out), err
}

// begin has a command line run.
func begin(s *sshpool.Session, line string) error {
	s.Go(func() { ssh.DiscardRequests(s.Requests()) })
	ok, err := s.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
	if err != nil || !ok {
		return errors.Join(err, errors.New("exec refused"))
	}
	return nil
}

// await waits for a condition in real time.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s has not come", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
