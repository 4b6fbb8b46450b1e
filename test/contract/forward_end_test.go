package contract

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/internal/httpapi"
	"sallyport/test/loopback"
	"sallyport/test/stack"
)

// mustForward opens a forward, and returns its row's id.
func mustForward(t *testing.T, s *stack.Stack, h home, port int) (*websocket.Conn, string) {
	t.Helper()
	conn, a := dialForward(t, s, h.token, forwardPath(h, port))
	if conn == nil {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	return conn, a.Header.Get("Sallyport-Activity-Id")
}

// holding takes connections and reads nothing from them.
func holding(t *testing.T) (port int) {
	t.Helper()
	return loopback.Serve(t, func(*net.TCPConn) { <-t.Context().Done() }).Port
}

// A drain that has waited long enough ends a forward, which says so and may come again.
func TestForwardDrained(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Flags: map[string]string{"drain_timeout": "100ms"}})
	h := newHome(t, s, "a")
	conn, id := mustForward(t, s, h, echo(t))
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	wantEnd(t, conn, websocket.StatusGoingAway, sallyport.CodeDraining)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	next := stack.Start(t, stack.Options{DataDir: s.DataDir})
	if row := forwardRow(t, next, h, id); row.Status != "canceled" || row.Reason != string(sallyport.CodeDraining) || row.InputBytes == nil {
		t.Errorf("row %+v", row)
	}
}

// The organisation's forwards are counted across its workspaces, and nobody else's.
func TestForwardQuota(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h, other := newHome(t, s, "a"), newHome(t, s, "b")
	second := h
	second.ws = newWorkspace(t, s, h.ID, "second", sallyport.TierFullHost, true)
	setLimits(t, s, "a", `{"running_forwards":2}`)
	port := holding(t)
	first, id := mustForward(t, s, h, port)
	mustForward(t, s, second, port)
	for _, of := range []home{h, second} {
		conn, a := dialForward(t, s, h.token, forwardPath(of, port))
		if conn != nil {
			t.Fatal("one more than the organisation may have")
		}
		want429(t, "one more", a, "too_many_forwards")
	}
	mustForward(t, s, other, port)
	if rows := rowsAt(t, s, h.token, "/orgs/a/activity?type=workspace_forward"); len(rows) != 2 {
		t.Errorf("%d rows: what is refused has none", len(rows))
	}
	_ = first.CloseNow()
	awaitRow(t, s, h, id, "canceled")
	mustForward(t, s, second, port)
}

// A caller who answers no ping is lost, and the row says so.
func TestForwardLostPings(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Times: httpapi.Times{Keepalive: 50 * time.Millisecond}})
	h := newHome(t, s, "a")
	_, id := mustForward(t, s, h, holding(t)) // who doesn't read answers no ping
	awaitRow(t, s, h, id, "canceled")
}

// While the target takes nothing, the caller's pongs lie behind input that the server holds
// back itself, and the caller isn't lost by that.
func TestForwardPongsHeldBack(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Times: httpapi.Times{Keepalive: 3 * time.Second}})
	h := newHome(t, s, "a")
	conn, in, id := rawForward(t, s, h, holding(t))
	pongs := make(chan []byte, 8)
	var both sync.WaitGroup
	defer both.Wait()
	defer conn.Close()
	both.Go(func() {
		for err := error(nil); err == nil; { // until it is held back, and ended
			select {
			case pong := <-pongs:
				_, err = conn.Write(append([]byte{0x8a, 0x80 | byte(len(pong)), 0, 0, 0, 0}, pong...))
			default:
				_, err = conn.Write(zeros)
			}
		}
	})
	for range 3 { // of which the server has given up one, or two
		opcode, payload := readFrame(t, in)
		if opcode != 9 {
			t.Fatalf("frame %x %q", opcode, payload)
		}
		pongs <- payload
	}
	wantAnswer(t, "DELETE", s.Do(t, "DELETE", "/workspaces/build/forwards/"+id, h.token, ""), 204, "")
	if row := forwardRow(t, s, h, id); row.Reason != "killed" {
		t.Errorf("row %+v", row)
	}
}

// A caller who goes while its input is held back, so that nobody reads, is missed: the forward
// is over, though its target takes nothing and says nothing.
func TestForwardGoneBehindInput(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Times: httpapi.Times{Keepalive: 2 * time.Second}})
	h := newHome(t, s, "a")
	conn, _, id := rawForward(t, s, h, holding(t))
	for err := error(nil); err == nil; {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, err = conn.Write(zeros)
	}
	conn.Close()
	awaitRow(t, s, h, id, "canceled")
}

// zeros is a masked binary message of so many zeros.
const zeroBytes = 1 << 10

var zeros = []byte("\x82\xfe\x04\x00" + strings.Repeat("\x00", 4+zeroBytes))

