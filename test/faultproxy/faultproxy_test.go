package faultproxy_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/test/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that says what it hears.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
				_ = conn.(*net.TCPConn).CloseWrite()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	return listener.Addr().String()
}

func through(t *testing.T, f faultproxy.Faults) (*faultproxy.Proxy, *net.TCPConn) {
	t.Helper()
	p := faultproxy.Start(t, echo(t), f)
	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return p, conn.(*net.TCPConn)
}

// A delay delays, and neither reorders nor slows the stream down.
func TestDelay(t *testing.T) {
	const delay = 50 * time.Millisecond
	_, conn := through(t, faultproxy.Faults{Delay: delay})
	sent := make([]byte, 8<<20)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.CloseWrite()
	}()
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil || time.Since(began) < 2*delay {
		t.Errorf("%v, after %v", err, time.Since(began))
	}
	rest, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(append(first, rest...), sent) {
		t.Errorf("%d bytes of %d, or others: %v", 1+len(rest), len(sent), err)
	}
	if took := time.Since(began); took > 100*delay { // each read by itself would take 12 s
		t.Errorf("took %v", took)
	}
}

func TestCutAfter(t *testing.T) {
	for _, reset := range []bool{false, true} {
		_, conn := through(t, faultproxy.Faults{CutDownAfter: 1000, Reset: reset})
		if _, err := conn.Write(make([]byte, 4000)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if errors.Is(err, syscall.ECONNRESET) != reset || (!reset && len(got) != 1000) {
			t.Errorf("reset %v: %d bytes, %v", reset, len(got), err)
		}
	}
}

func TestCut(t *testing.T) {
	p, conn := through(t, faultproxy.Faults{})
	exchange(t, conn)
	p.Cut(true)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

// exchange makes sure that the way is open.
func exchange(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// A black hole says nothing, not even that one end has gone; afterwards all is well
// for new connections.
func TestBlackhole(t *testing.T) {
	p, conn := through(t, faultproxy.Faults{})
	exchange(t, conn)
	p.Set(faultproxy.Faults{Blackhole: true})
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("got %v", err)
	}
	p.Set(faultproxy.Faults{})
	again, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	exchange(t, again)
	if p.Accepted() != 2 || p.Open() != 2 {
		t.Errorf("%d accepted, %d open", p.Accepted(), p.Open())
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestDrip(t *testing.T) {
	_, conn := through(t, faultproxy.Faults{Drip: 20 * time.Millisecond})
	began := time.Now()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" || time.Since(began) < 80*time.Millisecond {
		t.Errorf("%q, %v, after %v", got, err, time.Since(began))
	}
}
