// Package connectortest is the suite that every connector passes.
package connectortest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/connector"
)

// Dialer is a Connector's Dial to one target.
type Dialer func(ctx context.Context) (*connector.Link, error)

// To returns c's Dialer to target.
func To(c connector.Connector, target connector.Target) Dialer {
	return func(ctx context.Context) (*connector.Link, error) { return c.Dial(ctx, target) }
}

// Fixture is a connector with a machine to reach.
type Fixture struct {
	// Dial reaches the machine.
	Dial Dialer
	// HostKey is the key that the machine's SSH server has.
	HostKey ssh.PublicKey
	// Deaf, if the connector can be brought to it, reaches a far end that
	// neither reads nor writes.
	Deaf Dialer
	// Stalled, if the connector can be brought to it, reaches for a machine
	// that does not answer: it returns only when its context ends.
	Stalled Dialer
}

// Run runs the suite. open starts what a test needs, and registers with
// t.Cleanup what ends all of it: goroutines and descriptors that are left after
// that fail the test.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, f Fixture)
	}{
		{"Handshake", testHandshake},
		{"HandshakeAfterContext", testHandshakeAfterContext},
		{"SignersAgain", testSignersAgain},
		{"ConcurrentDials", testConcurrentDials},
		{"CanceledBefore", testCanceledBefore},
		{"CanceledDuring", testCanceledDuring},
		{"CanceledStalled", testCanceledStalled},
		{"CloseAgain", testCloseAgain},
		{"CloseUnblocksHandshake", testCloseUnblocksHandshake},
		{"CloseUnblocksRead", testCloseUnblocksRead},
		{"CloseUnblocksWrite", testCloseUnblocksWrite},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkLeaks(t)
			test.run(t, open(t))
		})
	}
}

// testHandshake: the stream leads to the SSH server, and the signers log in.
func testHandshake(t *testing.T, f Fixture) {
	link := dial(t, f.Dial)
	if link.HostKey != nil && !sameKey(link.HostKey, f.HostKey) {
		t.Errorf("the link vouches for host key %s, not for %s", fingerprint(link.HostKey), fingerprint(f.HostKey))
	}
	if link.MaxLife < 0 {
		t.Errorf("MaxLife is %s", link.MaxLife)
	}
	if err := login(link, f.HostKey); err != nil {
		t.Error(err)
	}
}

// testHandshakeAfterContext: the context of Dial does not end the link.
func testHandshakeAfterContext(t *testing.T, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	link, err := f.Dial(ctx)
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	defer link.Conn.Close()
	if err := login(link, f.HostKey); err != nil {
		t.Errorf("after its context was canceled: %v", err)
	}
}

// testSignersAgain: a grant can be renewed.
func testSignersAgain(t *testing.T, f Fixture) {
	link := dial(t, f.Dial)
	for range 2 {
		signers, err := link.Signers(t.Context())
		if err != nil || len(signers) == 0 {
			t.Fatalf("%d signers, %v", len(signers), err)
		}
	}
	if err := login(link, f.HostKey); err != nil {
		t.Error(err)
	}
}

func testConcurrentDials(t *testing.T, f Fixture) {
	var dials sync.WaitGroup
	for range 8 {
		dials.Go(func() {
			link, err := f.Dial(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer link.Conn.Close()
			if err := login(link, f.HostKey); err != nil {
				t.Error(err)
			}
		})
	}
	dials.Wait()
}

func testCanceledBefore(t *testing.T, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	link, err := f.Dial(ctx)
	if link != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("link %v, error %v", link, err)
	}
}

// testCanceledDuring: whatever moment the cancel hits, Dial gives either a link
// that works or the context's error.
func testCanceledDuring(t *testing.T, f Fixture) {
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		canceled := make(chan struct{})
		go func() {
			defer close(canceled)
			cancel()
		}()
		link, err := f.Dial(ctx)
		<-canceled
		switch {
		case err != nil && (link != nil || !errors.Is(err, context.Canceled)):
			t.Errorf("link %v, error %v", link, err)
		case err == nil:
			if err := login(link, f.HostKey); err != nil {
				t.Error(err)
			}
			_ = link.Conn.Close() // what it does to the call under way is looked at
		}
	}
}

