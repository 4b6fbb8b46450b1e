package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/coder/websocket"

	"sallyport/client"
	"sallyport/client/sallyport"
)

var _ net.Conn = (*client.ForwardConn)(nil)

// serveForward answers a forward with answer, whose error is reported.
func serveForward(t testing.TB, answer func(context.Context, *websocket.Conn) error) *client.Client {
	return client.New(forwardServer(t, nil, answer), token)
}

// serveForwardHearing is serveForward, and says when a pong came.
func serveForwardHearing(t testing.TB, heard chan<- struct{}, answer func(context.Context, *websocket.Conn) error) *client.Client {
	return client.New(forwardServer(t, heard, answer), token)
}

// forwardServer returns its URL. It ends when what it serves has ended.
func forwardServer(t testing.TB, heard chan<- struct{}, answer func(context.Context, *websocket.Conn) error) string {
	var serving sync.WaitGroup // the server knows nothing of connections that were taken over
	t.Cleanup(serving.Wait)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer serving.Done()
		if r.Header.Get("Authorization") != "Bearer "+token {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
			Subprotocols: []string{sallyport.SubprotocolForward},
			OnPongReceived: func(context.Context, []byte) {
				select {
				case heard <- struct{}{}:
				default:
				}
			},
		})
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 30*time.Second)
		defer cancel()
		if err := answer(ctx, ws); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	return c.URL
}

