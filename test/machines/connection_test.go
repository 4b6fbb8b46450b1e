//go:build linux

package machines

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/faultproxy"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// connection reads how the machine is reached now.
func (m *machine) connection(t testing.TB) sallyport.Connection {
	t.Helper()
	c, err := m.client.GetConnection(t.Context(), m.name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// await waits until the machine's connection is in a state.
func (m *machine) await(t testing.TB, state string) sallyport.Connection {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		c := m.connection(t)
		if c.State == state {
			return c
		}
		select {
		case <-deadline:
			t.Fatalf("state %+v, want %s", c, state)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// An operator sees how the machine is reached, from nothing over work and a crash
// to work again.
func TestConnection(t *testing.T) {
	m := newMachine(t, stack.Start(t, stack.Options{}), sshd.Options{})
	if c := m.connection(t); c != (sallyport.Connection{State: sallyport.StateNone, SessionsPerConnection: 5}) {
		t.Errorf("before the first exec: %+v", c)
	}
	began := time.Now().Add(-time.Second)
	running := make(chan error, 1)
	go func() {
		_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sleep", "60"}})
		running <- err
	}()
	await(t, "the command to run", func() bool { return len(m.sshd.Left()) > 0 })
	c := m.await(t, sallyport.StateConnected)
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(m.sshd.HostKey)))
	if c.Connections != 1 || c.Sessions != 1 || c.Since == nil || c.Since.Before(began) || c.HostKey != line ||
		c.HostKeyFingerprint != ssh.FingerprintSHA256(m.sshd.HostKey) || c.LastError != nil || c.NextDialAt != nil {
		t.Errorf("while a command runs: %+v", c)
	}
	m.sshd.Kill()
	var cut *sallyport.Error
	if err := <-running; !errors.As(err, &cut) || cut.Code != sallyport.CodeExecTransport || cut.Started == nil || !*cut.Started {
		t.Errorf("the command: %v", err)
	}
	if c = m.await(t, sallyport.StateNone); c.LastError == nil || c.HostKey != line {
		t.Errorf("after a crash: %+v", c)
	}
	for range 8 { // the pause grows
		_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
		var refused *sallyport.Error
		if !errors.As(err, &refused) || refused.Code != sallyport.CodeConnectFailed || refused.Reason != sallyport.ReasonDialFailed || *refused.Started {
			t.Fatalf("on a dead machine: %v", err)
		}
		if row := m.row(t); row.Code != sallyport.CodeConnectFailed || row.Reason != sallyport.ReasonDialFailed {
			t.Errorf("row %+v", row)
		}
		<-time.After(100 * time.Millisecond)
	}
	if c = m.connection(t); c.LastError == nil || c.LastError.Code != sallyport.CodeConnectFailed || c.LastError.Message == "" || c.LastError.At.Before(began) {
		t.Errorf("of a dead machine: %+v", c)
	}
	m.sshd.Restart(t)
	await(t, "the machine to be used again", func() bool { _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); return err == nil })
	if c = m.await(t, sallyport.StateIdle); c.Connections != 1 || c.NextDialAt != nil || c.LastError == nil {
		t.Errorf("when it is back: %+v", c)
	}
}

// Wherever the first connection breaks, a command runs once or not at all, and what
// its caller is told is so: an end that is its own, or started or not.
func TestNeverTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("goes through many breaks")
	}
	t.Parallel()
	m := newMachine(t, stack.Start(t, stack.Options{}), sshd.Options{})
	proxy := faultproxy.Start(t, m.sshd.Addr, faultproxy.Faults{})
	m.name = "proxied"
	m.create(t, m.connector(t, proxy.Addr))
	file := filepath.Join(m.sshd.Home, "ran")
	retried := 0
	for n := int64(1800); n < 4200; n += 97 { // from the login to the command's end
		for name, f := range map[string]faultproxy.Faults{"up": {CutUpAfter: n, Once: true}, "down": {CutDownAfter: n, Once: true, Reset: n%2 == 0}} {
			await(t, "the machine to be used again", func() bool {
				_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"rm", "-f", "ran"}})
				return err == nil
			})
			proxy.Cut(false)
			m.await(t, sallyport.StateNone)
			before := proxy.Accepted()
			proxy.Set(f)
			out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", "echo x >>ran; echo done"}})
			proxy.Set(faultproxy.Faults{})
			ran, _ := os.ReadFile(file)
			what := fmt.Sprintf("cut %s after %d: %v, ran %q", name, n, err, ran)
			var known *sallyport.Error
			switch {
			case string(ran) != "" && string(ran) != "x\n":
				t.Error("twice: ", what)
			case err == nil && (string(ran) != "x\n" || out.stdout.String() != "done\n"):
				t.Error("it did not run well: ", what)
			case err == nil:
				if proxy.Accepted() > before+1 {
					retried++
				}
			case !errors.As(err, &known) || known.Started == nil:
				t.Error("nobody says whether it started: ", what)
			case !*known.Started && len(ran) > 0:
				t.Error("it started: ", what)
			}
		}
	}
	t.Logf("%d acts went over a second connection", retried)
}
