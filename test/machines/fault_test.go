//go:build linux

package machines

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/faultproxy"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// broken is a machine to break: an sshd, and a proxy before it.
type broken struct {
	*machine
	proxy *faultproxy.Proxy
	file  string // a line for each time that the command ran
}

// fault is a row of TestFaults.
type fault struct {
	name string
	// warm: there is a connection before the fault.
	warm bool
	// before breaks it before the exec, during once the command has said something.
	before, during func(t *testing.T, b *broken)
	code           sallyport.Code
	reason         string
	started        bool
	unsent         bool // or it has not started for sure
	// heal mends it, after which an exec goes well; nil is that nothing does.
	heal func(t *testing.T, b *broken)
}

func kill(_ *testing.T, b *broken)    { b.sshd.Kill() }
func restart(t *testing.T, b *broken) { b.sshd.Restart(t) }
func stop(_ *testing.T, b *broken)    { b.sshd.Stop() }
func cont(_ *testing.T, b *broken)    { b.sshd.Cont() }

// set has the proxy do something from now on.
func set(f faultproxy.Faults) func(*testing.T, *broken) {
	return func(_ *testing.T, b *broken) { b.proxy.Set(f) }
}

// at aims the workspace elsewhere.
func at(connector string) func(*testing.T, *broken) {
	return func(t *testing.T, b *broken) { b.patch(t, `{"connector":{`+connector+`}}`) }
}

func (b *broken) patch(t *testing.T, body string) {
	t.Helper()
	if a := b.Do(t, http.MethodPatch, "/workspaces/"+b.name, b.Token, body); a.Status != http.StatusOK {
		t.Fatalf("patch: %d %s", a.Status, a.Body)
	}
}

// answering aims the workspace at a server that does something with each connection.
func answering(serve func(net.Conn)) func(*testing.T, *broken) {
	return func(t *testing.T, b *broken) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				all.Go(func() {
					defer conn.Close()
					serve(conn)
				})
			}
		})
		t.Cleanup(func() {
			l.Close()
			all.Wait()
		})
		_, port, _ := strings.Cut(l.Addr().String(), ":")
		b.patch(t, `{"connector":{"port":`+port+`}}`)
	}
}

func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// drip says a letter a tenth of a second, and never a whole line.
func drip(conn net.Conn) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := conn.Write([]byte("x")); err != nil {
			return
		}
	}
}

func speakHTTP(conn net.Conn) {
	_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
}

func faults() []fault {
	cut := func(n int64) faultproxy.Faults { return faultproxy.Faults{CutDownAfter: n, Reset: true} }
	none := set(faultproxy.Faults{})
	home := func(t *testing.T, b *broken) {
		_, port, _ := strings.Cut(b.proxy.Addr, ":")
		b.patch(t, `{"connector":{"host":"127.0.0.1","port":`+port+`}}`)
	}
	return []fault{
		{name: "killed before, cold", before: kill, code: "connect_failed", reason: "no_banner", heal: restart},
		{name: "killed before, warm", warm: true, before: kill, code: "connect_failed", reason: "no_banner", heal: restart},
		{name: "killed during", during: kill, code: "exec_transport", started: true, heal: restart},
		{name: "stopped before, cold", before: stop, code: "connect_timeout", reason: "no_banner", heal: cont},
		// What was sent may run when the machine goes on: nobody knows. Where it has not taken the
		// request, nothing was sent.
		{name: "stopped before, warm", warm: true, before: stop, code: "connect_timeout", started: true, unsent: true, heal: cont},
		{name: "stopped during", during: stop, code: "exec_transport", started: true, heal: cont},
		{name: "everything lost during", during: set(faultproxy.Faults{Blackhole: true}), code: "exec_transport", started: true, heal: none},
		{name: "reset in the banner", before: set(cut(5)), code: "connect_failed", reason: "handshake_failed", heal: none},
		{name: "reset in the key exchange", before: set(cut(400)), code: "connect_failed", reason: "handshake_failed", heal: none},
		{name: "reset in the login", before: set(cut(2000)), code: "connect_failed", reason: "handshake_failed", heal: none},
		{name: "reset in the output", during: func(_ *testing.T, b *broken) { b.proxy.Cut(true) }, code: "exec_transport", started: true, heal: none},
		{name: "hung up on in the output", during: func(_ *testing.T, b *broken) { b.proxy.Cut(false) }, code: "exec_transport", started: true, heal: none},
		{name: "says nothing", before: answering(silent), code: "connect_timeout", reason: "no_banner", heal: home},
		{name: "a byte now and then", before: answering(drip), code: "connect_timeout", reason: "no_banner", heal: home},
		{name: "a byte now and then from sshd", before: set(faultproxy.Faults{Drip: 50 * time.Millisecond}), code: "connect_timeout", reason: "handshake_failed", heal: none},
		{name: "no SSH server", before: answering(speakHTTP), code: "connect_failed", reason: "no_banner", heal: home},
		{name: "nobody listens", before: at(`"port":1`), code: "connect_failed", reason: "dial_failed", heal: home},
		{name: "no such name", before: at(`"host":"no-such-host.invalid"`), code: "connect_failed", reason: "name_not_found", heal: home},
		{name: "the metadata service", before: at(`"host":"169.254.169.254"`), code: "connect_failed", reason: "address_forbidden", heal: home},
		{name: "the metadata service over IPv6", before: at(`"host":"fd00:ec2::254"`), code: "connect_failed", reason: "address_forbidden", heal: home},
		{name: "no address", before: at(`"host":"0.0.0.0"`), code: "connect_failed", reason: "address_forbidden", heal: home},
		{name: "another user", before: at(`"user":"nobody-here"`), code: "connect_failed", reason: "auth_failed",
			heal: func(t *testing.T, b *broken) { b.patch(t, `{"connector":{"user":"`+b.sshd.User+`"}}`) }},
		{name: "another host key", warm: true, code: "host_key_mismatch",
			before: func(t *testing.T, b *broken) {
				b.patch(t, `{"connector":{"host_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEKjzmQXC2pFoBhTmtbmuNMNx5rvL6g7fTEPjYWwA6lO"}}`)
			},
			heal: at(`"host_key":null`)},
	}
}