func dial(t testing.TB, c *client.Client) *client.ForwardConn {
	t.Helper()
	conn, err := c.Forward(t.Context(), "build", "", 5432)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// serverReads reads messages until the client's eof, and returns their bytes.
func serverReads(ctx context.Context, ws *websocket.Conn) ([]byte, error) {
	var all bytes.Buffer
	ws.SetReadLimit(2 << 20)
	for {
		kind, message, err := ws.Read(ctx)
		switch {
		case err != nil:
			return nil, err
		case kind == websocket.MessageBinary:
			all.Write(message)
		case string(message) == `{"type":"eof"}`:
			return all.Bytes(), nil
		default:
			return nil, fmt.Errorf("frame %q", message)
		}
	}
}

// codeOf is an error's code; empty where it has none.
func codeOf(err error) sallyport.Code {
	var e *sallyport.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func text(ctx context.Context, ws *websocket.Conn, frame string) error {
	return ws.Write(ctx, websocket.MessageText, []byte(frame))
}

// A protocol that needs the half-close: all is sent, writing ends, then the answer is read.
func TestForwardHalfClose(t *testing.T) {
	question := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB, in many messages
	c := serveForward(t, func(ctx context.Context, ws *websocket.Conn) error {
		got, err := serverReads(ctx, ws)
		if err != nil || !bytes.Equal(got, question) {
			return fmt.Errorf("%d bytes, %v", len(got), err)
		}
		for part := range slices.Chunk(got, 60000) {
			if err := ws.Write(ctx, websocket.MessageBinary, part); err != nil {
				return err
			}
		}
		if err := text(ctx, ws, `{"type":"eof"}`); err != nil {
			return err
		}
		return ws.Close(websocket.StatusNormalClosure, "")
	})
	conn := dial(t, c)
	if conn.RemoteAddr().String() != "127.0.0.1:5432" || conn.RemoteAddr().Network() != "tcp" {
		t.Errorf("remote address %v", conn.RemoteAddr())
	}
	if n, err := conn.Write(question); n != len(question) || err != nil {
		t.Fatal(n, err)
	}
	if err := errors.Join(conn.CloseWrite(), conn.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write behind CloseWrite: %v", err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(answer, question) {
		t.Errorf("%d bytes, %v", len(answer), err)
	}
	if err := conn.Close(); err != nil || conn.Err() != nil {
		t.Errorf("close: %v, %v", err, conn.Err())
	}
	<-conn.Done()
}

// Whatever ends a connection but the target's own end is an error, and never io.EOF, of reads
// and of writes; what came before it is read.
func TestForwardEnds(t *testing.T) {
	big := strings.Repeat("long ", 1000)
	tests := []struct {
		name  string
		serve func(context.Context, *websocket.Conn) error
		code  sallyport.Code // empty is a cut
	}{
		{"killed", func(ctx context.Context, ws *websocket.Conn) error {
			_ = text(ctx, ws, `{"type":"error","error":"`+big+`","code":"killed"}`)
			return ws.Close(websocket.StatusPolicyViolation, "killed")
		}, sallyport.CodeKilled},
		{"an error, then nothing", func(ctx context.Context, ws *websocket.Conn) error {
			return text(ctx, ws, `{"type":"error","error":"the machine broke","code":"exec_transport"}`)
		}, sallyport.CodeExecTransport},
		{"the connection breaks", func(context.Context, *websocket.Conn) error { return nil }, ""},
		{"a close without an eof", func(_ context.Context, ws *websocket.Conn) error {
			return ws.Close(websocket.StatusNormalClosure, "")
		}, ""},
		{"a close that says why, without a frame", func(_ context.Context, ws *websocket.Conn) error {
			return ws.Close(websocket.StatusGoingAway, "draining")
		}, ""},
		{"an unknown frame", func(ctx context.Context, ws *websocket.Conn) error { return text(ctx, ws, `{"type":"resize"}`) }, ""},
		{"no frame at all", func(ctx context.Context, ws *websocket.Conn) error { return text(ctx, ws, `eof`) }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, serveForward(t, func(ctx context.Context, ws *websocket.Conn) error {
				if err := ws.Write(ctx, websocket.MessageBinary, []byte("before")); err != nil {
					return err
				}
				return tt.serve(ctx, ws)
			}))
			got, err := io.ReadAll(conn)
			check := func(what string, err error) {
				t.Helper()
				if err == nil || errors.Is(err, io.EOF) || codeOf(err) != tt.code || errors.Is(err, client.ErrCut) != (tt.code == "") {
					t.Errorf("%s: %v", what, err)
				}
			}
			check("read", err)
			if string(got) != "before" {
				t.Errorf("read %q", got)
			}
			<-conn.Done()
			_, err = conn.Write([]byte("x"))
			check("write", err)
			check("half-close", conn.CloseWrite())
			check("end", conn.Err())
			if err := conn.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// A connection that breaks behind the target's end leaves the reader its end; the writer, and
// who closes, learns that what was sent may not have arrived.
func TestForwardCutBehindTheEnd(t *testing.T) {
	conn := dial(t, serveForward(t, func(ctx context.Context, ws *websocket.Conn) error {
		if err := text(ctx, ws, `{"type":"eof"}`); err != nil {
			return err
		}
		_, err := serverReads(ctx, ws)
		return err
	}))
	if got, err := io.ReadAll(conn); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); !errors.Is(err, client.ErrCut) {
		t.Errorf("close: %v", err)
	}
}

// A deadline ends what waits, and not the connection.
func TestForwardDeadlines(t *testing.T) {
	release := make(chan struct{})
	conn := dial(t, serveForward(t, func(ctx context.Context, ws *websocket.Conn) error {
		<-release // nothing is read: the client's writes fill what lies between
		got, err := serverReads(ctx, ws)
		if err != nil {
			return err
		}
		if err := ws.Write(ctx, websocket.MessageBinary, fmt.Append(nil, len(got))); err != nil {
			return err
		}
		if err := text(ctx, ws, `{"type":"eof"}`); err != nil {
			return err
		}
		return ws.Close(websocket.StatusNormalClosure, "")
	}))
	conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read: %v", err)
	}
	conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	total, piece := 0, make([]byte, 1<<20)
	for {
		n, err := conn.Write(piece)
		total += n
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("write: %v", err)
			}
			break
		}
	}
	if err := conn.CloseWrite(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half-close: %v", err)
	}
	close(release)
	conn.SetDeadline(time.Time{})
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != fmt.Sprint(total) {
		t.Errorf("the server got %q of %d bytes: %v", got, total, err)
	}
}

// Close ends what waits on the connection, and what was written before it arrives.
func TestForwardClose(t *testing.T) {
	arrived := make(chan string, 1)
	conn := dial(t, serveForward(t, func(ctx context.Context, ws *websocket.Conn) error {
		_, message, err := ws.Read(ctx)
		arrived <- string(message)
		return err
	}))
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	if _, err := conn.Write([]byte("goodbye")); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if got := <-arrived; got != "goodbye" {
		t.Errorf("%q arrived", got)
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) || !errors.Is(conn.Err(), net.ErrClosed) {
		t.Errorf("write: %v, end: %v", err, conn.Err())
	}
}

