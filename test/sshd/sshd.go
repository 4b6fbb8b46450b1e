// Package sshd runs a real OpenSSH server for a test: on loopback, on a port of
// its own, with its own configuration, host key and accounts. It never touches the
// system's. It needs Debian's openssh-server, and libnss-wrapper for accounts
// (scripts/setup installs both); a test is skipped without them, but not in CI.
package sshd

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
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

	"sallyport/internal/connector"
	_ "sallyport/test/apart"
	"sallyport/test/loopback"
)

// Options change a server from what OpenSSH is by default.
type Options struct {
	// User is whom one logs in as: Root, Ordinary, or empty for Ordinary. Where the
	// test isn't run by root it can only be the test's own account.
	User string
	// LoginShell is a name of Shells, or a path; empty is sh.
	LoginShell string
	// RC is what the login shell's start-up file holds, in its own language.
	RC string
	// MaxSessions is the sessions on a connection; 0 is OpenSSH's default, 10.
	MaxSessions int
	// MaxStartups is the connections that have not logged in; empty is 100, since
	// OpenSSH's own default, 10:30:100, drops some at random.
	MaxStartups string
	// Config are more lines of sshd_config. They come first, and the first counts.
	Config []string
	// WithoutSFTP leaves the subsystem sftp out.
	WithoutSFTP bool
	// HostKey is the server's; nil makes one.
	HostKey ed25519.PrivateKey
}

// Whom one can log in as.
const (
	Root     = "root"
	Ordinary = "worker"
)

// Server is a running sshd. Its methods are for one goroutine at a time, Dial
// and the fields for many. It ends with its test, and what its sessions left
// running does too.
type Server struct {
	// Addr is where it listens, 127.0.0.1:PORT.
	Addr string
	// User is whom to log in as, Home that account's directory, Shell its login shell.
	User, Home, Shell string
	// HostKey is what the server proves itself with.
	HostKey ssh.PublicKey
	// Signer may log in.
	Signer ssh.Signer

	dir  string
	mark string // stands in the environment of every session
	env  []string
	log  *lockedBuffer

	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts a server and waits until it listens.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	need(t, o)
	dir, err := os.MkdirTemp("", "sshd-") // not t.TempDir, which an ordinary user can't enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove sshd's directory: %v", err)
		}
	})
	s := &Server{dir: dir, mark: filepath.Base(dir), log: &lockedBuffer{}, Signer: signerOf(t, newKey(t))}
	s.writeHostKey(t, o.HostKey)
	s.makeAccount(t, o)
	s.Authorize(t, s.Signer.PublicKey())
	s.Addr = freeAddr(t)
	s.write(t, "sshd_config", s.config(o))
	t.Cleanup(s.end)
	s.run(t)
	return s
}

// need skips a test that this machine can't run.
func need(t testing.TB, o Options) {
	t.Helper()
	missing := ""
	if _, err := os.Stat(program); err != nil {
		missing = program
	}
	if _, err := os.Stat(shellPath(o.LoginShell)); err != nil {
		missing = "the login shell " + o.LoginShell
	}
	switch {
	case missing != "" && os.Getenv("CI") != "":
		t.Fatalf("%s is not installed: scripts/setup does it", missing)
	case missing != "":
		t.Skipf("%s is not installed: scripts/setup does it", missing)
	case o.User == Root && os.Getuid() != 0:
		t.Skip("only root can log in as root")
	}
}

const program = "/usr/sbin/sshd"

func (s *Server) config(o Options) string {
	var b strings.Builder
	for _, line := range o.Config {
		fmt.Fprintln(&b, line)
	}
	if o.MaxSessions > 0 {
		fmt.Fprintln(&b, "MaxSessions", o.MaxSessions)
	}
	fmt.Fprintln(&b, "MaxStartups", cmp.Or(o.MaxStartups, "100"))
	fmt.Fprintf(&b, `ListenAddress %s
HostKey %s
AuthorizedKeysFile %s
SetEnv SALLYPORT_TEST_SSHD=%s
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
AcceptEnv LANG LC_*
LogLevel VERBOSE
`, s.Addr, s.path("host_key"), s.path("authorized_keys"), s.mark)
	if !o.WithoutSFTP {
		fmt.Fprintln(&b, "Subsystem sftp internal-sftp")
	}
	return b.String()
}

