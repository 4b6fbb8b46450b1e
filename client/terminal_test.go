package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// serveTerminals answers the connections of a terminal, one after another.
func serveTerminals(t testing.TB, answers ...func(context.Context, *websocket.Conn) error) *client.Client {
	var serving sync.WaitGroup // the server knows nothing of connections that were taken over
	t.Cleanup(serving.Wait)
	var mu sync.Mutex
	next := 0
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer serving.Done()
		mu.Lock()
		n := next
		next++
		mu.Unlock()
		if r.URL.Path != "/workspaces/build/terminal" || n >= len(answers) {
			t.Errorf("%s %s, connection %d", r.Method, r.URL, n)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{sallyport.SubprotocolTerminal}})
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
		defer cancel()
		if err := answers[n](ctx, ws); err != nil {
			t.Errorf("the server, connection %d: %v", n, err)
		}
	})
}

// wantFrame reads a control frame, which must be want in JSON.
func wantFrame(ctx context.Context, ws *websocket.Conn, want string) error {
	kind, message, err := ws.Read(ctx)
	if err != nil {
		return err
	}
	if kind != websocket.MessageText || string(message) != want {
		return fmt.Errorf("got %q, want %q", message, want)
	}
	return nil
}

// begun expects a start, answers it, and expects the first ack.
func begun(ctx context.Context, ws *websocket.Conn, start string) error {
	if err := wantFrame(ctx, ws, start); err != nil {
		return err
	}
	if err := text(ctx, ws, `{"type":"started","id":"t1","cols":80,"rows":24,"timeout_s":60,"idle_timeout_s":30,"recorded":true}`); err != nil {
		return err
	}
	return wantFrame(ctx, ws, `{"type":"ack","received":0}`)
}

func binary(ctx context.Context, ws *websocket.Conn, p string) error {
	return ws.Write(ctx, websocket.MessageBinary, []byte(p))
}

// exits sends the last frame of a program that ended.
func exits(ctx context.Context, ws *websocket.Conn, code int) error {
	if err := text(ctx, ws, fmt.Sprintf(`{"type":"exit","exit_code":%d,"duration_ms":5}`, code)); err != nil {
		return err
	}
	return ws.Close(websocket.StatusNormalClosure, "exit")
}

// typed reads binary messages until all of want has come.
func typed(ctx context.Context, ws *websocket.Conn, want string) error {
	ws.SetReadLimit(2 << 20)
	var all strings.Builder
	for all.Len() < len(want) {
		kind, message, err := ws.Read(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("after %d bytes: %w", all.Len(), err)
		case kind == websocket.MessageText:
			return fmt.Errorf("a frame %q", message)
		default:
			all.Write(message)
		}
	}
	if all.String() != want {
		return fmt.Errorf("typed %d bytes, other than %d expected", all.Len(), len(want))
	}
	return nil
}

