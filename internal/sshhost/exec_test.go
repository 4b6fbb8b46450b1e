package sshhost

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestExitStatus(t *testing.T) {
	client := newBench(t).dial(t)
	for code := range 256 {
		if got := run(t, client, fmt.Sprintf("exit %d", code), ""); got != (outcome{code: code}) {
			t.Errorf("exit %d: %+v", code, got)
		}
	}
}

func TestExitSignal(t *testing.T) {
	client := newBench(t).dial(t)
	for _, name := range []string{"KILL", "TERM", "INT", "HUP", "USR1", "PIPE", "BUS"} {
		if got := run(t, client, "ulimit -c 0; kill -"+name+" $$", ""); got != (outcome{code: -1, signal: name}) {
			t.Errorf("kill -%s $$: %+v", name, got)
		}
	}
}

func TestExitRequest(t *testing.T) {
	const dumped = 0x80
	tests := []struct {
		status  syscall.WaitStatus
		name    string
		payload []byte
	}{
		{0xff00, "exit-status", ssh.Marshal(exitStatus{255})},
		{9, "exit-signal", ssh.Marshal(exitSignal{Name: "KILL"})},
		{11 | dumped, "exit-signal", ssh.Marshal(exitSignal{Name: "SEGV", CoreDumped: true})},
		{40, "exit-signal", ssh.Marshal(exitSignal{Name: "RTMIN+6@sallyport"})},
	}
	for _, tt := range tests {
		name, payload := exitRequest(tt.status)
		if name != tt.name || !bytes.Equal(payload, tt.payload) {
			t.Errorf("%#x: %s %q", uint32(tt.status), name, payload)
		}
	}
}

// TestOutputExact: both outputs arrive byte for byte, neither in the other.
func TestOutputExact(t *testing.T) {
	b := newBench(t)
	out, err := randomFile(t, b.home, "out"), randomFile(t, b.home, "err")
	got := run(t, b.dial(t), "cat err >&2 & cat out; wait", "")
	if got.code != 0 || got.stdout != out || got.stderr != err {
		t.Errorf("code %d, stdout exact %t, stderr exact %t", got.code, got.stdout == out, got.stderr == err)
	}
}

func TestInputExact(t *testing.T) {
	b := newBench(t)
	in := randomFile(t, b.home, "in")
	if got := run(t, b.dial(t), "cat", in); got.code != 0 || got.stdout != in || got.stderr != "" {
		t.Errorf("code %d, stdout exact %t", got.code, got.stdout == in)
	}
}

func randomFile(t *testing.T, dir, name string) string {
	t.Helper()
	data := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", name)))).Read(data)
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCommandLine(t *testing.T) {
	b := newBench(t)
	client := b.dial(t)
	tests := []struct{ line, stdin, stdout string }{
		{line: "", stdout: ""},
		{line: "pwd -P", stdout: b.home + "\n"},
		{line: "echo $0", stdout: "sh\n"},
		{line: "echo 'a  b' \"$((1+1))\"", stdout: "a  b 2\n"},
		{line: "wc -c", stdin: "12345", stdout: "5\n"},
		{line: "wc -c", stdin: "", stdout: "0\n"},
		// The command leads its own session and process group.
		{line: `set -- $(cat /proc/$$/stat); [ $1 = $5 ] && [ $1 = $6 ] && echo leads`, stdout: "leads\n"},
		// It has its three streams and no descriptor of the host's.
		{line: "ls /proc/$$/fd; :", stdout: "0\n1\n2\n"},
	}
	for _, tt := range tests {
		if got := run(t, client, tt.line, tt.stdin); got != (outcome{stdout: tt.stdout}) {
			t.Errorf("%s: %+v", tt.line, got)
		}
	}
}

// TestShell: a shell request runs a login shell that reads its script.
func TestShell(t *testing.T) {
	b := newBench(t)
	profile := filepath.Join(b.home, ".profile")
	if err := os.WriteFile(profile, []byte("echo profile\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	session, err := b.dial(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	session.Stdout = &stdout
	session.Stdin = strings.NewReader("echo $0\nexit 7\n")
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	code, _ := exitOf(t, session.Wait())
	if code != 7 || stdout.String() != "profile\n-sh\n" {
		t.Errorf("code %d, stdout %q", code, stdout.String())
	}
}

// TestConcurrentSessions: a hundred commands on one connection run at the same
// time, and none waits for another's end.
func TestConcurrentSessions(t *testing.T) {
	client := newBench(t).dial(t)
	var started, ended sync.WaitGroup
	release := make(chan struct{})
	for i := range 100 {
		started.Add(1)
		ended.Go(func() {
			signal := sync.OnceFunc(started.Done)
			defer signal()
			session, err := client.NewSession()
			if err != nil {
				t.Error(err)
				return
			}
			stdin, _ := session.StdinPipe()
			stdout, _ := session.StdoutPipe()
			if err := session.Start("echo up; read n; exit $n"); err != nil {
				t.Error(err)
				return
			}
			if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "up\n" {
				t.Errorf("session %d: %q, %v", i, line, err)
			}
			signal()
			<-release
			fmt.Fprintln(stdin, i)
			if code, _ := exitOf(t, session.Wait()); code != i {
				t.Errorf("session %d: exit %d", i, code)
			}
		})
	}
	started.Wait()
	close(release)
	ended.Wait()
}

// TestHomeless: where home cannot be entered, commands start at /, and say so.
func TestHomeless(t *testing.T) {
	client := newBench(t, func(c *Config) { c.Home = "/nonexistent" }).dial(t)
	want := outcome{
		stdout: "/\n",
		stderr: "Could not chdir to home directory /nonexistent: No such file or directory\n",
	}
	if got := run(t, client, "pwd", ""); got != want {
		t.Errorf("%+v", got)
	}
}

// TestShellFails: a login shell that cannot be executed is exit status 1.
func TestShellFails(t *testing.T) {
	missing := newBench(t, func(c *Config) { c.Shell = "/nonexistent/sh" }).dial(t)
	want := outcome{stderr: "/nonexistent/sh: No such file or directory\n", code: 1}
	if got := run(t, missing, "true", ""); got != want {
		t.Errorf("missing: %+v", got)
	}
	client := newBench(t).dial(t)
	want = outcome{stderr: "/bin/sh: Argument list too long\n", code: 1}
	if got := run(t, client, ": "+strings.Repeat("x", 128<<10), ""); got != want {
		t.Errorf("too long: %+v", got)
	}
	if got := run(t, client, "echo goes on", ""); got.stdout != "goes on\n" {
		t.Errorf("after it: %+v", got)
	}
}

// TestNologin: an account without a login runs what it has for a shell.
func TestNologin(t *testing.T) {
	client := newBench(t, func(c *Config) { c.Shell = "/bin/false" }).dial(t)
	if got := run(t, client, "echo no", ""); got != (outcome{code: 1}) {
		t.Errorf("%+v", got)
	}
}

// rawSession opens a session channel; its requests come on the Go channel.
func rawSession(t *testing.T, client *ssh.Client) (ssh.Channel, <-chan *ssh.Request) {
	t.Helper()
	channel, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	return channel, requests
}

// start asks for a command line and fails the test when it is refused.
func start(t *testing.T, channel ssh.Channel, line string) {
	t.Helper()
	ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Line string }{line}))
	if err != nil || !ok {
		t.Fatalf("exec %s: %t, %v", line, ok, err)
	}
}

// readLine reads one line and nothing after it.
func readLine(t *testing.T, r io.Reader) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
		if b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}