// Whatever breaks ends its exec in bounded time, with the code that says what happened,
// and whether the command had started; there is one row; nothing is left; another
// machine never notices; and the command has run once at most.
func TestFaults(t *testing.T) {
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": "2s"}})
	other := newMachine(t, s, sshd.Options{})
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t, s)
			if f.warm {
				b.mustRun(t)
			}
			b.fail(t, f) // within the time-out of its exec, a minute, which would have another code
			if out, err := other.exec(t.Context(), client.Exec{Cmd: []string{"echo", "well"}}); err != nil || out.stdout.String() != "well\n" {
				t.Errorf("another machine: %s", quote(err))
			}
			f.heal(t, b)
			await(t, "the machine to be reached again", func() bool {
				_, err := b.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
				return err == nil
			})
			await(t, "what its sessions left to be gone", func() bool { return len(b.sshd.Left()) == 0 })
			var state sallyport.Connection
			await(t, "the sessions to be over", func() bool {
				b.Do(t, http.MethodGet, "/workspaces/"+b.name+"/connection", b.Token, "").Decode(t, &state)
				return state.Sessions == 0 && state.Waiting == 0
			})
			text, err := os.ReadFile(b.file)
			if ran := strings.Count(string(text), "\n"); err != nil && !errors.Is(err, os.ErrNotExist) || ran > 1 || ran == 1 && !f.started {
				t.Errorf("the command ran %d times, %v", ran, err)
			}
		})
	}
}

func newBroken(t *testing.T, s *stack.Stack) *broken {
	t.Helper()
	b := &broken{machine: newMachine(t, s, sshd.Options{})}
	b.proxy = faultproxy.Start(t, b.sshd.Addr, faultproxy.Faults{})
	b.file = filepath.Join(b.sshd.Home, "ran")
	b.name += "-far"
	b.create(t, b.connector(t, b.proxy.Addr))
	return b
}

func (b *broken) mustRun(t *testing.T) {
	t.Helper()
	if out, err := b.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil || out.ExitCode != 0 {
		t.Fatalf("before the fault: %s", quote(err))
	}
}

// fail runs a command into the fault, and looks at what is said of it.
func (b *broken) fail(t *testing.T, f fault) {
	t.Helper()
	if f.before != nil {
		f.before(t, b)
	}
	before := b.rows(t)
	during := sync.OnceFunc(func() {
		if f.during != nil {
			f.during(t, b)
		}
	})
	_, err := b.exec(t.Context(), client.Exec{
		Cmd: []string{"sh", "-c", `echo ran >>"$1"; while :; do echo output; sleep 0.1; done`, "-", b.file}, Timeout: time.Minute,
		Stdout: writerFunc(func(p []byte) (int, error) { during(); return len(p), nil }),
	})
	var known *sallyport.Error
	if !errors.As(err, &known) || known.Code != f.code || known.Reason != f.reason || known.Started == nil || *known.Started != f.started && !f.unsent {
		t.Errorf("got %s, want %s (%s), started %t", quote(err), f.code, f.reason, f.started)
	}
	rows := b.rows(t)
	if len(rows) != len(before)+1 {
		t.Fatalf("%d rows for one exec", len(rows)-len(before))
	}
	if row := rows[0]; row.Status != "error" || row.Code != f.code || row.Reason != f.reason {
		t.Errorf("row %s %s (%s)", row.Status, row.Code, row.Reason)
	}
}

func (b *broken) rows(t *testing.T) []sallyport.Activity {
	t.Helper()
	var page sallyport.List[sallyport.Activity]
	b.Do(t, http.MethodGet, "/workspaces/"+b.name+"/activity?type=workspace_exec&limit=500", b.Token, "").Decode(t, &page)
	return page.Items
}

// An sshd that drops connections which have not logged in yet (MaxStartups) fails some
// execs that come at once, with a code that says so, and loses none.
func TestMaxStartups(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{MaxStartups: "1:100:1"})
	names := []string{m.name}
	for i := range 11 {
		m.name = fmt.Sprintf("%s-%d", names[0], i)
		m.create(t, m.connector(t, m.sshd.Addr))
		names = append(names, m.name)
	}
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			own := *m
			own.name = name
			_, err := own.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
			var known *sallyport.Error
			if err != nil && (!errors.As(err, &known) || known.Code != sallyport.CodeConnectFailed || known.Reason != sallyport.ReasonNoBanner) {
				t.Errorf("%s: %s", name, quote(err))
			}
			if row := own.row(t); (row.Status == "ok") != (err == nil) {
				t.Errorf("%s: row %s, and %v", name, row.Status, err)
			}
		})
	}
	all.Wait()
}