// While the target reads nothing for long, pings are answered as soon as the server reads: the
// connection isn't lost by them.
func TestForwardAnswersPingsWhileItWrites(t *testing.T) {
	t.Parallel()
	conn := dial(t, serveForward(t, func(ctx context.Context, ws *websocket.Conn) error {
		pinged := make(chan error, 1)
		go func() { pinged <- ws.Ping(ctx) }() // the client's pong lies behind what isn't read yet
		<-time.After(6 * time.Second)          // longer than the library lets a control frame wait
		if _, err := serverReads(ctx, ws); err != nil {
			return err
		}
		if err := <-pinged; err != nil {
			return err
		}
		if err := text(ctx, ws, `{"type":"eof"}`); err != nil {
			return err
		}
		return ws.Close(websocket.StatusNormalClosure, "")
	}))
	for piece := make([]byte, 1<<20); len(piece) > 0; {
		for range 32 {
			if _, err := conn.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		piece = nil
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Error(err)
	}
}

// A reader who takes nothing for long is no lost one: the server hears of it, though its pings
// lie behind what isn't read.
func TestForwardSignsOfLife(t *testing.T) {
	t.Parallel()
	heard := make(chan struct{}, 1)
	conn := dial(t, serveForwardHearing(t, heard, func(ctx context.Context, ws *websocket.Conn) error {
		if err := ws.Write(ctx, websocket.MessageBinary, make([]byte, 60000)); err != nil {
			return err
		}
		if err := text(ctx, ws, `{"type":"eof"}`); err != nil {
			return err
		}
		_, err := serverReads(ctx, ws)
		return errors.Join(err, ws.Close(websocket.StatusNormalClosure, ""))
	}))
	<-heard
	if n, err := io.Copy(io.Discard, conn); n != 60000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := errors.Join(conn.CloseWrite(), conn.Close()); err != nil {
		t.Error(err)
	}
}

// Before the upgrade an error is that of the HTTP answer, however long.
func TestForwardRefusals(t *testing.T) {
	long := strings.Repeat("why ", 2000)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("id"); r.URL.Path {
		case "/workspaces/forbidden/forward":
			answerJSON(w, 403, sallyport.Errorf(sallyport.CodeForwardForbidden, "%s", long))
		case "/workspaces/refused/forward":
			e := sallyport.Errorf(sallyport.CodeForwardFailed, "nothing listens there")
			e.Reason = sallyport.ReasonRefused
			answerJSON(w, 502, e)
		case "/workspaces/moved/forward":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/workspaces/open/forward":
			w.Header().Set("Upgrade", "websocket")
			answerJSON(w, 426, sallyport.Errorf(sallyport.CodeUpgradeRequired, "ask for a WebSocket"))
		default:
			t.Errorf("%s was asked for", r.URL)
		}
		if q := r.URL.Query(); q.Get("host") != "::1" || q.Get("port") != "80" || q.Get("org") != "acme" {
			t.Errorf("query %s", r.URL.RawQuery)
		}
	})
	c.Org = "acme"
	for workspace, code := range map[string]sallyport.Code{
		"forbidden": sallyport.CodeForwardForbidden, "refused": sallyport.CodeForwardFailed, "open": sallyport.CodeUpgradeRequired, "moved": "",
	} {
		conn, err := c.Forward(t.Context(), workspace, "::1", 80)
		if conn != nil || err == nil || codeOf(err) != code {
			t.Errorf("%s: %v, %v", workspace, conn, err)
		}
		var refused *sallyport.Error
		if errors.As(err, &refused) && code == sallyport.CodeForwardForbidden && refused.Message != long {
			t.Errorf("%s: %d bytes of words", workspace, len(refused.Message))
		}
		var notOurs *client.StatusError
		if code == "" && (!errors.As(err, &notOurs) || notOurs.Location != "/elsewhere") {
			t.Errorf("%s: %v", workspace, err)
		}
		err = c.CheckForward(t.Context(), workspace, "::1", 80)
		if want := code; code != sallyport.CodeUpgradeRequired && (err == nil || codeOf(err) != want) || code == sallyport.CodeUpgradeRequired && err != nil {
			t.Errorf("%s: asked, %v", workspace, err)
		}
	}
	if _, err := c.Forward(t.Context(), "", "", 80); err == nil {
		t.Error("no workspace is no error")
	}
}

// A forward is a connection as others are, cut into small reads and read with a pause.
func TestForwardReads(t *testing.T) {
	content := bytes.Repeat([]byte("abcdefg"), 30000)
	conn := dial(t, serveForward(t, func(ctx context.Context, ws *websocket.Conn) error {
		for part := range slices.Chunk(content, 50001) {
			if err := ws.Write(ctx, websocket.MessageBinary, part); err != nil {
				return err
			}
		}
		if err := text(ctx, ws, `{"type":"eof"}`); err != nil {
			return err
		}
		_, err := serverReads(ctx, ws)
		ws.Close(websocket.StatusNormalClosure, "")
		return err
	}))
	got, err := io.ReadAll(iotest.HalfReader(conn))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := errors.Join(conn.CloseWrite(), conn.Close()); err != nil {
		t.Error(err)
	}
}
