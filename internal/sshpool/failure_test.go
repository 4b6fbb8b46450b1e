package sshpool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// Whatever keeps a connection from coming to be has its code.
func TestDialFails(t *testing.T) {
	t.Parallel()
	refusal := sallyport.Errorf(sallyport.CodeConnectFailed, "no tunnel")
	refusal.Reason = "capacity"
	denied := sallyport.Errorf(sallyport.CodeHostKeyMismatch, "not the pinned one")
	other := newSigner(t)
	tests := []struct {
		name   string
		change func(*connector.Link)                        // of a link that would do
		dial   error                                        // instead of the link
		check  func(context.Context, sshpool.HostKey) error // as the target's
		want   sallyport.Code
		reason string
	}{
		{name: "dial", dial: errors.New("no route"), want: sallyport.CodeConnectFailed, reason: sallyport.ReasonDialFailed},
		{name: "dial, with a code", dial: refusal, want: sallyport.CodeConnectFailed, reason: "capacity"},
		{name: "another host key than the link's", want: sallyport.CodeHostKeyMismatch,
			change: func(l *connector.Link) { l.HostKey = other.PublicKey() }},
		{name: "another host key than the link's, whatever the target says", want: sallyport.CodeHostKeyMismatch,
			change: func(l *connector.Link) { l.HostKey = other.PublicKey() }, check: func(context.Context, sshpool.HostKey) error { return nil }},
		{name: "a host key that nobody vouches for", want: sallyport.CodeHostKeyMismatch,
			change: func(l *connector.Link) { l.HostKey = nil }},
		{name: "a host key that the target refuses", want: sallyport.CodeHostKeyMismatch,
			change: func(l *connector.Link) { l.HostKey = nil }, check: func(context.Context, sshpool.HostKey) error { return denied }},
		{name: "login", want: sallyport.CodeConnectFailed, reason: sallyport.ReasonAuthFailed, change: func(l *connector.Link) { l.User = "root" }},
		{name: "no keys", want: sallyport.CodeConnectFailed, reason: sallyport.ReasonKeyUnusable,
			change: func(l *connector.Link) {
				l.Signers = func(context.Context) ([]ssh.Signer, error) { return nil, errors.New("no grant") }
			}},
		{name: "hung up", want: sallyport.CodeConnectFailed, reason: sallyport.ReasonNoBanner, change: func(l *connector.Link) { l.Conn.Close() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newHost(t)
			p := start(t, &sshpool.Pool{}, m)
			failing := checkedCall("k", tt.check, func(ctx context.Context) (*connector.Link, error) {
				if tt.dial != nil {
					return nil, tt.dial
				}
				link, err := m.dial(ctx)
				tt.change(link)
				return link, err
			})
			_, err := openOn(t.Context(), p, failing)
			if known := wantCode(t, err, tt.want); known.Reason != tt.reason {
				t.Errorf("reason %q, want %q", known.Reason, tt.reason)
			}
			for _, pipe := range m.connections() {
				if !pipe.isClosed() {
					t.Error("the link was left open")
				}
			}
			// Nothing of a failure is kept, once the pause is over.
			await(t, "the pause's end", func() bool { return p.State("k").NotBefore.IsZero() })
			open(t, p, m.target("k")).Close()
		})
	}
}

// The target judges the key that the machine has proven, where the link doesn't.
func TestCheckHostKey(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	p := start(t, &sshpool.Pool{}, m)
	var seen sshpool.HostKey
	target := checkedCall("k", func(_ context.Context, key sshpool.HostKey) error {
		seen = key
		return nil
	}, func(ctx context.Context) (*connector.Link, error) {
		link, err := m.dial(ctx)
		link.HostKey = nil
		return link, err
	})
	open(t, p, target).Close()
	if seen.Line+"\n" != string(ssh.MarshalAuthorizedKey(m.key)) || seen.Fingerprint != ssh.FingerprintSHA256(m.key) {
		t.Error("another key was judged than the machine's")
	}
}

