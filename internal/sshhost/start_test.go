package sshhost

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// TestStart: a program is started without a shell, leads its group, and is a session's one
// command.
func TestStart(t *testing.T) {
	b := newBench(t)
	channel, requests := rawSession(t, b.dial(t))
	asked := Start{Argv: []string{"cat", "/proc/self/stat", "-"}, Env: []string{"A=a b"}}
	if !sendStart(t, channel, asked) {
		t.Fatal("refused")
	}
	var started Started
	if request := <-requests; request == nil || request.Type != StartedRequest || ssh.Unmarshal(request.Payload, &started) != nil {
		t.Fatalf("got %+v", request)
	}
	var pid, parent, group, session uint32
	var state string
	if _, err := fmt.Sscanf(readLine(t, channel), "%d (cat) %s %d %d %d", &pid, &state, &parent, &group, &session); err != nil {
		t.Fatal(err)
	}
	if pid != started.PID || group != pid || session != pid || parent != uint32(os.Getpid()) {
		t.Errorf("pid %d, parent %d, group %d, session %d; the host says %d", pid, parent, group, session, started.PID)
	}
	if sendStart(t, channel, asked) {
		t.Error("a second program was started on the session")
	}
	if ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Line string }{"echo second"})); ok || err != nil {
		t.Errorf("a command line behind it: %t, %v", ok, err)
	}
	io.WriteString(channel, "stdin")
	channel.CloseWrite()
	if out, err := io.ReadAll(channel); string(out) != "stdin" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if request := <-requests; request == nil || request.Type != "exit-status" || string(request.Payload) != "\x00\x00\x00\x00" {
		t.Errorf("got %+v", request)
	}
}

// TestStartRefused: what the host leaves to a shell has run nothing, and the session takes a
// command line.
func TestStartRefused(t *testing.T) {
	b := newBench(t)
	for name, content := range map[string]string{"script": "touch ran\n", "no-interpreter": "#!/no/such\n"} {
		if err := os.WriteFile(filepath.Join(b.home, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	client := b.dial(t)
	for name, payload := range map[string][]byte{
		"no such program": Start{Argv: []string{"no-such-program"}}.Marshal(),
		"no such file":    Start{Argv: []string{"/no/such"}}.Marshal(),
		"a directory":     Start{Argv: []string{"/"}}.Marshal(),
		"a script":        Start{Argv: []string{"./script"}}.Marshal(),
		"no interpreter":  Start{Argv: []string{"./no-interpreter"}}.Marshal(),
		"no directory":    Start{Argv: []string{"touch", "ran"}, Dir: "gone"}.Marshal(),
		"no search path":  Start{Argv: []string{"touch", "ran"}, Env: []string{"PATH="}}.Marshal(),
		"too long":        Start{Argv: []string{"touch", "ran", strings.Repeat("x", 200<<10)}}.Marshal(),
		"no program":      Start{Argv: []string{"", "x"}}.Marshal(),
		"no argv":         ssh.Marshal(startMsg{}),
		"no variable":     Start{Argv: []string{"touch", "ran"}, Env: []string{"A"}}.Marshal(),
		"no name":         Start{Argv: []string{"touch", "ran"}, Env: []string{"=x"}}.Marshal(),
		"NUL in dir":      ssh.Marshal(startMsg{Dir: "/\x00", Argv: "touch\x00ran"}),
		"nothing":         nil,
		"garbage":         []byte("\xff\xff\xff\xff\x00garbage"),
	} {
		t.Run(name, func(t *testing.T) {
			channel, requests := rawSession(t, client)
			if ok, err := channel.SendRequest(StartRequest, true, payload); ok || err != nil {
				t.Fatalf("%t, %v", ok, err)
			}
			start(t, channel, "ls ran; exit 5")
			if out, err := io.ReadAll(channel); len(out) != 0 || err != nil {
				t.Errorf("%q, %v", out, err)
			}
			if request := <-requests; request == nil || string(request.Payload) != "\x00\x00\x00\x05" {
				t.Errorf("got %+v", request)
			}
		})
	}
}

// TestStartsDirectly: only shells that are known to read nothing of the user's may be left
// out, and only as long as they are what they were.
func TestStartsDirectly(t *testing.T) {
	dir := t.TempDir()
	link := func(name, to string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script := filepath.Join(dir, "bash")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec /bin/bash \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for shell, want := range map[string]bool{
		"/bin/sh": true, "/bin/dash": true, "/bin/bash": true, link("ash", "/bin/dash"): true,
		"/usr/bin/zsh": false, "/usr/bin/fish": false, "/usr/bin/tcsh": false, "/usr/sbin/nologin": false, "/no/such/bash": false,
		script: false, link("rbash", "/bin/bash"): false, link("sh", "/usr/bin/zsh"): false, link("dash", dir): false,
	} {
		if got := newBench(t, func(c *Config) { c.Shell = shell }).StartsDirectly(); got != want {
			t.Errorf("%s: %t", shell, got)
		}
	}
	if newBench(t, func(c *Config) { c.Env = []string{"BASH_ENV=/x"} }).StartsDirectly() {
		t.Error("a shell was left out that was to read a file")
	}
}

// TestStartAfterShellChanged: a login shell that is replaced, locked or removed while the host
// runs is asked from then on.
func TestStartAfterShellChanged(t *testing.T) {
	shell := filepath.Join(t.TempDir(), "dash")
	program, err := os.ReadFile("/bin/dash")
	if err != nil {
		t.Fatal(err)
	}
	put := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(shell+".new", content, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(shell+".new", shell); err != nil {
			t.Fatal(err)
		}
	}
	put(program)
	b := newBench(t, func(c *Config) { c.Shell = shell })
	client := b.dial(t)
	for _, step := range []struct {
		name   string
		change func()
		want   bool
	}{
		{"as it was", func() {}, true},
		{"a script", func() { put([]byte("#!/bin/sh\nexit 1\n")) }, false},
		{"a shell again", func() { put(program) }, true},
		{"not executable", func() { _ = os.Chmod(shell, 0o644) }, false},
		{"executable", func() { _ = os.Chmod(shell, 0o755) }, true},
		{"gone", func() { _ = os.Remove(shell) }, false},
	} {
		step.change()
		channel, requests := rawSession(t, client)
		if got := sendStart(t, channel, Start{Argv: []string{"true"}}); got != step.want {
			t.Errorf("%s: %t", step.name, got)
		}
		channel.Close()
		for range requests {
		}
	}
}

// TestStartWithoutFiles: a host that has no more descriptors has run nothing, and says so.
func TestStartWithoutFiles(t *testing.T) {
	b := newBench(t)
	client := b.dial(t)
	channel, requests := rawSession(t, client)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = uint64(countDescriptors(t)) + 2
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	got := sendStart(t, channel, Start{Argv: []string{"true"}})
	ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Line string }{"true"}))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if got || ok || err != nil {
		t.Errorf("started %t, command line %t, %v", got, ok, err)
	}
	if !sendStart(t, channel, Start{Argv: []string{"true"}}) {
		t.Error("refused with descriptors")
	}
	for range requests {
	}
}

func sendStart(t *testing.T, channel ssh.Channel, asked Start) bool {
	t.Helper()
	ok, err := channel.SendRequest(StartRequest, true, asked.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