func openTerminal(t testing.TB, c *client.Client, o client.TerminalOptions) *client.Terminal {
	t.Helper()
	terminal, err := c.Terminal(t.Context(), "build", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal
}

// steps runs one after another, until one fails.
func steps(all ...func() error) error {
	for i, step := range all {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

const plainStart = `{"type":"start"}`

func TestTerminal(t *testing.T) {
	t.Parallel()
	c := serveTerminals(t, func(ctx context.Context, ws *websocket.Conn) error {
		return steps(
			func() error {
				return begun(ctx, ws, `{"type":"start","cols":120,"rows":40,"cmd":["vi"],"cwd":"/srv","env":{"TERM":"dumb"},"timeout_s":2,"idle_timeout_s":1,"record":true}`)
			},
			func() error { return binary(ctx, ws, "what for?") },
			func() error { return typed(ctx, ws, "that") },
			func() error { return binary(ctx, ws, "!") },
			func() error { return wantFrame(ctx, ws, `{"type":"resize","cols":100,"rows":30}`) },
			func() error { return wantFrame(ctx, ws, `{"type":"signal","signal":"INT"}`) },
			func() error { return text(ctx, ws, `{"type":"watchers","count":2}`) },
			func() error { return text(ctx, ws, `{"type":"notice","code":"draining","left_s":30}`) },
			func() error { return binary(ctx, ws, " bye") },
			func() error { return exits(ctx, ws, 3) },
		)
	})
	var events []client.TerminalEvent
	terminal := openTerminal(t, c, client.TerminalOptions{
		Cols: 120, Rows: 40, Cmd: []string{"vi"}, Cwd: "/srv", Env: map[string]string{"TERM": "dumb"},
		Timeout: 1500 * time.Millisecond, IdleTimeout: time.Second, Record: true, Notify: func(e client.TerminalEvent) { events = append(events, e) },
	})
	want := sallyport.TerminalStarted{Type: "started", ID: "t1", Cols: 80, Rows: 24, TimeoutS: 60, IdleTimeoutS: 30, Recorded: true}
	if terminal.Started != want {
		t.Errorf("started %+v", terminal.Started)
	}
	question := make([]byte, 9)
	if _, err := io.ReadFull(terminal, question); err != nil || string(question) != "what for?" {
		t.Fatalf("read %q, %v", question, err)
	}
	must(t, write(terminal, "that"))
	if _, err := io.ReadFull(terminal, question[:1]); err != nil || question[0] != '!' {
		t.Fatalf("read %q, %v", question[:1], err)
	}
	must(t, terminal.Resize(100, 30))
	must(t, terminal.Signal("INT"))
	rest, err := io.ReadAll(terminal)
	if err != nil || string(rest) != " bye" {
		t.Errorf("then read %q, %v", rest, err)
	}
	exit, err := terminal.Wait()
	if err != nil || exit.ExitCode != 3 || exit.DurationMS != 5 {
		t.Errorf("ended as %+v, %v", exit, err)
	}
	if fmt.Sprint(events) != fmt.Sprint([]client.TerminalEvent{
		{Kind: client.TerminalWatched, Watchers: 2}, {Kind: client.TerminalEnding, Code: sallyport.CodeDraining, Left: 30 * time.Second},
	}) {
		t.Errorf("events %+v", events)
	}
	if err := write(terminal, "x"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a write behind the end: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

// A connection that is lost anywhere is taken up again, and not a byte is lost or comes twice,
// either way.
func TestTerminalResumes(t *testing.T) {
	t.Parallel()
	input := strings.Repeat("0123456789abcdef", 20_000)
	c := serveTerminals(t,
		func(ctx context.Context, ws *websocket.Conn) error {
			return steps(
				func() error { return begun(ctx, ws, plainStart) },
				func() error { return binary(ctx, ws, "one ") },
				func() error { return typed(ctx, ws, input[:64<<10]) },
				ws.CloseNow,
			)
		},
		func(ctx context.Context, ws *websocket.Conn) error { return ws.CloseNow() }, // a server that only just listens
		func(ctx context.Context, ws *websocket.Conn) error {
			return steps(
				func() error { return wantFrame(ctx, ws, `{"type":"resume","id":"t1","received":4}`) },
				func() error {
					return text(ctx, ws, fmt.Sprintf(`{"type":"resumed","id":"t1","cols":80,"rows":24,"timeout_s":60,"idle_timeout_s":30,"recorded":true,"from":4,"input_received":%d}`, 1000))
				},
				func() error { return binary(ctx, ws, "two") },
				func() error { return typed(ctx, ws, input[1000:]) },
				func() error { return exits(ctx, ws, 0) },
			)
		})
	var mu sync.Mutex
	var kinds []client.TerminalEventKind
	terminal := openTerminal(t, c, client.TerminalOptions{Notify: func(e client.TerminalEvent) {
		mu.Lock()
		defer mu.Unlock()
		kinds = append(kinds, e.Kind)
	}})
	var writing sync.WaitGroup
	writing.Go(func() {
		if err := write(terminal, input); err != nil {
			t.Errorf("write: %v", err)
		}
	})
	output, err := io.ReadAll(terminal)
	writing.Wait()
	if err != nil || string(output) != "one two" {
		t.Errorf("read %q, %v", output, err)
	}
	if _, err := terminal.Wait(); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(kinds) != "[lost resumed]" {
		t.Errorf("events %v", kinds)
	}
}

// Sizes and signals arrive in the order of the calls, between what was typed.
func TestTerminalOrder(t *testing.T) {
	t.Parallel()
	input := strings.Repeat("0123456789abcdef", 20_000)
	c := serveTerminals(t, func(ctx context.Context, ws *websocket.Conn) error {
		return steps(
			func() error { return begun(ctx, ws, plainStart) },
			func() error { return typed(ctx, ws, input) },
			func() error { return wantFrame(ctx, ws, `{"type":"resize","cols":90,"rows":20}`) },
			func() error { return typed(ctx, ws, "x") },
			func() error { return wantFrame(ctx, ws, `{"type":"resize","cols":91,"rows":20}`) },
			func() error { return wantFrame(ctx, ws, `{"type":"signal","signal":"INT"}`) },
			func() error { return typed(ctx, ws, input) },
			func() error { return wantFrame(ctx, ws, `{"type":"signal","signal":"TERM"}`) },
			func() error { return exits(ctx, ws, 0) },
		)
	})
	terminal := openTerminal(t, c, client.TerminalOptions{})
	must(t, write(terminal, input))
	must(t, terminal.Resize(90, 20))
	must(t, write(terminal, "x"))
	must(t, terminal.Resize(91, 0))
	must(t, terminal.Signal("INT"))
	must(t, write(terminal, input))
	must(t, terminal.Signal("TERM"))
	if _, err := io.ReadAll(terminal); err != nil {
		t.Error(err)
	}
}

// A size that is set while the connection is lost comes with the resume, or behind it.
func TestTerminalResizedWhileLost(t *testing.T) {
	t.Parallel()
	lost := make(chan struct{})
	resized := make(chan struct{})
	c := serveTerminals(t,
		func(ctx context.Context, ws *websocket.Conn) error {
			return steps(func() error { return begun(ctx, ws, plainStart) }, ws.CloseNow)
		},
		func(ctx context.Context, ws *websocket.Conn) error {
			<-resized
			return ws.CloseNow()
		},
		func(ctx context.Context, ws *websocket.Conn) error {
			return steps(
				func() error {
					return wantFrame(ctx, ws, `{"type":"resume","id":"t1","received":0,"cols":90,"rows":20}`)
				},
				func() error { return text(ctx, ws, `{"type":"error","error":"gone","code":"terminal_not_found"}`) },
				func() error { return ws.Close(websocket.StatusPolicyViolation, "terminal_not_found") },
			)
		})
	terminal := openTerminal(t, c, client.TerminalOptions{Notify: func(e client.TerminalEvent) { close(lost) }})
	<-lost
	must(t, terminal.Resize(90, 20))
	close(resized)
	if _, err := io.ReadAll(terminal); codeOf(err) != sallyport.CodeTerminalNotFound {
		t.Errorf("read: %v", err)
	}
	if _, err := terminal.Wait(); codeOf(err) != sallyport.CodeTerminalNotFound {
		t.Errorf("ended as %v", err)
	}
}

// What can't be taken up again without a gap isn't, and a server that doesn't come back in time
// is a cut.
func TestTerminalCut(t *testing.T) {
	t.Parallel()
	cut := func(ctx context.Context, ws *websocket.Conn) error {
		return steps(func() error { return begun(ctx, ws, plainStart) }, func() error { return binary(ctx, ws, "abc") }, ws.CloseNow)
	}
	for name, from := range map[string]string{"output": `"from":9,"input_received":0`, "input": `"from":3,"input_received":7`} {
		c := serveTerminals(t, cut, func(ctx context.Context, ws *websocket.Conn) error {
			return steps(
				func() error { return wantFrame(ctx, ws, `{"type":"resume","id":"t1","received":3}`) },
				func() error { return text(ctx, ws, `{"type":"resumed","id":"t1",`+from+`}`) },
			)
		})
		wantCut(t, "a gap in the "+name, openTerminal(t, c, client.TerminalOptions{}))
	}
	wantCut(t, "without a resume", openTerminal(t, serveTerminals(t, cut), client.TerminalOptions{ResumeTime: -1}))
	gone := func(ctx context.Context, ws *websocket.Conn) error { return ws.CloseNow() }
	c := serveTerminals(t, cut, gone, gone, gone, gone, gone, gone)
	wantCut(t, "no answer", openTerminal(t, c, client.TerminalOptions{ResumeTime: 500 * time.Millisecond}))
}

func wantCut(t *testing.T, what string, terminal *client.Terminal) {
	t.Helper()
	output, err := io.ReadAll(terminal)
	if string(output) != "abc" || !errors.Is(err, client.ErrCut) {
		t.Errorf("%s: read %q, %v", what, output, err)
	}
	if _, err := terminal.Wait(); !errors.Is(err, client.ErrCut) {
		t.Errorf("%s: ended as %v", what, err)
	}
}

// The server's window moves as the output is read, so that any amount comes.
func TestTerminalAcks(t *testing.T) {
	t.Parallel()
	output := bytes.Repeat([]byte("x"), 3<<20)
	c := serveTerminals(t, func(ctx context.Context, ws *websocket.Conn) error {
		if err := begun(ctx, ws, plainStart); err != nil {
			return err
		}
		acked := int64(0)
		for sent := int64(0); sent < int64(len(output)); sent += 32 << 10 {
			for sent+32<<10 > acked+sallyport.TerminalWindowBytes {
				_, message, err := ws.Read(ctx)
				if err != nil {
					return err
				}
				var ack sallyport.TerminalAck
				if err := json.Unmarshal(message, &ack); err != nil || ack.Type != "ack" || ack.Received <= acked || ack.Received > sent {
					return fmt.Errorf("got %s after %d sent and %d acked", message, sent, acked)
				}
				acked = ack.Received
			}
			if err := ws.Write(ctx, websocket.MessageBinary, output[sent:sent+32<<10]); err != nil {
				return err
			}
		}
		return exits(ctx, ws, 0)
	})
	got, err := io.ReadAll(openTerminal(t, c, client.TerminalOptions{}))
	if err != nil || !bytes.Equal(got, output) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

// The caller's end hangs up, in the words that a server takes for that; a server's end by force
// has its code.
func TestTerminalEnds(t *testing.T) {
	t.Parallel()
	closed := make(chan websocket.StatusCode, 1)
	c := serveTerminals(t, func(ctx context.Context, ws *websocket.Conn) error {
		if err := begun(ctx, ws, plainStart); err != nil {
			return err
		}
		_, _, err := ws.Read(ctx)
		closed <- websocket.CloseStatus(err)
		return nil
	})
	terminal := openTerminal(t, c, client.TerminalOptions{})
	must(t, terminal.Close())
	if status := <-closed; status != websocket.StatusNormalClosure {
		t.Errorf("the server saw %v", status)
	}
	if _, err := terminal.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	must(t, terminal.Close())

	c = serveTerminals(t, func(ctx context.Context, ws *websocket.Conn) error {
		return steps(
			func() error { return begun(ctx, ws, plainStart) },
			func() error {
				return text(ctx, ws, `{"type":"error","error":"too long","code":"terminal_timeout","reason":"idle","timeout_s":30}`)
			},
			func() error { return ws.Close(websocket.StatusPolicyViolation, "terminal_timeout") },
		)
	})
	_, err := openTerminal(t, c, client.TerminalOptions{}).Wait()
	var failure *sallyport.Error
	if !errors.As(err, &failure) || failure.Code != sallyport.CodeTerminalTimeout || failure.Reason != "idle" || failure.TimeoutS != 30 {
		t.Errorf("ended as %v", err)
	}
}

func TestWatchTerminal(t *testing.T) {
	t.Parallel()
	c := serveTerminals(t, func(ctx context.Context, ws *websocket.Conn) error {
		return steps(
			func() error { return wantFrame(ctx, ws, `{"type":"watch","id":"t1"}`) },
			func() error {
				return text(ctx, ws, `{"type":"watching","id":"t1","actor":"a","cols":80,"rows":24,"from":7}`)
			},
			func() error { return binary(ctx, ws, "kept") },
			func() error { return text(ctx, ws, `{"type":"resize","cols":100,"rows":30}`) },
			func() error { return binary(ctx, ws, " new") },
			func() error { return exits(ctx, ws, 0) },
		)
	})
	var size string
	w, err := c.WatchTerminal(t.Context(), "build", "t1", func(e client.TerminalEvent) { size = fmt.Sprint(e.Kind, e.Cols, e.Rows) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if w.Watching.Actor != "a" || w.Watching.From != 7 {
		t.Errorf("watching %+v", w.Watching)
	}
	got, err := io.ReadAll(w)
	if err != nil || string(got) != "kept new" || size != "resized100 30" {
		t.Errorf("read %q, %v; %s", got, err, size)
	}
}
