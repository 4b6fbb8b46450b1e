package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/creack/pty"
	"golang.org/x/term"

	"sallyport/client/sallyport"
)

// fakeTerminal is a terminal whose program prints what it was started with, and then what is
// typed, in brackets, and other frames as they are. At "quit" it exits with 7, and "gone", "late"
// and "cut" end it in other ways.
func fakeTerminal(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{sallyport.SubprotocolTerminal}})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
	defer cancel()
	send := func(frame any) {
		text, _ := json.Marshal(frame)
		_ = ws.Write(ctx, websocket.MessageText, text)
	}
	end := func(frame any) {
		send(frame)
		_ = ws.Close(websocket.StatusNormalClosure, "")
	}
	_, first, err := ws.Read(ctx)
	if err != nil {
		return
	}
	var start sallyport.TerminalStart
	_ = json.Unmarshal(first, &start)
	switch start.Type {
	case sallyport.FrameResume:
		end(sallyport.SocketError{Type: sallyport.FrameError, Error: *sallyport.Errorf(sallyport.CodeTerminalNotFound, "there is no such terminal")})
		return
	case sallyport.FrameWatch:
		send(sallyport.TerminalWatching{Type: sallyport.FrameWatching, Actor: "somebody", Cols: 80, Rows: 24})
		_ = ws.Write(ctx, websocket.MessageBinary, []byte("what they see"))
		_, _, _ = ws.Read(ctx)
		return
	}
	send(sallyport.TerminalStarted{Type: sallyport.FrameStarted, ID: "t1", TimeoutS: 60, Recorded: start.Record})
	_ = ws.Write(ctx, websocket.MessageBinary, first)
	for {
		kind, message, err := ws.Read(ctx)
		switch {
		case err != nil:
			return
		case kind == websocket.MessageBinary:
			_ = ws.Write(ctx, websocket.MessageBinary, fmt.Appendf(nil, "[%q]", message))
		case !bytes.Contains(message, []byte(`"ack"`)):
			_ = ws.Write(ctx, websocket.MessageBinary, message)
		}
		switch text := string(message); {
		case strings.Contains(text, "quit"):
			end(sallyport.TerminalExit{Type: sallyport.FrameExit, ExitCode: 7})
			return
		case strings.Contains(text, "late"):
			end(sallyport.SocketError{Type: sallyport.FrameError, Error: *sallyport.Errorf(sallyport.CodeTerminalTimeout, "the terminal was idle for 60s")})
			return
		case strings.Contains(text, "cut"):
			return
		}
	}
}

// What isn't a terminal is sent as it is, and then Ctrl-D; the exit code is the program's.
func TestShellWithoutTerminal(t *testing.T) {
	t.Parallel()
	p := fakeProgram(t)
	p.Env = environ("SALLYPORT_URL", must(p.Env("SALLYPORT_URL")), "SALLYPORT_TOKEN", fakeOrgToken, "TERM", "dumb", "LC_ALL", "C", "HERE", "x")
	p.Stdin = iterateReader("~.\n", "quit\n")
	got := run(t, p, "shell", "--cwd", "/srv", "-e", "HERE", "--timeout", "2m", "--record", "w", "--", "vi", "-n")
	start := `{"type":"start","cmd":["vi","-n"],"cwd":"/srv","env":{"HERE":"x","LC_ALL":"C","TERM":"dumb"},"timeout_s":120,"record":true}`
	if got.code != 7 || !strings.HasPrefix(got.stdout, start) || !strings.Contains(got.stdout, `"~.\n`) {
		t.Errorf("%+v", got)
	}
	want := "sallyport: this terminal is recorded: what it shows, and not what is typed\n" +
		"sallyport: warning: the time-out is 60 s, the most that the server gives\n"
	if got.stderr != want {
		t.Errorf("stderr %q, want %q", got.stderr, want)
	}
	p.Stdin = iterateReader("late")
	if got := run(t, p, "shell", "w"); got.code != 124 || !strings.Contains(got.stderr, "idle for 60s") {
		t.Errorf("a time-out: %+v", got)
	}
	p.Stdin = iterateReader("cut")
	got = run(t, p, "exec", "-it", "w", "true")
	if got.code != 125 || !strings.Contains(got.stderr, "the connection is lost") || !strings.Contains(got.stderr, "no such terminal") {
		t.Errorf("a lost connection: %+v", got)
	}
	p.Stdin = iterateReader()
	if got := run(t, p, "shell", "w", "--escape", "ab"); got.code != 125 {
		t.Errorf("an escape of two: %+v", got)
	}
}

// must is a value that is there.
func must(value string, ok bool) string {
	if !ok {
		return "missing"
	}
	return value
}

// iterateReader reads texts, one a Read.
func iterateReader(texts ...string) io.Reader {
	readers := make([]io.Reader, len(texts))
	for i, text := range texts {
		readers[i] = strings.NewReader(text)
	}
	return io.MultiReader(readers...)
}

// sitter is somebody at a terminal.
type sitter struct {
	t      *testing.T
	master *os.File
	screen *bufio.Reader
	tty    *os.File
	before *term.State
	done   chan ran
}

