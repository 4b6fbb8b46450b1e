//go:build linux

package machines

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/cli"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// run runs the command line as a person without a terminal would.
func run(t *testing.T, s *stack.Stack, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{"SALLYPORT_URL": s.URL, "SALLYPORT_TOKEN": s.Token, "XDG_CONFIG_HOME": t.TempDir()}
	p := cli.Program{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
	code = cli.Run(t.Context(), p)
	return code, out.String(), errs.String()
}

// A machine is added with one command: by the CA that it trusts, or by a key.
func TestAdd(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	trusting := newMachine(t, s, sshd.Options{})
	code, stdout, stderr := run(t, s, "workspaces", "add", "build", "--ssh", trusting.sshd.User+"@"+trusting.sshd.Addr, "--yes")
	if code != 0 || !strings.Contains(stdout, "workspace build runs commands: Linux") || !strings.Contains(stderr, ssh.FingerprintSHA256(trusting.sshd.HostKey)) {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if code, stdout, _ := run(t, s, "exec", "build", "--", "sh", "-c", "echo there; exit 7"); code != 7 || stdout != "there\n" {
		t.Errorf("exec: %d %q", code, stdout)
	}
	if code, stdout, _ := run(t, s, "doctor", "build"); code != 0 || !strings.Contains(stdout, "it is the one that is known") {
		t.Errorf("doctor: %d %s", code, stdout)
	}

	stranger := sshd.Start(t, sshd.Options{})
	code, _, stderr = run(t, s, "workspaces", "add", "closed", "--ssh", stranger.User+"@"+stranger.Addr, "--yes")
	if code != 1 || !strings.Contains(stderr, "TrustedUserCAKeys") || !strings.Contains(stderr, "sallyport doctor closed") {
		t.Errorf("%d %q", code, stderr)
	}

	private, public := newKey(t)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger.Authorize(t, public)
	code, stdout, stderr = run(t, s, "workspaces", "add", "keyed", "--ssh", stranger.User+"@"+stranger.Addr, "--key", file, "--yes")
	if code != 0 || !strings.Contains(stdout, "workspace keyed runs commands") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	checkNowhere(t, s, private)
}

// A machine that was made anew is trusted again as docs/machines.md says, and by no other
// way.
func TestTrustNewKey(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	before, anew := newMachine(t, s, sshd.Options{}), newMachine(t, s, sshd.Options{})
	var addr atomic.Pointer[string]
	addr.Store(&before.sshd.Addr)
	way := passesOn(t, "", func() string { return *addr.Load() })
	if code, _, stderr := run(t, s, "workspaces", "add", "build", "--ssh", before.sshd.User+"@"+way, "--yes"); code != 0 {
		t.Fatalf("%d %q", code, stderr)
	}
	addr.Store(&anew.sshd.Addr)
	before.sshd.KillConnections()
	// One exec may still find the connection that is going, and tell of that.
	_, _, _ = run(t, s, "exec", "build", "true")
	refused := func(why string) {
		t.Helper()
		code, _, stderr := run(t, s, "exec", "build", "true")
		if code != 125 || !strings.Contains(stderr, "sallyport workspaces update --trust-new-key build") {
			t.Errorf("%s: %d %q", why, code, stderr)
		}
	}
	refused("the key has changed")
	if code, _, stderr := run(t, s, "workspaces", "update", "--host-key", string(ssh.MarshalAuthorizedKey(before.sshd.HostKey)), "build"); code != 0 {
		t.Errorf("%d %q", code, stderr)
	}
	refused("another key was named")
	for _, flags := range [][]string{{"--trust-new-key"}, {"--host-key", string(ssh.MarshalAuthorizedKey(anew.sshd.HostKey))}} {
		if code, _, stderr := run(t, s, append(append([]string{"workspaces", "update"}, flags...), "build")...); code != 0 {
			t.Errorf("%q: %d %q", flags, code, stderr)
		}
		if code, _, stderr := run(t, s, "exec", "build", "true"); code != 0 {
			t.Errorf("%q: %d %q", flags, code, stderr)
		}
	}
	// Another address, another user's key.
	private, public := newKey(t)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := sshd.Start(t, sshd.Options{})
	stranger.Authorize(t, public)
	code, stdout, stderr := run(t, s, "workspaces", "update", "--ssh", stranger.User+"@"+stranger.Addr, "--key", file, "--trust-new-key", "build")
	host, port, _ := net.SplitHostPort(stranger.Addr)
	if code != 0 || !strings.Contains(stdout, host+":"+port) || !strings.Contains(stdout, stranger.User) {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if code, _, stderr := run(t, s, "exec", "build", "true"); code != 0 {
		t.Errorf("%d %q", code, stderr)
	}
	checkNowhere(t, s, private)
}

// checkNowhere looks for a private key in the data directory and the log, in its own
// form and in JSON's.
func checkNowhere(t *testing.T, s *stack.Stack, key string) {
	t.Helper()
	line := strings.Split(key, "\n")[2]
	files, err := filepath.Glob(filepath.Join(s.DataDir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %d files", err, len(files))
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(line)) {
			t.Errorf("the private key is in %s", file)
		}
	}
	if strings.Contains(s.Log.String(), line) {
		t.Error("the private key is in the log")
	}
}

// Without somebody to ask, a host key is not trusted.
func TestAddAsks(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	code, _, stderr := run(t, s, "workspaces", "add", "build", "--ssh", "u@127.0.0.1")
	if code != 2 || !strings.Contains(stderr, "--host-key KEY, or --yes") {
		t.Errorf("%d %q", code, stderr)
	}
	for _, bad := range []string{"", "10.0.0.5", "@10.0.0.5", "u@", "u@h:0", "u@h:x"} {
		if code, _, stderr := run(t, s, "workspaces", "add", "build", "--ssh", bad, "--yes"); code != 2 {
			t.Errorf("%q: %d %q", bad, code, stderr)
		}
	}
}
