package sshhost

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// installed returns the path of one of OpenSSH's clients. make test installs them; a machine
// on which one tests without it may have none.
func installed(t *testing.T, client string) string {
	t.Helper()
	program, err := exec.LookPath(client)
	if err != nil {
		t.Skip(err)
	}
	return program
}

// openSSH returns what makes a call of OpenSSH's client, with options and a command line, if
// any, to a new host.
func openSSH(t *testing.T) (command func(options []string, line ...string) *exec.Cmd) {
	t.Helper()
	program := installed(t, "ssh")
	dir := t.TempDir()
	b := newBench(t, func(c *Config) { c.AuthorizedKeys = []ssh.PublicKey{writeKey(t, dir)} })
	port := b.listen(t)
	write(t, dir, "known", knownhosts.Line([]string{"[127.0.0.1]:" + port}, b.HostKey())+"\n")
	return func(options []string, line ...string) *exec.Cmd {
		return exec.Command(program, slices.Concat([]string{
			"-F", "none", "-p", port, "-l", b.User(), "-i", filepath.Join(dir, "key"), "-o", "UserKnownHostsFile=" + filepath.Join(dir, "known"),
			"-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes",
		}, options, []string{"127.0.0.1"}, line)...)
	}
}

// TestOpenSSH: OpenSSH's own client finds what it expects.
func TestOpenSSH(t *testing.T) {
	command := openSSH(t)
	tests := []struct {
		line, stdin, stdout, stderr string
		code                        int
	}{
		{line: "echo out; echo err >&2; exit 3", stdout: "out\n", stderr: "err\n", code: 3},
		{line: "wc -c", stdin: strings.Repeat("x", 1<<20), stdout: "1048576\n"},
		{line: "exit 4", stdin: strings.Repeat("x", 16<<20), code: 4},
		{line: "kill -KILL $$", code: 255},
		{line: "echo $LC_TEST", stdout: "given\n"},
	}
	for _, tt := range tests {
		cmd := command([]string{"-T", "-o", "SendEnv=LC_TEST"}, tt.line)
		cmd.Env = append(os.Environ(), "LC_TEST=given")
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(tt.stdin), &stdout, &stderr
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code != tt.code || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", tt.line, code, stdout.String(), stderr.String())
		}
	}
}

// listen serves a port of the loopback until the test ends.
func (b *bench) listen(t *testing.T) (port string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { b.Serve(context.Background(), conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		b.Close()
		serving.Wait()
	})
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// writeKey writes a new private key to the file key in dir.
func writeKey(t *testing.T, dir string) ssh.PublicKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "key", string(pem.EncodeToMemory(block)))
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey()
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
