//go:build linux

package keys_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshd is OpenSSH's server behind a port of the loopback, one process for each
// connection, with a configuration and a host key of its own. It lets in whom a CA
// vouches for, and nobody else.
type sshd struct {
	address, user string
	trusted, log  string // files
	hostKey       ssh.PublicKey
}

func startSSHD(t *testing.T) *sshd {
	t.Helper()
	const program = "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil {
		t.Skipf("no OpenSSH server: %v", err)
	}
	me, err := user.Current()
	must(t, err)
	if me.Uid == "0" {
		must(t, os.MkdirAll("/run/sshd", 0o755)) // where sshd locks itself in
	}
	dir := t.TempDir()
	s := &sshd{user: me.Username, trusted: filepath.Join(dir, "ca"), log: filepath.Join(dir, "log")}
	s.hostKey = writeHostKey(t, filepath.Join(dir, "host"))
	config := filepath.Join(dir, "config")
	must(t, os.WriteFile(config, []byte(strings.Join([]string{
		"HostKey " + filepath.Join(dir, "host"), "TrustedUserCAKeys " + s.trusted, "AuthorizedKeysFile none", "PidFile none",
		"AuthenticationMethods publickey", "PermitRootLogin prohibit-password", "UsePAM no", "StrictModes no", "LogLevel VERBOSE",
	}, "\n")+"\n"), 0o600))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.address = listener.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.serve(t, conn, program, config) })
		}
	})
	t.Cleanup(func() {
		must(t, listener.Close())
		serving.Wait()
	})
	return s
}

// serve hands a connection to an sshd, and waits for its end.
func (s *sshd) serve(t *testing.T, conn net.Conn, program, config string) {
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Error(err)
		return
	}
	cmd := exec.Command(program, "-i", "-f", config, "-E", s.log)
	cmd.Stdin, cmd.Stdout = file, file
	err = cmd.Start()
	file.Close()
	conn.Close()
	if err != nil {
		t.Error(err)
		return
	}
	_ = cmd.Wait() // 255 for whom it hasn't let in
}

func writeHostKey(t *testing.T, path string) ssh.PublicKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	must(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	signer, err := ssh.NewSignerFromKey(private)
	must(t, err)
	return signer.PublicKey()
}

// trust writes the file of trusted keys, as GET /ca gives them.
func (s *sshd) trust(t *testing.T, trusted ...ssh.PublicKey) {
	t.Helper()
	var text []byte
	for _, key := range trusted {
		line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
		text = append(text, line+" sallyport-ca-0198 until 2026-11-24T12:00:00Z\n"...)
	}
	must(t, os.WriteFile(s.trusted, text, 0o644))
}

// login runs a command as a user, and tells whether that was allowed.
func (s *sshd) login(t *testing.T, user string, signers []ssh.Signer) bool {
	t.Helper()
	client, err := ssh.Dial("tcp", s.address, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)}, HostKeyCallback: ssh.FixedHostKey(s.hostKey), Timeout: 10 * time.Second,
	})
	if err != nil {
		if !strings.Contains(err.Error(), "unable to authenticate") {
			t.Errorf("login as %s: %v\n%s", user, err, s.logged(t))
		}
		return false
	}
	defer client.Close()
	session, err := client.NewSession()
	must(t, err)
	out, err := session.Output("echo in")
	if err != nil || string(out) != "in\n" {
		t.Errorf("a command: %q, %v\n%s", out, err, s.logged(t))
	}
	return true
}

func (s *sshd) logged(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.log)
	must(t, err)
	return string(text)
}

// TestOpenSSHTakesCertificates: who is let in by a real server, and who isn't.
func TestOpenSSHTakesCertificates(t *testing.T) {
	s := startSSHD(t)
	a := newAuthority(t, time.Now())
	old := a.public(t)
	s.trust(t, old...)
	own := a.grant(s.user)
	want := func(what string, ok bool, signers []ssh.Signer) {
		t.Helper()
		if got := s.login(t, s.user, signers); got != ok {
			t.Errorf("%s: let in is %v, want %v\n%s", what, got, ok, s.logged(t))
		}
	}
	want("its own user", true, a.certify(t, own))
	if log := s.logged(t); !strings.Contains(log, "sallyport org/"+a.org+" workspace/"+own.WorkspaceID+" exec/"+own.ExecID) {
		t.Errorf("the log doesn't say what for:\n%s", log)
	}
	want("another user", false, a.certify(t, a.grant("somebody")))
	neighbour := &authority{CA: a.CA, db: a.db, org: addOrg(t, a.db, "neighbour")}
	want("another organisation's CA", false, neighbour.certify(t, neighbour.grant(s.user)))
	for _, c := range []struct {
		what string
		off  time.Duration // how far our clock is off the machine's
		ok   bool
	}{
		{"a machine whose clock is behind", 50 * time.Second, true},
		{"not yet valid", 70 * time.Second, false},
		{"just valid", -290 * time.Second, true},
		{"expired", -301 * time.Second, false},
	} {
		a.now = time.Now().Add(c.off)
		want(c.what, c.ok, a.certify(t, own))
	}

	// Within an overlap every machine lets in, whichever keys it knows.
	a.now = time.Now()
	a.rotate(t, time.Hour)
	for range 2 {
		a.rotate(t, time.Hour) // as many as there can be
	}
	both := a.public(t)
	within := a.certify(t, own)
	want("knows the old key, within the overlap", true, within)
	s.trust(t, both...)
	want("knows all keys", true, within)
	s.trust(t, both[0])
	want("knows the new key", true, within)
	a.rotate(t, 0)
	s.trust(t, both...)
	want("knows keys that have been ended at once", false, a.certify(t, own))
	s.trust(t, a.public(t)...)
	want("has learnt the new one", true, a.certify(t, own))

	// After it, those that know the new key.
	b := newAuthority(t, time.Now().Add(-2*time.Hour))
	old = b.public(t)
	b.rotate(t, time.Hour)
	b.now = time.Now()
	s.trust(t, old...)
	want("knows the old key, after the overlap", false, b.certify(t, b.grant(s.user)))
	s.trust(t, b.public(t)...)
	want("knows the new key, after the overlap", true, b.certify(t, b.grant(s.user)))
}

// A certificate brings port forwarding and terminals, and no agent forwarding.
func TestOpenSSHGrantsNoMore(t *testing.T) {
	s := startSSHD(t)
	a := newAuthority(t, time.Now())
	s.trust(t, a.public(t)...)
	client, err := ssh.Dial("tcp", s.address, &ssh.ClientConfig{
		User: s.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(a.certify(t, a.grant(s.user))...)},
		HostKeyCallback: ssh.FixedHostKey(s.hostKey),
	})
	must(t, err)
	defer client.Close()
	conn, err := client.Dial("tcp", s.address)
	must(t, err)
	conn.Close()
	session, err := client.NewSession()
	must(t, err)
	defer session.Close()
	must(t, session.RequestPty("xterm", 24, 80, ssh.TerminalModes{}))
	if ok, err := session.SendRequest("auth-agent-req@openssh.com", true, nil); ok || err != nil {
		t.Errorf("it forwards an agent: %v", err)
	}
}