// run starts sshd and waits until it says that it listens.
func (s *Server) run(t testing.TB) {
	t.Helper()
	before := s.log.Len()
	s.cmd = exec.Command(program, "-D", "-e", "-f", s.path("sshd_config"))
	s.cmd.Env, s.cmd.Stderr, s.cmd.Dir = s.env, s.log, "/"
	s.cmd.WaitDelay = time.Second // a session may hold the log open
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	cmd := s.cmd
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed, here or by the test
	}()
	deadline := time.After(20 * time.Second)
	for !strings.Contains(s.log.String()[before:], "Server listening on") {
		select {
		case <-ended:
			t.Fatalf("sshd ended:\n%s", s.log)
		case <-deadline:
			t.Fatalf("sshd doesn't listen:\n%s", s.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Dial opens a stream to the server with what it takes to log in, as a connector
// does; the link vouches for the server's key.
func (s *Server) Dial(ctx context.Context) (*connector.Link, error) {
	return s.DialAt(ctx, s.Addr)
}

// DialAt is Dial by another address, such as a proxy's.
func (s *Server) DialAt(ctx context.Context, addr string) (*connector.Link, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial sshd: %w", err)
	}
	return &connector.Link{
		Conn: conn, User: s.User, HostKey: s.HostKey,
		Signers: func(context.Context) ([]ssh.Signer, error) { return []ssh.Signer{s.Signer}, nil },
	}, nil
}

// ClientArgs are arguments of ssh, to stand before its others: the server's port and user, and a
// key of its own. It asks nobody, remembers nothing and reads no configuration.
func (s *Server) ClientArgs(t testing.TB) []string {
	t.Helper()
	private := newKey(t)
	s.Authorize(t, signerOf(t, private).PublicKey())
	file := filepath.Join(t.TempDir(), "key")
	writeKey(t, file, private)
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"-F", "none", "-i", file, "-p", port, "-l", s.User,
		"-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
	}
}

// Authorize lets more keys log in.
func (s *Server) Authorize(t testing.TB, keys ...ssh.PublicKey) {
	t.Helper()
	file, err := os.OpenFile(s.path("authorized_keys"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, key := range keys {
		if _, err := file.Write(ssh.MarshalAuthorizedKey(key)); err != nil {
			t.Fatal(err)
		}
	}
}

// Log is what sshd has said so far.
func (s *Server) Log() string { return s.log.String() }

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) writeHostKey(t testing.TB, private ed25519.PrivateKey) {
	t.Helper()
	if private == nil {
		private = newKey(t)
	}
	writeKey(t, s.path("host_key"), private)
	s.HostKey = signerOf(t, private).PublicKey()
}

func writeKey(t testing.TB, file string, private ed25519.PrivateKey) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func signerOf(t testing.TB, private ed25519.PrivateKey) ssh.Signer {
	t.Helper()
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := loopback.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// makeAccount writes the accounts that sshd sees in place of the system's.
func (s *Server) makeAccount(t testing.TB, o Options) {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.User, s.Shell = o.User, shellPath(o.LoginShell)
	if s.User == "" {
		s.User = Ordinary
	}
	uid, gid := os.Getuid(), os.Getgid()
	switch {
	case uid != 0:
		s.User = me.Username
	case s.User == Ordinary:
		uid, gid = ordinaryID, ordinaryID
	}
	s.Home = s.path("home")
	for _, make := range []func() error{
		func() error { return os.Chmod(s.dir, 0o755) },
		func() error { return os.Mkdir(s.Home, 0o755) },
		func() error { return writeRC(s.Home, s.Shell, o.RC) },
		func() error { return chown(s.Home, uid, gid) },
		makePrivsepDir,
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
	}
	s.write(t, "passwd", fmt.Sprintf("%s:*:%d:%d::%s:%s\nsshd:*:65534:65534::/run/sshd:/usr/sbin/nologin\n", s.User, uid, gid, s.Home, s.Shell))
	s.write(t, "group", fmt.Sprintf("%s:x:%d:\n", s.User, gid))
	s.env = []string{
		"PATH=" + os.Getenv("PATH"), "LD_PRELOAD=libnss_wrapper.so",
		"NSS_WRAPPER_PASSWD=" + s.path("passwd"), "NSS_WRAPPER_GROUP=" + s.path("group"),
	}
}

// ordinaryID is the number of the account Ordinary, which no system has.
const ordinaryID = 54321

// lockedBuffer collects what sshd says.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Len()
}
