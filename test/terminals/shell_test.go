package terminals

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/cli"
	"sallyport/test/loopback"
	"sallyport/test/program"
	"sallyport/test/stack"
)

// panicsAt names the variable of a program that panics where a text is written: stdout:TEXT, or
// stderr:TEXT.
const panicsAt = "SALLYPORT_TEST_PANICS_AT"

// runProgram is the program itself.
func runProgram() int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p := cli.Program{
		Version: "test", Args: os.Args[1:], Env: os.LookupEnv, Signals: signals, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if file := os.Getenv(reportsMemory); file != "" {
		runtime.MemProfileRate = 1024
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGUSR1)
		go reportMemory(file, asked)
	}
	switch where, text, _ := strings.Cut(os.Getenv(panicsAt), ":"); where {
	case "stdout":
		p.Stdout = panicking{p.Stdout, text}
	case "stderr":
		p.Stderr = panicking{p.Stderr, text}
	}
	return cli.Run(context.Background(), p)
}

// panicking panics when a text is written.
type panicking struct {
	io.Writer
	text string
}

func (w panicking) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.text)) {
		panic("this is written: " + w.text)
	}
	return w.Writer.Write(p)
}

// sitter is somebody at a terminal of this machine, at which a program runs.
type sitter struct {
	cmd         *exec.Cmd
	master, tty *os.File
	before      *term.State

	mu   sync.Mutex // guards the field below
	seen bytes.Buffer
}

// startAt starts a program at a terminal, for which the caller waits.
func startAt(t testing.TB, tty *os.File, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, cmd.Start())
	return cmd
}

// atTerminal starts a program at a terminal of its own, and returns what a person there has. It ends
// with its test.
func atTerminal(t testing.TB, env []string, name string, args ...string) io.ReadWriter {
	t.Helper()
	master, tty, err := pty.Open()
	must(t, err)
	cmd := startAt(t, tty, env, name, args...)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		tty.Close()
		master.Close()
	})
	return master
}

// sitAt runs the command line at a terminal of its own.
func sitAt(t *testing.T, env []string, args ...string) *sitter {
	t.Helper()
	return sitBefore(t, io.Discard, nil, env, args...)
}

// sitBefore is sitAt where what is printed also goes to a screen. Without size it has none.
func sitBefore(t *testing.T, screen io.Writer, size *pty.Winsize, env []string, args ...string) *sitter {
	t.Helper()
	s := &sitter{}
	var err error
	s.master, s.tty, err = pty.Open()
	must(t, err)
	if size != nil {
		must(t, pty.Setsize(s.master, size))
	}
	s.before, err = term.GetState(int(s.tty.Fd()))
	must(t, err)
	s.cmd = startAt(t, s.tty, env, program.Path(t), args...)
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.MultiWriter(s, screen), s.master) }) // until all of the terminal is closed
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended, unless the test failed
		s.tty.Close()
		reading.Wait()
		s.master.Close()
	})
	return s
}

// Write takes what is on the screen.
func (s *sitter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.Write(p)
}

func (s *sitter) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

func (s *sitter) sees(t testing.TB, text string) {
	t.Helper()
	until(t, fmt.Sprintf("%q is seen", text), func() bool { return strings.Contains(s.text(), text) }, func() any { return s.text() })
}

func (s *sitter) types(keys string) error {
	_, err := s.master.WriteString(keys)
	return err
}

// isRaw tells whether the terminal is another than before.
func (s *sitter) isRaw(t testing.TB) bool {
	t.Helper()
	now, err := term.GetState(int(s.tty.Fd()))
	must(t, err)
	return fmt.Sprintf("%+v", now) != fmt.Sprintf("%+v", s.before)
}

// leftAs demands that the program ends with an exit code and leaves the terminal as it was before,
// without what was changed of its screen.
func (s *sitter) leftAs(t testing.TB, how string, code int, undone string) {
	t.Helper()
	_ = s.cmd.Wait() // the exit code is looked at
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%s: exit code %d, want %d: %q", how, got, code, s.text())
	}
	if s.isRaw(t) {
		t.Errorf("%s: the terminal is another than before: %q", how, s.text())
	}
	s.sees(t, undone)
}

// paint is a program that changes of a terminal what an editor does, says READY and its terminal's
// id, and then runs what is typed. painted is what takes its changes back.
const (
	paint   = `printf '\033[?1049h\033[?2004h\033[?1002h\033[?25l\033[31mREADY %s.' "$SALLYPORT_EXEC_ID"; while read -r line; do eval "$line"; done`
	painted = "\x1b[0m\x1b[?25h\x1b[?1002l\x1b[?2004l\x1b[?1049l"
)