// sit runs the program at a terminal of 100×30.
func sit(t *testing.T, p Program, args ...string) *sitter {
	t.Helper()
	master, tty, err := pty.Open()
	if err == nil {
		err = pty.Setsize(master, &pty.Winsize{Cols: 100, Rows: 30})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	who := &sitter{t: t, master: master, screen: bufio.NewReader(master), tty: tty, before: before, done: make(chan ran, 1)}
	p.Stdin, p.Stdout = tty, tty
	go func() { who.done <- run(t, p, args...) }()
	return who
}

// sees waits until text is on the screen.
func (w *sitter) sees(text string) {
	w.t.Helper()
	var seen strings.Builder
	for !strings.Contains(seen.String(), text) {
		b, err := w.screen.ReadByte()
		if err != nil {
			w.t.Fatalf("after %q: %v", seen.String(), err)
		}
		seen.WriteByte(b)
	}
}

func (w *sitter) types(keys string) {
	w.t.Helper()
	if _, err := w.master.WriteString(keys); err != nil {
		w.t.Fatal(err)
	}
}

// isBack waits for the program's end, and demands that the terminal is as it was.
func (w *sitter) isBack() ran {
	w.t.Helper()
	got := <-w.done
	after, err := term.GetState(int(w.tty.Fd()))
	if err != nil || fmt.Sprintf("%+v", after) != fmt.Sprintf("%+v", w.before) {
		w.t.Errorf("the terminal is another than before: %+v, %v; was %+v", after, err, w.before)
	}
	return got
}

// A terminal passes all keys on, follows its size, and is put back as it was.
func TestShellAtTerminal(t *testing.T) {
	t.Parallel()
	who := sit(t, fakeProgram(t), "shell", "w")
	who.sees(`{"type":"start","cols":100,"rows":30}`)
	who.types("\x03\x1a\x04\r~~x\r~?")
	who.sees(`\x03\x1a\x04\r~x\r`)
	who.types("y\r~")
	who.sees(`y\r`)
	if err := pty.Setsize(who.master, &pty.Winsize{Cols: 90, Rows: 20}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil { // it isn't this process's own terminal
		t.Fatal(err)
	}
	who.sees(`{"type":"resize","cols":90,"rows":20}`)
	who.types("zquit")
	if got := who.isBack(); got.code != 7 || !strings.Contains(got.stderr, "\r\nsallyport: behind a newline: ~. leaves, ~? shows this, ~~ is a ~\r\n") {
		t.Errorf("%+v", got)
	}
}

// Every way out puts the terminal back.
func TestShellWaysOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys   string
		signal os.Signal
		code   int
	}{
		"~.":            {"~.", nil, 130},
		"SIGTERM":       {"", syscall.SIGTERM, 143},
		"a time-out":    {"late", nil, 124},
		"a lost server": {"cut", nil, 125},
	} {
		signals := make(chan os.Signal, 1)
		p := fakeProgram(t)
		p.Signals = signals
		who := sit(t, p, "shell", "w")
		who.sees(`"start"`)
		who.types(c.keys)
		if c.signal != nil {
			signals <- c.signal
		}
		if got := who.isBack(); got.code != c.code {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// SIGHUP hangs up. It is this process's own, so that nothing runs beside.
func TestShellHangup(t *testing.T) {
	who := sit(t, fakeProgram(t), "shell", "w")
	who.sees(`"start"`)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := who.isBack(); got.code != 129 {
		t.Errorf("%+v", got)
	}
}

func TestShellWatch(t *testing.T) {
	t.Parallel()
	for _, keys := range []string{"\x03", "~."} {
		who := sit(t, fakeProgram(t), "shell", "--watch", "0198c9a4-9d10-7c3d-8e5f-6a7b8c9d0e1f", "w")
		who.sees("what they see")
		who.types(keys)
		if got := who.isBack(); got.code != 0 || !strings.Contains(got.stderr, "watching a terminal of somebody, 80×24") {
			t.Errorf("%q: %+v", keys, got)
		}
	}
}

// The escape counts behind a newline alone, wherever what is typed is cut.
func TestEscapeKeys(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"~.": "<leave>", "a~.": "a~.", "a\r~.b": "a\r<leave>b", "a\n~?b": "a\n<help>b", "~~.": "~.", "~~~.": "~~.", "~x~.": "~x~.",
		"\r~\r~.": "\r~\r<leave>", "~": "",
	} {
		for cut := range len(typed) + 1 {
			e := &escapeKeys{escape: '~'}
			var got strings.Builder
			for _, part := range []string{typed[:cut], typed[cut:]} {
				for rest := []byte(part); len(rest) > 0; {
					var keys []byte
					var action keyAction
					keys, action, rest = e.next(rest)
					got.Write(keys)
					got.WriteString(map[keyAction]string{keyLeave: "<leave>", keyHelp: "<help>"}[action])
				}
			}
			if got.String() != want {
				t.Errorf("%q, cut at %d: %q, want %q", typed, cut, got.String(), want)
			}
		}
	}
	e := &escapeKeys{}
	if keys, action, _ := e.next([]byte("~.")); string(keys) != "~." || action != keyNone {
		t.Errorf("without an escape: %q", keys)
	}
}

// isRawNow tells whether the terminal is another than before the program.
func isRawNow(w *sitter) bool {
	now, err := term.GetState(int(w.tty.Fd()))
	return err == nil && fmt.Sprintf("%+v", now) != fmt.Sprintf("%+v", w.before)
}