// A reader who stops stops the other side, in either direction: no more is on its way than
// sockets and windows hold, and all of it arrives once somebody reads.
func TestForwardHoldsBack(t *testing.T) {
	t.Parallel()
	const (
		heldBytesMax = 24 << 20 // by sockets, and the windows of SSH, which are 2 MiB
		muchBytes    = 4 * heldBytesMax
		stuckTime    = time.Second // without a byte taken
	)
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	var sent atomic.Int64
	stuck := make(chan struct{})
	output := loopback.Serve(t, func(conn *net.TCPConn) {
		piece := make([]byte, 64<<10)
		for sent.Load() < muchBytes {
			_ = conn.SetWriteDeadline(time.Now().Add(stuckTime))
			n, err := conn.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				break
			}
		}
		close(stuck)
	})
	conn, _ := mustForward(t, s, h, output.Port)
	<-stuck
	if sent.Load() > heldBytesMax {
		t.Errorf("%d MiB on their way to a caller who takes none", sent.Load()>>20)
	}
	writeMessage(t, conn, websocket.MessageText, []byte(`{"type":"eof"}`))
	if got, _, end := readForward(t.Context(), conn); int64(len(got)) != sent.Load() || end.Code != websocket.StatusNormalClosure {
		t.Errorf("%d of %d bytes, closed with %d %q", len(got), sent.Load(), end.Code, end.Reason)
	}

	read, taken := make(chan struct{}), make(chan int64, 1)
	input := loopback.Serve(t, func(conn *net.TCPConn) {
		select {
		case <-read:
		case <-t.Context().Done():
		}
		n, _ := io.Copy(io.Discard, conn) // how much says it
		taken <- n
	})
	raw, in, _ := rawForward(t, s, h, input.Port)
	written, rest := int64(0), zeros
	for written < muchBytes {
		_ = raw.SetWriteDeadline(time.Now().Add(stuckTime))
		n, err := raw.Write(rest)
		if rest = rest[n:]; err != nil {
			break
		}
		rest, written = zeros, written+zeroBytes
	}
	if written > heldBytesMax {
		t.Errorf("%d MiB on their way to a target that takes none", written>>20)
	}
	close(read)
	_ = raw.SetWriteDeadline(time.Time{})
	const eof = `{"type":"eof"}`
	if _, err := raw.Write(append(bytes.Clone(rest), "\x81\x8e\x00\x00\x00\x00"+eof...)); err != nil {
		t.Fatal(err)
	}
	if n := <-taken; n != written+zeroBytes { // and what was left of one

		t.Errorf("%d of %d bytes arrived", n, written+zeroBytes)
	}
	if code := closeCode(t, in); code != websocket.StatusNormalClosure {
		t.Errorf("closed with %d", code)
	}
}

// A page of the server's own opens a forward with its session's cookie, and no other page does.
func TestForwardByCookie(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	cookie := openSession(t, s, h.token)
	dial := func(origin string) (*websocket.Conn, *http.Response, error) {
		return websocket.Dial(t.Context(), s.URL+forwardPath(h, echo(t)), &websocket.DialOptions{
			Subprotocols: []string{sallyport.SubprotocolForward},
			HTTPHeader:   http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}, "Origin": {origin}},
		})
	}
	for _, origin := range []string{"http://evil.example", "null", s.URL + ".evil.example", strings.Replace(s.URL, "127.0.0.1", "localhost", 1)} {
		_, resp, err := dial(origin)
		if err == nil {
			t.Fatalf("%s: a foreign page has a forward", origin)
		}
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 403 || !strings.Contains(string(body), `"cross_origin_forbidden"`) {
			t.Errorf("%s: %d %s", origin, resp.StatusCode, body)
		}
	}
	conn, _, err := dial(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	writeMessage(t, conn, websocket.MessageBinary, []byte("hello"))
	writeMessage(t, conn, websocket.MessageText, []byte(`{"type":"eof"}`))
	if got, _, end := readForward(t.Context(), conn); string(got) != "hello" || end.Code != websocket.StatusNormalClosure {
		t.Errorf("%q, closed with %d %q", got, end.Code, end.Reason)
	}
}

// What is not RFC 6455 is closed with 1002.
func TestForwardNoSocket(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	port := holding(t)
	for name, frame := range map[string]string{
		"unmasked": "\x82\x01x", "a reserved bit": "\xc2\x81\x00\x00\x00\x00x", "a reserved opcode": "\x83\x81\x00\x00\x00\x00x",
		"a control frame in pieces": "\x09\x80\x00\x00\x00\x00",
	} {
		conn, in, id := rawForward(t, s, h, port)
		if _, err := io.WriteString(conn, frame); err != nil {
			t.Fatal(err)
		}
		if code := closeCode(t, in); code != websocket.StatusProtocolError {
			t.Errorf("%s: closed with %d", name, code)
		}
		conn.Close()
		awaitRow(t, s, h, id, "canceled")
	}
}

// rawForward opens a forward without a WebSocket library.
func rawForward(t *testing.T, s *stack.Stack, h home, port int) (conn net.Conn, in *bufio.Reader, id string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\n\r\n", forwardPath(h, port), h.token, sallyport.SubprotocolForward)
	in = bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", resp, err)
	}
	return conn, in, resp.Header.Get("Sallyport-Activity-Id")
}

// closeCode reads a server's frames up to its close, and returns the code.
func closeCode(t *testing.T, in io.Reader) websocket.StatusCode {
	t.Helper()
	for {
		if opcode, payload := readFrame(t, in); opcode == 8 && len(payload) >= 2 {
			return websocket.StatusCode(binary.BigEndian.Uint16(payload))
		}
	}
}

// readFrame reads a server's frame that is no longer than 125 bytes.
func readFrame(t *testing.T, in io.Reader) (opcode byte, payload []byte) {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(in, head); err != nil {
		t.Fatalf("cut: %v", err)
	}
	payload = make([]byte, head[1]&0x7f)
	if _, err := io.ReadFull(in, payload); err != nil {
		t.Fatalf("cut: %v", err)
	}
	return head[0] & 0xf, payload
}