// paintAt sits at that program on a workspace.
func paintAt(t *testing.T, url, token, workspace string, env ...string) *sitter {
	t.Helper()
	s := sitAt(t, append(env, "SALLYPORT_URL="+url, "SALLYPORT_TOKEN="+token), "shell", workspace, "--", "sh", "-c", paint)
	s.sees(t, ".")
	if !s.isRaw(t) {
		t.Fatal("the terminal isn't raw")
	}
	return s
}

// id is that of the terminal.
func (s *sitter) id(t *testing.T) string {
	t.Helper()
	_, id, _ := strings.Cut(s.text(), "READY ")
	id, _, found := strings.Cut(id, ".")
	if !found {
		t.Fatalf("no id is seen: %q", s.text())
	}
	return id
}

// Every way out leaves the local terminal as it was before: its modes, and what the program had
// changed of its screen.
func TestLocalTerminal(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	for _, c := range []struct {
		name  string
		leave func(*sitter) error
		code  int
	}{
		{"exit", func(s *sitter) error { return s.types("exit 7\r") }, 7},
		{"a signal", func(s *sitter) error { return s.types("kill -9 $$\r") }, 137},
		{"escape", func(s *sitter) error { return s.types("\r~.") }, 130},
		{"SIGTERM", func(s *sitter) error { return s.cmd.Process.Signal(syscall.SIGTERM) }, 143},
		{"SIGHUP", func(s *sitter) error { return s.cmd.Process.Signal(syscall.SIGHUP) }, 129},
		{"DELETE", func(s *sitter) error {
			return client.New(m.URL, m.Token).EndTerminal(t.Context(), m.workspace, s.id(t))
		}, 125},
	} {
		s := paintAt(t, m.URL, m.Token, m.workspace)
		must(t, c.leave(s))
		s.leftAs(t, c.name, c.code, painted)
	}
}

// A panic in any goroutine of the program leaves the terminal as it was before, and is seen.
func TestLocalTerminalPanic(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	for _, c := range []struct {
		name, at, undone string
		cause            func(*sitter) error
	}{
		{"the output", "stdout:BOOM", "", func(s *sitter) error { return s.types("echo BO''OM\r") }},
		{"the keys", "stderr:behind a newline", painted, func(s *sitter) error { return s.types("\r~?") }},
		{"the client's connection", "stderr:watched by", painted, func(s *sitter) error {
			m.dial(t, m.Token, `{"type":"watch","id":"`+s.id(t)+`"}`)
			return nil
		}},
	} {
		s := paintAt(t, m.URL, m.Token, m.workspace, panicsAt+"="+c.at)
		must(t, c.cause(s))
		s.leftAs(t, c.name, 2, c.undone) // that of a panic
		s.sees(t, "goroutine ")          // the terminal may have more than has been read of it
		_, trace, found := strings.Cut(s.text(), "panic: this is written: ")
		if !found || !strings.Contains(trace, "goroutine ") || strings.Count(trace, "\n") != strings.Count(trace, "\r\n") {
			t.Errorf("%s: the panic is shown as %q", c.name, s.text())
		}
	}
}

// A server that is killed is waited for, which the user may leave. Once it is back it doesn't know
// the terminal any more, and the local one is as it was before.
func TestLocalTerminalOfKilledServer(t *testing.T) {
	t.Parallel()
	address, err := loopback.FreeAddr()
	must(t, err)
	dir := t.TempDir()
	server := program.Start(t, dir, address)
	token, err := client.New(server.URL, server.Token).CreateToken(t.Context(), client.Owner{}, sallyport.TokenCreate{
		Name: "terminals", Scopes: []sallyport.Scope{sallyport.ScopeTerminal},
	})
	must(t, err) // it outlives the server, whose own don't
	leaves, stays := paintAt(t, server.URL, token.Secret, "local"), paintAt(t, server.URL, token.Secret, "local")
	server.Kill()
	for _, s := range []*sitter{leaves, stays} {
		s.sees(t, "the connection is lost")
	}
	must(t, leaves.types("\r~."))
	leaves.leftAs(t, "an escape while the server is gone", 130, painted)
	program.Start(t, dir, address)
	stays.leftAs(t, "a server that is back", 125, painted)
	stays.sees(t, "no such terminal")
}
