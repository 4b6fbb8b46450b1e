package sshhost

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestLogin(t *testing.T) {
	b := newBench(t)
	other := ssh.PublicKeys(newSigner(t))
	password := ssh.Password("")
	for name, cfg := range map[string]*ssh.ClientConfig{
		"no key":           {Auth: []ssh.AuthMethod{}},
		"a password":       {Auth: []ssh.AuthMethod{password}},
		"another's key":    {Auth: []ssh.AuthMethod{other}},
		"another user":     {User: "root"},
		"user's prefix":    {User: "worke"},
		"a certificate":    {Auth: []ssh.AuthMethod{ssh.PublicKeys(selfSigned(t, b))}},
		"key and password": {Auth: []ssh.AuthMethod{other, password}},
	} {
		if _, err := b.login(t, cfg); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.login(t, &ssh.ClientConfig{Auth: []ssh.AuthMethod{ssh.PublicKeys(newSigner(t), b.signer)}}); err != nil {
		t.Errorf("the second key is the right one: %v", err)
	}
}

// selfSigned is a certificate for the accepted key by the key itself.
func selfSigned(t *testing.T, b *bench) ssh.Signer {
	t.Helper()
	cert := &ssh.Certificate{
		Key:             b.signer.PublicKey(),
		CertType:        ssh.UserCert,
		ValidPrincipals: []string{b.User()},
		ValidBefore:     ssh.CertTimeInfinity,
	}
	if err := cert.SignCert(strings.NewReader(strings.Repeat("x", 64)), b.signer); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(cert, b.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestNewRefuses(t *testing.T) {
	key := newSigner(t).PublicKey()
	good := Config{AuthorizedKeys: []ssh.PublicKey{key}, User: "u", Home: "/", Shell: "/bin/sh"}
	for name, change := range map[string]func(*Config){
		"no key":         func(c *Config) { c.AuthorizedKeys = nil },
		"a certificate":  func(c *Config) { c.AuthorizedKeys = []ssh.PublicKey{&ssh.Certificate{Key: key}} },
		"relative home":  func(c *Config) { c.Home = "home" },
		"relative shell": func(c *Config) { c.Shell = "sh" },
		"NUL in home":    func(c *Config) { c.Home = "/a\x00b" },
		"no name":        func(c *Config) { c.Env = []string{"=x"} },
		"no value":       func(c *Config) { c.Env = []string{"x"} },
		"NUL in value":   func(c *Config) { c.Env = []string{"x=\x00"} },
	} {
		cfg := good
		change(&cfg)
		if h, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
			h.Close()
		}
	}
}

// TestHandshakeTime: whoever says nothing is cut off after ten seconds.
func TestHandshakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ours, theirs := net.Pipe()
		begin := time.Now()
		go io.Copy(io.Discard, ours)
		b.Serve(context.Background(), theirs)
		if took := time.Since(begin); took != handshakeTimeMax {
			t.Errorf("cut off after %s", took)
		}
		ours.Close()
	})
}

// TestGarbage: bytes that are no SSH end their own connection.
func TestGarbage(t *testing.T) {
	b := newBench(t)
	for _, garbage := range []string{
		"\x00", "GET / HTTP/1.1\r\n\r\n", "SSH-1.5-old\r\n", "SSH-2.0-x\r\n\xff\xff\xff\xff",
		strings.Repeat("x", 1<<20), "SSH-2.0-x\r\n" + strings.Repeat("\x00", 1<<20),
	} {
		conn := b.connect(t)
		go func() {
			io.WriteString(conn, garbage)
			conn.(*net.UnixConn).CloseWrite()
		}()
		io.Copy(io.Discard, conn) // until the host has hung up
	}
	if got := run(t, b.dial(t), "echo serves", ""); got.stdout != "serves\n" {
		t.Errorf("%+v", got)
	}
}

// TestClose: running commands and all that is in their group are killed at
// once, whether their client is still there or not.
func TestClose(t *testing.T) {
	b := newBench(t)
	stays, goes := b.dial(t), b.dial(t)
	var pids []string
	for i, client := range []*ssh.Client{stays, goes, stays} {
		channel, _ := rawSession(t, client)
		start(t, channel, "trap '' HUP TERM INT; sleep 1000 & echo $! $$; wait")
		pids = append(pids, strings.Fields(readLine(t, channel))...)
		if i == 2 {
			channel.Close()
		}
	}
	goes.Close()
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() { b.Close() })
	}
	closers.Wait()
	for _, pid := range pids {
		awaitEnd(t, pid)
	}
	if err := stays.Wait(); err == nil {
		t.Error("the connection ended without an error")
	}
	conn := b.connect(t)
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("a closed host served %d bytes", n)
	}
}

// TestCloseLeavesBackground: what an ended command left behind is not touched.
func TestCloseLeavesBackground(t *testing.T) {
	b := newBench(t)
	fifo := mkfifo(t, b.home)
	got := run(t, b.dial(t), "(read x <fifo; echo $x >left) >/dev/null 2>&1 & exit 0", "")
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	b.Close()
	if err := os.WriteFile(fifo, []byte("alone\n"), 0); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, filepath.Join(b.home, "left"), "alone\n")
}

// awaitEnd waits until no process has the pid.
func awaitEnd(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of process "+pid, func() bool {
		return errors.Is(syscall.Kill(n, 0), syscall.ESRCH) || isZombie(n)
	})
}

// isZombie: orphans are reaped by whoever is init here, sooner or later.
func isZombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}
