//go:build linux

package faults

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// hangUp ends a connection, in one of the ways in which callers go: saying so, or
// not.
func hangUp(t *testing.T, conn *net.TCPConn, rudely bool) {
	t.Helper()
	if rudely {
		if err := conn.SetLinger(0); err != nil { // a reset
			t.Fatal(err)
		}
	}
	conn.Close()
}

// settled waits until each exec has an end, and returns all of them.
func settled(t *testing.T, s *stack.Stack, n int) []sallyport.Activity {
	t.Helper()
	var rows []sallyport.Activity
	await(t, 30*time.Second, "every exec to be on record with its end", func() bool {
		rows = s.Execs(t)
		return len(rows) >= n && count(rows)[sallyport.StatusRunning] == 0
	})
	if len(rows) != n {
		t.Errorf("%d rows, want %d", len(rows), n)
	}
	return rows
}

// TestHangUpInTheRequest hangs up behind each byte of a request: what didn't come
// whole runs nothing and leaves no row, and what did is canceled.
func TestHangUpInTheRequest(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	request := rawExec(t, s, streamed("exec sleep 600"))
	body := strings.Index(string(request), "\r\n\r\n") + 4
	whole := 0
	for n := 0; n <= len(request); n++ {
		if n < body && n > 40 && n%7 != 0 {
			continue // the middle of a header is like its next byte
		}
		for _, rudely := range []bool{false, true} {
			conn := dial(t, s)
			if _, err := conn.Write(request[:n]); err != nil {
				t.Fatal(err)
			}
			if n == len(request) {
				whole++
				// It may be gone before it was read, unless its answer has begun.
				if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 200"))); err != nil {
					t.Fatal(err)
				}
			}
			hangUp(t, conn, rudely)
		}
	}
	rows := settled(t, s, whole)
	for _, row := range rows {
		if row.Status != sallyport.StatusCanceled || row.CompletedAt == nil || row.Survivors == nil || *row.Survivors != 0 {
			t.Errorf("row %+v", row)
		}
	}
	mustBeGone(t, rows)
	newCaller(t, s).mustServe(t)
}

// TestHangUpInTheAnswer hangs up behind any byte of an answer that has no end, in
// each encoding: its command is ended, and its row says so.
func TestHangUpInTheAnswer(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	chance := newRand(t)
	const each = 12
	execs := 0
	for _, accept := range []string{sallyport.MediaNDJSON, sallyport.MediaSSE, sallyport.MediaFrames, sallyport.MediaDocker} {
		for i := range each {
			request := string(rawExec(t, s, streamed("while echo out && echo err >&2; do :; done")))
			request = strings.Replace(request, "\r\n", "\r\nAccept: "+accept+"\r\n", 1)
			conn := dial(t, s)
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			n := 1 + chance.IntN(1000)
			if i == 0 {
				n = 100_000
			}
			if _, err := io.CopyN(io.Discard, conn, int64(n)); err != nil {
				t.Fatal(err)
			}
			execs++
			hangUp(t, conn, i%2 == 0)
		}
	}
	rows := settled(t, s, execs)
	if got := count(rows)[sallyport.StatusCanceled]; got != execs {
		t.Errorf("%v of %d are canceled", count(rows), execs)
	}
	mustBeGone(t, rows)
	newCaller(t, s).mustServe(t)
}

// TestHangUpInEvents hangs up on events, in the handshake, behind any byte of what
// comes, and in the middle of a message of its own: nothing of it stays.
func TestHangUpInEvents(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	chance := newRand(t)
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	c := newCaller(t, s)
	for i := range 60 {
		request := "GET /orgs/dev/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + s.Token + "\r\nLast-Event-ID: 0\r\n"
		if i%2 == 0 {
			request += upgrade
		}
		request += "\r\n"
		conn := dial(t, s)
		part := len(request)
		if i%5 == 0 {
			part = chance.IntN(len(request))
		}
		if _, err := io.WriteString(conn, request[:part]); err != nil {
			t.Fatal(err)
		}
		if part == len(request) {
			if _, err := io.CopyN(io.Discard, conn, int64(1+chance.IntN(300))); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				// Half a frame, one that isn't masked, one that claims to be endless.
				garbage := []string{"\x82\xff", "\x81\x05hello", "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff", "\x89\x80\x00"}[chance.IntN(5)]
				if _, err := io.WriteString(conn, garbage); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Logf("the server was quicker: %v", err)
				}
			}
		}
		hangUp(t, conn, i%4 == 0)
		if i%20 == 0 {
			c.mustServe(t)
		}
	}
	// A reader that is still there would hold this up.
	if err := within(t, 20*time.Second, "the end", s.Stop); err != nil {
		t.Error(err)
	}
}