// A failed dial is told to all who waited for it, by one dial.
func TestDialFailsForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &sshpool.Pool{}
		defer p.Close()
		gate, dials := make(chan struct{}), 0
		target := newCall("k", func(context.Context) (*connector.Link, error) {
			dials++
			<-gate
			return nil, errors.New("no route")
		})
		var opens []*opening
		for range 3 {
			opens = append(opens, openLater(t.Context(), p, target))
		}
		synctest.Wait()
		gate <- struct{}{}
		for _, o := range opens {
			<-o.done
			wantCode(t, o.err, sallyport.CodeConnectFailed)
		}
		if dials != 1 {
			t.Errorf("%d dials, want 1", dials)
		}
	})
}

// A machine that doesn't answer is given up by the caller's time or by the
// pool's own, whether it is the dial that hangs or the handshake.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	deaf := func(context.Context) (*connector.Link, error) { return m.link(end{newPipe(), 0}), nil }
	hanging := func(ctx context.Context) (*connector.Link, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	tests := []struct {
		name           string
		dial           func(context.Context) (*connector.Link, error)
		callers, after time.Duration
	}{
		{"dial, caller's", hanging, 3 * time.Second, 3 * time.Second},
		{"dial, pool's", hanging, time.Hour, limits.ConnectTime - limits.DialTellTime},
		{"handshake, caller's", deaf, 3 * time.Second, 3 * time.Second},
		{"handshake, pool's", deaf, time.Hour, limits.ConnectTime - limits.DialTellTime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &sshpool.Pool{}
				defer p.Close()
				ctx, cancel := context.WithTimeout(t.Context(), tt.callers)
				defer cancel()
				began := time.Now()
				_, err := openOn(ctx, p, newCall("k", tt.dial))
				wantCode(t, err, sallyport.CodeConnectTimeout)
				if took := time.Since(began); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
			})
		})
	}
}

// Who goes away while a connection is dialled is let go at once; the connection
// comes to be all the same, for the next.
func TestCancelWhileDialing(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		m.gate = make(chan struct{})
		p := start(t, &sshpool.Pool{}, m)
		why := errors.New("the token was revoked")
		ctx, cancel := context.WithCancelCause(t.Context())
		o := openLater(ctx, p, m.target("k"))
		synctest.Wait()
		cancel(why)
		<-o.done
		if !errors.Is(o.err, why) {
			t.Errorf("got %v, want what it was canceled for", o.err)
		}
		m.gate <- struct{}{}
		synctest.Wait()
		open(t, p, m.target("k")).Close()
		m.wantConnections(t, 1)
	})
}

// Canceled is not the machine's fault, and has none of its codes.
func TestCancelHasNoCode(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		m.gate = make(chan struct{})
		p := start(t, &sshpool.Pool{}, m)
		ctx, cancel := context.WithCancel(t.Context())
		o := openLater(ctx, p, m.target("k"))
		synctest.Wait()
		cancel()
		<-o.done
		var known *sallyport.Error
		if !errors.Is(o.err, context.Canceled) || errors.As(o.err, &known) {
			t.Errorf("got %v, want context.Canceled without a code", o.err)
		}
	})
}

// A machine that takes no session at all is full, and isn't asked for ever.
func TestRefusesEverySession(t *testing.T) {
	t.Parallel()
	m, s := newSmall(t, 0)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		_, err := openOn(t.Context(), p, m.target("k"))
		wantCapacity(t, err)
		refused, _ := s.counts()
		if refused == 0 || refused > 16 {
			t.Errorf("%d sessions were asked for", refused)
		}
		m.wantConnections(t, 2)
	})
}

// Who was refused waits for one of the sessions that the machine does take.
func TestRefusedWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	m, s := newSmall(t, 1)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{ConnectionsPerKey: 1}, m)
		first := open(t, p, m.target("k"))
		synctest.Wait() // the session that is opened ahead is refused
		second := openLater(t.Context(), p, m.target("k"))
		<-time.After(limits.SlotsGrowAfter / 2)
		if refused, _ := s.counts(); refused != 1 || isDone(second.done) {
			t.Fatalf("refused %d times; %v", refused, second.err)
		}
		first.Close()
		<-second.done
		if second.err != nil {
			t.Fatal(second.err)
		}
		second.session.Close()
	})
}

