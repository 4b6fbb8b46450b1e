package sshhost

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
)

// seat is a session of a client's with a terminal.
type seat struct {
	*ssh.Session
	keys   io.WriteCloser
	screen *bufio.Reader
}

// sit asks for a terminal of 30 rows and 100 columns.
func sit(t *testing.T, client *ssh.Client, modes ssh.TerminalModes) *seat {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	if err := session.RequestPty("xterm-256color", 30, 100, modes); err != nil {
		t.Fatal(err)
	}
	keys, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	screen, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return &seat{session, keys, bufio.NewReader(screen)}
}

// run starts a command line.
func (s *seat) run(t *testing.T, line string) {
	t.Helper()
	if err := s.Start(line); err != nil {
		t.Fatal(err)
	}
}

// line is the next line on the screen.
func (s *seat) line(t *testing.T) string {
	t.Helper()
	line, err := s.screen.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, then %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// press types keys.
func (s *seat) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(s.keys, keys); err != nil {
		t.Fatal(err)
	}
}

// rest is what the screen shows until the end.
func (s *seat) rest(t *testing.T) string {
	t.Helper()
	all, err := io.ReadAll(s.screen)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// A program finds the terminal, its kind, its size and its modes from its first instruction.
func TestTerminal(t *testing.T) {
	s := sit(t, newBench(t).dial(t), ssh.TerminalModes{ssh.ECHO: 0, ssh.VINTR: 2, ssh.VKILL: 255, ssh.OPOST: 1, ssh.ONLCR: 1, ssh.CS8: 1, ssh.IUTF8: 1})
	s.run(t, `test "$(tty)" = "$SSH_TTY" && echo "$TERM $(stty size)"; stty -a; exit 3`)
	if got := s.line(t); got != "xterm-256color 30 100" {
		t.Errorf("%q", got)
	}
	modes := " " + strings.NewReplacer("\r\n", " ", ";", " ;").Replace(s.rest(t))
	for _, want := range []string{" -echo ", " intr = ^B ", " kill = <undef> ", " opost ", " onlcr ", " cs8 ", " iutf8 ", " icanon ", " isig "} {
		if !strings.Contains(modes, want) {
			t.Errorf("no%sin%s", want, modes)
		}
	}
	if code, _ := exitOf(t, s.Wait()); code != 3 {
		t.Errorf("exit %d", code)
	}
}

// Keys reach the program as the line discipline makes them: an interrupt ends what runs in
// the foreground, and leaves the shell.
func TestKeys(t *testing.T) {
	s := sit(t, newBench(t).dial(t), ssh.TerminalModes{ssh.ECHO: 0})
	s.run(t, `trap 'echo interrupted' INT; echo ready; cat; read line; echo "got $line"; exit 5`)
	if got := s.line(t); got != "ready" {
		t.Fatalf("%q", got)
	}
	s.press(t, "to cat\n")
	if got := s.line(t); got != "to cat" {
		t.Fatalf("%q", got)
	}
	s.press(t, "\x03")
	if got := s.line(t); got != "interrupted" {
		t.Fatalf("%q", got)
	}
	s.press(t, "a line\n")
	if got := s.rest(t); got != "got a line\r\n" {
		t.Errorf("%q", got)
	}
	if code, signal := exitOf(t, s.Wait()); code != 5 {
		t.Errorf("exit %d, %s", code, signal)
	}
}

// The foreground process group hears of each new size.
func TestWindowChange(t *testing.T) {
	s := sit(t, newBench(t).dial(t), nil)
	s.run(t, `trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done`)
	if got := s.line(t); got != "ready" {
		t.Fatalf("%q", got)
	}
	for _, size := range []struct{ rows, columns int }{{50, 132}, {1, 2}, {30, 100}} {
		if err := s.WindowChange(size.rows, size.columns); err != nil {
			t.Fatal(err)
		}
		if got, want := s.line(t), fmt.Sprintf("%d %d", size.rows, size.columns); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if err := s.Signal(ssh.SIGKILL); err != nil {
		t.Error(err)
	}
	if _, signal := exitOf(t, s.Wait()); signal != "KILL" {
		t.Errorf("ended by %q", signal)
	}
}

// All that a program prints before it exits arrives before its exit is told, and the channel
// ends then, though a child in the background still holds the terminal.
func TestLastOutput(t *testing.T) {
	client := newBench(t).dial(t)
	for range 20 {
		s := sit(t, client, nil)
		s.run(t, `trap '' HUP; sleep 1000 & echo $!; head -c 300000 /dev/zero | tr '\0' x; exit 7`)
		child, err := strconv.Atoi(s.line(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.rest(t); len(got) != 300000 || strings.Trim(got, "x") != "" {
			t.Errorf("%d bytes of 300000", len(got))
		}
		if code, _ := exitOf(t, s.Wait()); code != 7 {
			t.Errorf("exit %d", code)
		}
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
			t.Errorf("the child in the background has ended: %v", err)
		}
	}
}

// Who goes on printing when the program has ended keeps nobody.
func TestPrintingOn(t *testing.T) {
	s := sit(t, newBench(t).dial(t), nil)
	s.run(t, `trap '' HUP; echo first; yes & echo $! >&2; exit 7`)
	var child int
	for child == 0 {
		child, _ = strconv.Atoi(s.line(t))
	}
	_ = s.rest(t)
	if code, _ := exitOf(t, s.Wait()); code != 7 {
		t.Errorf("exit %d", code)
	}
	_ = syscall.Kill(child, syscall.SIGKILL) // it ends by itself where its terminal has gone
}

// A client that leaves hangs up: the program hears HUP.
func TestHangUp(t *testing.T) {
	b := newBench(t)
	for name, leave := range map[string]func(*ssh.Client, *seat){
		"the channel":    func(_ *ssh.Client, s *seat) { s.Close() },
		"the connection": func(client *ssh.Client, _ *seat) { client.Close() },
	} {
		left := filepath.Join(b.home, strings.ReplaceAll(name, " ", "-"))
		client := b.dial(t)
		s := sit(t, client, nil)
		s.run(t, fmt.Sprintf(`trap 'echo hung up >%s; exit' HUP; echo ready; while :; do sleep 0.01; done`, left))
		if got := s.line(t); got != "ready" {
			t.Fatalf("%q", got)
		}
		leave(client, s)
		eventually(t, "the program to hear of it, after "+name, func() bool {
			heard, _ := os.ReadFile(left)
			return string(heard) == "hung up\n"
		})
	}
}

// A client that doesn't read stops the program, and leaving ends it.
func TestScreenUnread(t *testing.T) {
	b := newBench(t)
	client := b.dial(t)
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("vt100", 1, 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := session.StdoutPipe(); err != nil { // nobody reads it
		t.Fatal(err)
	}
	pid := filepath.Join(b.home, "pid")
	if err := session.Start("echo $$ >" + pid + "; exec yes"); err != nil {
		t.Fatal(err)
	}
	var process int
	eventually(t, "the program", func() bool {
		text, _ := os.ReadFile(pid)
		process, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	eventually(t, "the program to wait for its reader", func() bool {
		channel, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", process))
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
		return strings.Contains(string(status), "State:\tS") || strings.Contains(string(channel), "tty")
	})
	session.Close()
	eventually(t, "the program to end", func() bool { return syscall.Kill(process, 0) != nil })
}

// What can't be asked for is refused, and the session goes on without it.
func TestRefusedTerminals(t *testing.T) {
	client := newBench(t).dial(t)
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(payload []byte) bool {
		ok, err := session.SendRequest("pty-req", true, payload)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if ask([]byte("x")) || ask(ssh.Marshal(ptyRequest{Term: "a\x00b"})) {
		t.Error("what can't be read was taken")
	}
	if !ask(ssh.Marshal(ptyRequest{Term: "", Columns: 1 << 31, Rows: 1 << 31, Modes: "\x35\x00\x00\x00\x00\xff\x00"})) {
		t.Error("a terminal of no kind was refused")
	}
	if ask(ssh.Marshal(ptyRequest{Term: "vt100"})) {
		t.Error("a second terminal was given")
	}
	if ok, err := session.SendRequest(StartRequest, true, Start{Argv: []string{"true"}}.Marshal()); ok || err != nil {
		t.Errorf("started without a shell on a terminal: %t, %v", ok, err)
	}
	out, err := session.Output("stty size")
	if string(out) != "65535 65535\r\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// OpenSSH's client gets a terminal as from sshd.
func TestTerminalOfOpenSSH(t *testing.T) {
	cmd := openSSH(t)([]string{"-tt"})
	cmd.Env = append(os.Environ(), "TERM=vt220")
	cmd.Stdin = strings.NewReader("stty -echo; echo \"<$TERM>\"\nexit 9\n")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() != 9 || !strings.Contains(string(out), "<vt220>\r\n") {
		t.Errorf("exit %d: %q", cmd.ProcessState.ExitCode(), out)
	}
}