// testCanceledStalled: a Dial that gets no answer ends with its context.
func testCanceledStalled(t *testing.T, f Fixture) {
	if f.Stalled == nil {
		t.Skip("this connector's dial cannot stall")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dialed := make(chan error, 1)
	go func() {
		_, err := f.Stalled(ctx)
		dialed <- err
	}()
	select {
	case err := <-dialed:
		t.Fatalf("it did not stall: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	cancel()
	if err := await(t, dialed, "Dial to return after its cancel"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// testCloseAgain: Close can be called again, and by several.
func testCloseAgain(t *testing.T, f Fixture) {
	link := dial(t, f.Dial)
	var closers sync.WaitGroup
	for range 4 {
		closers.Go(func() {
			for range 2 {
				if err := link.Conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	closers.Wait()
	if _, err := link.Conn.Write([]byte("x")); err == nil {
		t.Error("a closed link took a byte")
	}
	if n, err := link.Conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("a closed link gave %d bytes", n)
	}
}

// testCloseUnblocksHandshake: closing is how the pool enforces its time.
func testCloseUnblocksHandshake(t *testing.T, f Fixture) {
	if f.Deaf == nil {
		t.Skip("this connector's far end cannot be deaf")
	}
	link := dial(t, f.Deaf)
	done := make(chan error, 1)
	begun := &watched{Conn: link.Conn}
	link.Conn = begun
	go func() { done <- login(link, f.HostKey) }()
	eventually(t, "the handshake to read", func() bool { return begun.reads.Load() > 0 })
	begun.Conn.Close()
	if err := await(t, done, "the handshake to end after Close"); err == nil {
		t.Error("a handshake with nobody succeeded")
	}
}

func testCloseUnblocksRead(t *testing.T, f Fixture) {
	if f.Deaf == nil {
		f.Deaf = f.Dial // the server's greeting, and then nothing
	}
	link := dial(t, f.Deaf)
	done := make(chan error, 1)
	conn := &watched{Conn: link.Conn}
	go func() {
		for {
			if _, err := conn.Read(make([]byte, 32<<10)); err != nil {
				done <- err
				return
			}
		}
	}()
	conn.awaitStandstill(t, &conn.reads)
	_ = link.Conn.Close() // what it does to the call under way is looked at
	_ = await(t, done, "Read to return after Close")
}

func testCloseUnblocksWrite(t *testing.T, f Fixture) {
	if f.Deaf == nil {
		t.Skip("this connector's far end cannot be deaf")
	}
	link := dial(t, f.Deaf)
	done := make(chan error, 1)
	conn := &watched{Conn: link.Conn}
	go func() {
		for {
			if _, err := conn.Write(make([]byte, 32<<10)); err != nil {
				done <- err
				return
			}
		}
	}()
	conn.awaitStandstill(t, &conn.writes)
	_ = link.Conn.Close() // what it does to the call under way is looked at
	_ = await(t, done, "Write to return after Close")
}

// watched counts the calls that were begun.
type watched struct {
	net.Conn
	reads, writes atomic.Int64
}

func (w *watched) Read(p []byte) (int, error) {
	w.reads.Add(1)
	return w.Conn.Read(p)
}

func (w *watched) Write(p []byte) (int, error) {
	w.writes.Add(1)
	return w.Conn.Write(p)
}

// awaitStandstill waits until calls have begun and no more do: the last one is
// blocked.
func (w *watched) awaitStandstill(t *testing.T, calls *atomic.Int64) {
	t.Helper()
	var before int64
	since := time.Now()
	eventually(t, "a call to block", func() bool {
		if now := calls.Load(); now != before {
			before, since = now, time.Now()
		}
		return before > 0 && time.Since(since) > 100*time.Millisecond
	})
}

// dial opens a link that is closed when the test ends.
func dial(t *testing.T, dialer Dialer) *connector.Link {
	t.Helper()
	link, err := dialer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Conn.Close() })
	return link
}

// login performs an SSH handshake on link, and ends the connection.
func login(link *connector.Link, hostKey ssh.PublicKey) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { link.Conn.Close() })
	defer stop()
	signers, err := link.Signers(ctx)
	if err != nil {
		return fmt.Errorf("signers: %w", err)
	}
	conn, channels, requests, err := ssh.NewClientConn(link.Conn, "machine", &ssh.ClientConfig{
		User:            link.User,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	client := ssh.NewClient(conn, channels, requests)
	client.Close()
	_ = client.Wait() // it tells of Close
	return nil
}

func sameKey(a, b ssh.PublicKey) bool { return fingerprint(a) == fingerprint(b) }

func fingerprint(key ssh.PublicKey) string { return ssh.FingerprintSHA256(key) }
