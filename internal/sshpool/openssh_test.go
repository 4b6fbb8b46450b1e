package sshpool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
	"sallyport/test/faultproxy"
	"sallyport/test/sshd"
)

// real is a real sshd behind a proxy that counts, and breaks things.
type real struct {
	*sshd.Server
	proxy *faultproxy.Proxy
}

// startReal starts both, and ties a pool to the test.
func startReal(t *testing.T, o sshd.Options, p *sshpool.Pool) *real {
	t.Helper()
	s := sshd.Start(t, o)
	r := &real{Server: s, proxy: faultproxy.Start(t, s.Addr, faultproxy.Faults{})}
	t.Cleanup(func() { p.Close() })
	return r
}

func (r *real) target() call {
	return newCall("real", func(ctx context.Context) (*connector.Link, error) {
		return r.DialAt(ctx, r.proxy.Addr)
	})
}

// echo runs a command in a session of its own and wants its own words back.
func (r *real) echo(ctx context.Context, p *sshpool.Pool, word string) error {
	s, err := openOn(ctx, p, r.target())
	if err != nil {
		return err
	}
	defer s.Close()
	if got, err := output(s, "exec echo "+word); err != nil || got != word+"\n" {
		return fmt.Errorf("got %q, %v, want %s", got, err, word)
	}
	return nil
}

