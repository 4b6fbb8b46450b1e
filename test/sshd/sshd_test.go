package sshd_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	_ "sallyport/test/apart"
	"sallyport/test/sshd"
)

// login opens a connection of its own.
func login(t *testing.T, s *sshd.Server) *ssh.Client {
	t.Helper()
	link, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, chans, reqs, err := ssh.NewClientConn(link.Conn, "", &ssh.ClientConfig{
		User: link.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(s.Signer)}, HostKeyCallback: ssh.FixedHostKey(s.HostKey),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	client := ssh.NewClient(conn, chans, reqs)
	t.Cleanup(func() { client.Close() })
	return client
}

func run(t *testing.T, client *ssh.Client, line string) string {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	out, err := session.CombinedOutput(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return strings.TrimSpace(string(out))
}

// Each login shell is the account's own, at home, whoever it is, and has read its
// rc file.
func TestShells(t *testing.T) {
	for _, user := range []string{sshd.Root, sshd.Ordinary} {
		for _, shell := range sshd.Shells() {
			t.Run(user+" "+shell, func(t *testing.T) {
				s := sshd.Start(t, sshd.Options{User: user, LoginShell: shell, RC: "echo rc\n"})
				got := run(t, login(t, s), "id -u; pwd; echo $SHELL")
				uid := "54321"
				if user == sshd.Root || os.Getuid() != 0 {
					uid = strconv.Itoa(os.Getuid())
				}
				want := uid + "\n" + s.Home + "\n" + s.Shell
				if shell != "sh" && shell != "dash" {
					want = "rc\n" + want
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

// What a test does to a server is what it says.
func TestFaults(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	first := login(t, s)
	session, err := first.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.Start("exec sleep 1000"); err != nil {
		t.Fatal(err)
	}
	for len(s.Left()) != 1 {
		<-time.After(5 * time.Millisecond)
	}

	s.Stop()
	answered := make(chan string, 1)
	go func() {
		_, _, err := first.SendRequest("keepalive@openssh.com", true, nil)
		answered <- "answered, " + errText(err)
	}()
	select {
	case got := <-answered:
		t.Error("a stopped server ", got)
	case <-time.After(200 * time.Millisecond):
	}
	s.Cont()
	<-answered

	s.KillConnections()
	if first.Wait() == nil {
		t.Error("the connection ended well")
	}
	second := login(t, s)
	s.Kill()
	_ = second.Wait()
	if _, err := s.Dial(t.Context()); err == nil {
		t.Error("a dead server was reached")
	}
	s.Restart(t)
	run(t, login(t, s), "true")
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return "well"
}
