//go:build linux

package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/client/sallyport"
)

// person is somebody at a terminal.
type person struct {
	terminal *os.File // the program's side
	seen     *watchedBuffer
	typed    *os.File // the person's side
}

// newPerson sits at a terminal with so many columns, and waits for want there.
func newPerson(t *testing.T, columns int, want string) *person {
	t.Helper()
	typed, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal here: %v", err)
	}
	fd := int(typed.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)})
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{terminal: terminal, typed: typed, seen: &watchedBuffer{want: want, seen: make(chan struct{})}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(p.seen, typed) // until the other side is closed
	}()
	t.Cleanup(func() {
		terminal.Close()
		<-read
		typed.Close()
	})
	return p
}

// shownAt runs the program at a terminal of so many columns, and returns what it shows.
func shownAt(t *testing.T, columns int, env []string, args ...string) string {
	t.Helper()
	const end = "THE END"
	fake := newFake()
	defer fake.Close()
	p := newPerson(t, columns, end)
	code := Run(t.Context(), Program{
		Args: args, Env: environ(append(env, "SALLYPORT_URL", fake.URL, "SALLYPORT_TOKEN", fakeOrgToken)...),
		Stdin: p.terminal, Stdout: p.terminal, Stderr: p.terminal,
	})
	if code != 0 {
		t.Errorf("%q: exit code %d", args, code)
	}
	fmt.Fprint(p.terminal, end)
	<-p.seen.seen
	shown, _, _ := strings.Cut(p.seen.String(), end)
	return strings.ReplaceAll(shown, "\r\n", "\n")
}

// TestTablesFit: a table is no wider than the terminal, keeps what tells rows apart, and
// is shown whole to who wants that.
func TestTablesFit(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"workspaces", "list", "--limit", "3"}, {"ps", "w", "--all"}, {"activity", "--limit", "2"},
		{"activity", "--all", "--limit", "2"}, {"ps"},
	} {
		for _, columns := range []int{40, 60, 80, 120} {
			shown := shownAt(t, columns, nil, args...)
			for line := range strings.Lines(shown) {
				if n := cells(strings.TrimSuffix(line, "\n")); n > columns && !strings.HasPrefix(line, "sallyport: ") {
					t.Errorf("%q at %d columns: a line of %d: %s", args, columns, n, line)
				}
			}
		}
		whole := shownAt(t, 40, nil, append(args, "--no-trunc")...)
		if strings.Contains(whole, "…") {
			t.Errorf("%q is cut: %s", args, whole)
		}
	}
	if shown := shownAt(t, 80, nil, "ps", "w", "--all"); !strings.Contains(shown, "\n0198c9a4-9d10-7c3d  ") || !strings.Contains(shown, "COMMAND") {
		t.Errorf("neither the ids nor the commands are there:\n%s", shown)
	}
}

// TestColours: states are told by colour and headers are bold, where the terminal has
// colours and nobody has asked for none.
func TestColours(t *testing.T) {
	t.Parallel()
	args := []string{"activity", "--limit", "1"}
	if shown := shownAt(t, 120, []string{"TERM", "xterm"}, args...); !strings.Contains(shown, "\x1b[1mTIME\x1b[0m") || !strings.Contains(shown, "\x1b[32mok\x1b[0m") {
		t.Errorf("no colours: %q", shown)
	}
	for _, env := range [][]string{{"TERM", "xterm", "NO_COLOR", "1"}, {"TERM", "dumb"}, nil} {
		if shown := shownAt(t, 120, env, args...); strings.Contains(shown, "\x1b") {
			t.Errorf("%q: %q", env, shown)
		}
	}
}

// TestWaitIsTold: a person is told what is waited for, and nobody else is.
func TestWaitIsTold(t *testing.T) {
	t.Parallel()
	p := newPerson(t, 80, "sallyport: waiting for the machine of workspace slow")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-p.seen.seen
		w.Header().Set("Content-Type", sallyport.MediaNDJSON)
		fmt.Fprintln(w, `{"exit_code":7,"duration_ms":1}`)
	}))
	defer srv.Close()
	program := Program{Env: environ("SALLYPORT_URL", srv.URL, "SALLYPORT_TOKEN", "x"), Args: []string{"exec", "slow", "true"}}
	program.Stdin, program.Stdout, program.Stderr = strings.NewReader(""), io.Discard, p.terminal
	if code := Run(t.Context(), program); code != 7 {
		t.Errorf("exit code %d: %s", code, p.seen)
	}
}

// TestInterruptIsTold: Ctrl-C ends the command on the machine, and a person is told.
func TestInterruptIsTold(t *testing.T) {
	t.Parallel()
	fake := newFake()
	defer fake.Close()
	p := newPerson(t, 200, "interrupted; the command on w is ended, too: exec 0198-exec")
	ctx, cancel := context.WithCancel(t.Context())
	program := Program{Env: environ("SALLYPORT_URL", fake.URL, "SALLYPORT_TOKEN", fakeOrgToken), Args: []string{"exec", "w", "hang"}}
	program.Stdin, program.Stderr = strings.NewReader(""), p.terminal
	program.Stdout = writerFunc(func(b []byte) (int, error) { cancel(); return len(b), nil })
	if code := Run(ctx, program); code != 130 {
		t.Errorf("exit code %d", code)
	}
	<-p.seen.seen
}

// TestStdinOfATerminal: who is to type something is told so.
func TestStdinOfATerminal(t *testing.T) {
	t.Parallel()
	fake := newFake()
	defer fake.Close()
	p := newPerson(t, 200, "stdin goes to the command as it is typed; Ctrl-D ends it")
	program := Program{Env: environ("SALLYPORT_URL", fake.URL, "SALLYPORT_TOKEN", fakeOrgToken), Args: []string{"exec", "-i", "w", "request"}}
	var stdout strings.Builder
	program.Stdin, program.Stdout, program.Stderr = p.terminal, &stdout, p.terminal
	code := make(chan int, 1)
	go func() { code <- Run(t.Context(), program) }()
	<-p.seen.seen
	if _, err := p.typed.WriteString("typed\n\x04"); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != 0 || !strings.Contains(stdout.String(), `"stdin_base64":"dHlwZWQK"`) {
		t.Errorf("exit code %d: %s", got, stdout.String())
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text    string
		columns int
		want    string
	}{
		{"short", 5, "short"}, {"longer", 5, "long…"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"},
		{"e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"}, {"x", 0, ""}, {"xy", 1, "…"}, {"", 0, ""},
	} {
		if got := cut(tt.text, tt.columns); got != tt.want || cells(got) > tt.columns {
			t.Errorf("%q to %d columns: %q", tt.text, tt.columns, got)
		}
	}
}