// One after another takes one connection, however many.
func TestSequentialOnSSHD(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{}
	r := startReal(t, sshd.Options{}, p)
	for i := range 100 {
		if err := r.echo(t.Context(), p, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.proxy.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A hundred at once all succeed, within the connect budget, however few sessions
// the machine takes on a connection, whoever logs in, and though it drops
// connections that come together.
func TestHundredAtOnceOnSSHD(t *testing.T) {
	t.Parallel()
	for _, o := range []sshd.Options{
		{MaxSessions: 10},
		{MaxSessions: 10, User: sshd.Root},
		{MaxSessions: 2},
		{MaxSessions: 1},
		{MaxSessions: 10, MaxStartups: "1:100:1"},
		{MaxSessions: 1, MaxStartups: "2:50:4"},
	} {
		t.Run(fmt.Sprintf("%s MaxSessions %d MaxStartups %s", o.User, o.MaxSessions, o.MaxStartups), func(t *testing.T) {
			t.Parallel()
			p := &sshpool.Pool{}
			r := startReal(t, o, p)
			ctx, cancel := context.WithTimeout(t.Context(), 8*limits.ConnectTime) // other cases beside it, the race detector, two cores
			defer cancel()
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					if err := r.echo(ctx, p, fmt.Sprint(i)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if o.MaxSessions < limits.SessionsPerConnection {
				if got := p.State("real").SessionsPerConnection; got > o.MaxSessions {
					t.Errorf("%d sessions on a connection are thought to be taken, of %d", got, o.MaxSessions)
				}
			}
			if n := r.proxy.Open(); n > limits.ConnectionsPerWorkspace {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// An sshd that was killed is told from one that is up: at once, by a reason, and
// without a pile of dials; when it is back the next act finds it.
func TestSSHDKilled(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{BackoffMax: 200 * time.Millisecond}
	r := startReal(t, sshd.Options{}, p)
	s := open(t, p, r.target())
	if err := begin(s, "echo begun; exec sleep 60"); err != nil {
		t.Fatal(err)
	}
	if begun, err := bufio.NewReader(s).ReadString('\n'); begun != "begun\n" {
		t.Errorf("got %q, %v", begun, err)
	}
	r.Kill()
	select {
	case <-s.Lost():
	case <-time.After(5 * time.Second):
		t.Error("a session on a dead machine was not told")
	}
	s.Close()
	await(t, "the connection's end to be known", func() bool { return p.State("real").Connections == 0 })
	if state := p.State("real"); state.LastError == nil || state.LastError.Reason != sallyport.ReasonConnectionLost || state.LastErrorAt.IsZero() {
		t.Errorf("state %+v", state)
	}
	before := r.proxy.Accepted()
	for range 50 {
		began := time.Now()
		err := r.echo(t.Context(), p, "x")
		if known := wantCode(t, err, sallyport.CodeConnectFailed); known.Reason != sallyport.ReasonNoBanner && known.Reason != sallyport.ReasonHandshakeFailed {
			t.Errorf("reason %s", known.Reason)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("told after %v", took)
		}
	}
	if dials := r.proxy.Accepted() - before; dials > 10 {
		t.Errorf("%d dials for 50 acts", dials)
	}
	r.Restart(t)
	await(t, "an act to succeed", func() bool { return r.echo(t.Context(), p, "back") == nil })
	if state := p.State("real"); state.Connections != 1 || !state.NotBefore.IsZero() || state.Since.IsZero() {
		t.Errorf("state %+v", state)
	}
}

// Connections that break between acts cost the next act nothing but a dial, however
// they break.
func TestConnectionBreaksOnSSHD(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{}
	r := startReal(t, sshd.Options{}, p)
	for name, breaks := range map[string]func(){
		"killed": r.KillConnections,
		"cut":    func() { r.proxy.Cut(false) },
		"reset":  func() { r.proxy.Cut(true) },
	} {
		if err := r.echo(t.Context(), p, "before"); err != nil {
			t.Fatal(err)
		}
		breaks()
		await(t, "the end of the connection", func() bool { return p.State("real").Connections == 0 })
		if err := r.echo(t.Context(), p, "after"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A connection that is half-open is found within 15 s, by nobody's act: whether the
// machine has stopped or the network loses everything.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for a keepalive")
	}
	for name, breaks := range map[string]func(*real){
		"stopped":    (*real).Stop,
		"blackholed": func(r *real) { r.proxy.Set(faultproxy.Faults{Blackhole: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &sshpool.Pool{}
			s := sshd.Start(t, sshd.Options{})
			r := &real{Server: s, proxy: faultproxy.Start(t, s.Addr, faultproxy.Faults{})}
			t.Cleanup(func() { p.Close() })
			held := open(t, p, r.target())
			<-time.After(200 * time.Millisecond) // nothing is on its way: a keepalive must find it
			began := time.Now()
			breaks(r)
			select {
			case <-held.Lost():
			case <-time.After(time.Minute):
			}
			if took := time.Since(began); took > limits.KeepaliveEvery+limits.KeepaliveTimeout+time.Second {
				t.Errorf("found after %v", took)
			}
			held.Close()
			r.Cont()
			r.proxy.Set(faultproxy.Faults{})
			if err := r.echo(t.Context(), p, "after"); err != nil {
				t.Error(err)
			}
		})
	}
}

// An act on a connection that is half-open, and that nobody has noticed to be, gets
// another one within its own budget.
func TestActOnHalfOpen(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for an answer that doesn't come")
	}
	p := &sshpool.Pool{}
	r := startReal(t, sshd.Options{}, p)
	if err := r.echo(t.Context(), p, "before"); err != nil {
		t.Fatal(err)
	}
	r.StopConnections()
	<-time.After(limits.AheadTrustTime + 100*time.Millisecond) // else the session that was opened ahead is had
	ctx, cancel := context.WithTimeout(t.Context(), limits.ConnectTime)
	defer cancel()
	if err := r.echo(ctx, p, "after"); err != nil {
		t.Error(err)
	}
}

// A stopped machine that isn't known costs the connect budget, and says what was
// waited for.
func TestStoppedFromTheStart(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{ConnectTime: 2 * time.Second}
	r := startReal(t, sshd.Options{}, p)
	r.Stop()
	_, err := openOn(t.Context(), p, r.target())
	if known := wantCode(t, err, sallyport.CodeConnectTimeout); known.Reason != sallyport.ReasonNoBanner {
		t.Errorf("reason %q", known.Reason)
	}
	r.Cont()
	await(t, "an act to succeed", func() bool { return r.echo(t.Context(), p, "back") == nil })
}

// A byte a second is no way to log in: the connect budget ends it.
func TestDrippingMachine(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{ConnectTime: 500 * time.Millisecond}
	r := startReal(t, sshd.Options{}, p)
	r.proxy.Set(faultproxy.Faults{Drip: time.Second})
	_, err := openOn(t.Context(), p, r.target())
	wantCode(t, err, sallyport.CodeConnectTimeout)
}

// A connection cut after any number of bytes is an error with a code, or an act that
// succeeded: never a hang, and nothing is left.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{BackoffMin: time.Nanosecond, BackoffMax: time.Nanosecond}
	r := startReal(t, sshd.Options{}, p)
	for after := int64(1); after < 6000; after += 211 {
		for _, reset := range []bool{false, true} {
			r.proxy.Set(faultproxy.Faults{CutDownAfter: after, Reset: reset})
			err := r.echo(t.Context(), p, "x")
			var known *sallyport.Error
			if errors.As(err, &known) && known.Code != sallyport.CodeConnectFailed {
				t.Errorf("cut after %d: %v", after, err)
			}
			r.proxy.Cut(reset)
			await(t, "the end of the connection", func() bool { return p.State("real").Connections == 0 })
		}
	}
}

// A key that the machine doesn't know is a refusal, told apart from a host key that
// isn't the machine's.
func TestRefusedBySSHD(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{}
	r := startReal(t, sshd.Options{}, p)
	stranger := newSigner(t)
	refused := newCall("refused", func(ctx context.Context) (*connector.Link, error) {
		link, err := r.Dial(ctx)
		link.Signers = func(context.Context) ([]ssh.Signer, error) { return []ssh.Signer{stranger}, nil }
		return link, err
	})
	_, err := openOn(t.Context(), p, refused)
	if known := wantCode(t, err, sallyport.CodeConnectFailed); known.Reason != sallyport.ReasonAuthFailed || !strings.Contains(known.Message, "clock") {
		t.Errorf("reason %q: %s", known.Reason, known.Message)
	}
	changed := newCall("changed", func(ctx context.Context) (*connector.Link, error) {
		link, err := r.Dial(ctx)
		link.HostKey = stranger.PublicKey()
		return link, err
	})
	_, err = openOn(t.Context(), p, changed)
	wantCode(t, err, sallyport.CodeHostKeyMismatch)
}

// A grant that ran out while we dialled is renewed, once, on the same connection.
func TestGrantIsRenewed(t *testing.T) {
	t.Parallel()
	p := &sshpool.Pool{}
	r := startReal(t, sshd.Options{}, p)
	stale, asked := newSigner(t), 0
	target := newCall("k", func(ctx context.Context) (*connector.Link, error) {
		link, err := r.DialAt(ctx, r.proxy.Addr)
		link.Signers = func(context.Context) ([]ssh.Signer, error) {
			if asked++; asked == 1 {
				return []ssh.Signer{stale}, nil
			}
			return []ssh.Signer{r.Signer}, nil
		}
		return link, err
	})
	open(t, p, target).Close()
	if asked != 2 || r.proxy.Accepted() != 1 {
		t.Errorf("asked %d times, on %d connections", asked, r.proxy.Accepted())
	}
}