// A machine that takes fewer sessions on a connection than we would have is
// capacity, not a fault: the rest goes over other connections, and what was
// learned is kept.
func TestRefusesSomeSessions(t *testing.T) {
	t.Parallel()
	m, s := newSmall(t, 2)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		for range 6 {
			open(t, p, m.target("k"))
		}
		m.wantConnections(t, 3)
		if refused, _ := s.counts(); refused != 1 {
			t.Errorf("%d sessions were refused, want one: the next connections are known", refused)
		}
	})
}

// When a connection breaks its sessions are told at once, and the next act is
// none the wiser: it gets another connection.
func TestConnectionBreaks(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		s := open(t, p, m.target("k"))
		began := time.Now()
		m.connections()[0].close()
		<-s.Lost()
		if time.Since(began) != 0 {
			t.Errorf("told after %v", time.Since(began))
		}
		open(t, p, m.target("k")).Close()
		m.wantConnections(t, 2)
		s.Close()
	})
}

// A peer that is silently gone is found within 15 seconds, though nothing is
// sent or asked.
func TestDeadPeer(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		s := open(t, p, m.target("k"))
		<-time.After(10 * limits.KeepaliveEvery)
		if isDone(s.Lost()) {
			t.Fatal("a connection was lost on which all is well")
		}
		began := time.Now()
		m.connections()[0].silence()
		<-s.Lost()
		if took := time.Since(began); took > limits.KeepaliveEvery+limits.KeepaliveTimeout {
			t.Errorf("found after %v", took)
		}
		open(t, p, m.target("k")).Close()
		m.wantConnections(t, 2)
		s.Close()
	})
}

// An open that a dead peer never answers gets the slot of a new connection once
// the old one is given up, within the caller's time.
func TestDeadPeerWhileOpening(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		open(t, p, m.target("k")).Close()
		<-time.After(2 * limits.AheadTrustTime) // a session that was opened ahead would be had unasked
		m.connections()[0].silence()
		open(t, p, m.target("k")).Close()
		m.wantConnections(t, 2)

		<-time.After(2 * limits.AheadTrustTime)
		m.connections()[1].silence()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := openOn(ctx, p, m.target("k"))
		wantCode(t, err, sallyport.CodeConnectTimeout)
	})
}

// A machine that comes back with another host key is refused, never re-pinned.
func TestHostKeyChanges(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	replaced, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, start(t, &sshpool.Pool{}, m), replaced)
		current := m
		target := newCall("k", func(ctx context.Context) (*connector.Link, error) {
			link, err := current.dial(ctx)
			link.HostKey, link.Signers = m.key, replaced.link(nil).Signers
			if current == m {
				link.Signers = m.link(nil).Signers
			}
			return link, err
		})
		s := open(t, p, target)
		current = replaced
		m.connections()[0].close()
		<-s.Lost()
		s.Close()
		for range 2 {
			_, err := openOn(t.Context(), p, target)
			wantCode(t, err, sallyport.CodeHostKeyMismatch)
		}
	})
}

// What a server may not ask of a client is refused: channels to this side, and
// requests that want something.
func TestMachineAsksForChannels(t *testing.T) {
	t.Parallel()
	m, s := newSmall(t, 1)
	asked := make(chan error, 1)
	granted := make(chan bool, 1)
	s.onLogin = func(server *ssh.ServerConn) {
		channel, _, err := server.OpenChannel("forwarded-tcpip", nil)
		if err == nil {
			channel.Close()
		}
		asked <- err
		ok, _, _ := server.SendRequest("tcpip-forward", true, nil)
		granted <- ok
	}
	p := start(t, &sshpool.Pool{}, m)
	open(t, p, m.target("k")).Close()
	var refusal *ssh.OpenChannelError
	if err := <-asked; !errors.As(err, &refusal) || refusal.Reason != ssh.Prohibited {
		t.Errorf("channel: got %v", err)
	}
	if <-granted {
		t.Error("a request of the machine's was granted")
	}
}
