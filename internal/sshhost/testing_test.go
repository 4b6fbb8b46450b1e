package sshhost

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what ought to come at once.
const patience = 20 * time.Second

// bench is a host under test, and a client's key that it accepts.
type bench struct {
	*Host
	signer ssh.Signer
	home   string
}

// newBench starts a host with /bin/sh for a login shell. When the test ends it
// closes the host, and looks for what is left: goroutines, descriptors.
func newBench(t testing.TB, change ...func(*Config)) *bench {
	t.Helper()
	checkLeaks(t)
	signer := newSigner(t)
	cfg := Config{
		AuthorizedKeys: []ssh.PublicKey{signer.PublicKey()},
		User:           "worker",
		Home:           t.TempDir(),
		Shell:          "/bin/sh",
	}
	for _, f := range change {
		f(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return &bench{Host: h, signer: signer, home: cfg.Home}
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// connect serves one end of a socket pair and returns the other.
func (b *bench) connect(t testing.TB) net.Conn {
	t.Helper()
	ours, theirs := socketPair(t)
	served := make(chan struct{})
	go func() {
		defer close(served)
		b.Serve(context.Background(), theirs)
	}()
	t.Cleanup(func() {
		ours.Close()
		await(t, served, "Serve to return")
	})
	return ours
}

// dial logs in as the host would have it.
func (b *bench) dial(t testing.TB) *ssh.Client {
	t.Helper()
	client, err := b.login(t, &ssh.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// login fills in what cfg leaves out.
func (b *bench) login(t testing.TB, cfg *ssh.ClientConfig) (*ssh.Client, error) {
	t.Helper()
	cfg.User = cmp.Or(cfg.User, b.User())
	cfg.HostKeyCallback = ssh.FixedHostKey(b.HostKey())
	if cfg.Auth == nil {
		cfg.Auth = []ssh.AuthMethod{ssh.PublicKeys(b.signer)}
	}
	conn, channels, requests, err := ssh.NewClientConn(b.connect(t), "bench", cfg)
	if err != nil {
		return nil, err
	}
	client := ssh.NewClient(conn, channels, requests)
	t.Cleanup(func() {
		client.Close()
		client.Wait()
	})
	return client, nil
}

func socketPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn := func(fd int) net.Conn {
		unix.CloseOnExec(fd)
		file := os.NewFile(uintptr(fd), "socketpair")
		defer file.Close()
		c, err := net.FileConn(file)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return conn(fds[0]), conn(fds[1])
}

// outcome is what became of a command.
type outcome struct {
	stdout, stderr string
	code           int    // -1 after a signal
	signal         string // "" after an exit
}

// run runs one command line with stdin.
func run(t testing.TB, client *ssh.Client, line, stdin string) outcome {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var stdout, stderr bytes.Buffer
	session.Stdin = strings.NewReader(stdin)
	session.Stdout, session.Stderr = &stdout, &stderr
	code, signal := exitOf(t, session.Run(line))
	return outcome{stdout.String(), stderr.String(), code, signal}
}

func exitOf(t testing.TB, err error) (code int, signal string) {
	t.Helper()
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, ""
	case !errors.As(err, &exit):
		t.Errorf("the command ended with %v", err)
		return -2, ""
	case exit.Signal() != "":
		return -1, exit.Signal()
	}
	return exit.ExitStatus(), ""
}

// await waits for done to close.
func await[T any](t testing.TB, done <-chan T, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

// eventually waits until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// checkLeaks compares goroutines and descriptors at the test's end, after all
// cleanups that are registered later, with those of now.
func checkLeaks(t testing.TB) {
	t.Helper()
	r, w, err := os.Pipe() // with the first the poller opens its own descriptors
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	before, descriptors := goleak.IgnoreCurrent(), countDescriptors(t)
	t.Cleanup(func() {
		goleak.VerifyNone(t, before)
		eventually(t, "descriptors to be closed", func() bool { return countDescriptors(t) <= descriptors })
	})
}

func countDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}
