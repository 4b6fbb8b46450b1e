// Package forwards holds forwards as people use them: the command line beside a server, and
// real programs whose connections it carries.
package forwards

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/cli"
	_ "sallyport/test/apart"
	"sallyport/test/loopback"
	"sallyport/test/pg"
	"sallyport/test/program"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// TestMain is the program itself where it is called by its name.
func TestMain(m *testing.M) {
	if program.IsCalled() {
		os.Exit(cli.Run(context.Background(), cli.Program{
			Version: "test", Args: os.Args[1:], Env: os.LookupEnv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		}))
	}
	goleak.VerifyTestMain(pg.Main(m))
}

// machine is a workspace, and how to ask for it.
type machine struct {
	url, token string
	// workspace is its name.
	workspace string
	// sshd is nil for the embedded host.
	sshd *sshd.Server
}

// embedded is a server and a workspace on its own machine.
func embedded(t testing.TB) *machine {
	s := stack.Start(t, stack.Options{})
	m := &machine{url: s.URL, token: s.Token, workspace: "here"}
	m.create(t, s, sallyport.Connector{Type: sallyport.ConnectorLocal})
	return m
}

// openSSH is a server and a workspace on a machine with a real sshd.
func openSSH(t testing.TB, config ...string) *machine {
	s := stack.Start(t, stack.Options{})
	ca := filepath.Join(t.TempDir(), "ca.pub")
	must(t, os.WriteFile(ca, []byte(s.Do(t, http.MethodGet, "/ca", s.Token, "").Body), 0o644))
	server := sshd.Start(t, sshd.Options{Config: append(config, "TrustedUserCAKeys "+ca, "AllowTcpForwarding yes")})
	m := &machine{url: s.URL, token: s.Token, workspace: "there", sshd: server}
	host, port, err := net.SplitHostPort(server.Addr)
	must(t, err)
	c := sallyport.Connector{Type: sallyport.ConnectorSSH, Host: host, User: server.User, TrustOnFirstUse: true}
	_, err = fmt.Sscan(port, &c.Port)
	must(t, err)
	m.create(t, s, c)
	return m
}

func (m *machine) create(t testing.TB, s *stack.Stack, c sallyport.Connector) {
	t.Helper()
	body, err := json.Marshal(sallyport.WorkspaceCreate{Name: m.workspace, Tier: 4, Connector: &c})
	must(t, err)
	if a := s.Do(t, http.MethodPost, "/workspaces", m.token, string(body)); a.Status != http.StatusCreated {
		t.Fatalf("workspace: %d %s", a.Status, a.Body)
	}
}

// each runs test on both kinds of machine.
func each(t *testing.T, test func(*testing.T, *machine)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, embedded(t))
	})
	t.Run("openssh", func(t *testing.T) {
		t.Parallel()
		test(t, openSSH(t))
	})
}

// run runs a command, with a signal channel that may be nil.
func (m *machine) run(ctx context.Context, signals <-chan os.Signal, stdout, stderr io.Writer, args ...string) int {
	env := map[string]string{"SALLYPORT_URL": m.url, "SALLYPORT_TOKEN": m.token}
	return cli.Run(ctx, cli.Program{
		Args: args, Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr, Signals: signals,
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
}

// says runs a command, and wants its exit code.
func (m *machine) says(t testing.TB, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := m.run(t.Context(), nil, &out, &errs, args...); got != code {
		t.Fatalf("%q: exit code %d, want %d: %s%s", args, got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

// forwarding is `sallyport forward`, as it runs.
type forwarding struct {
	// local are the ports here, 127.0.0.1:PORT.
	local  []string
	stderr *stack.Log
	stop   func() int
}

// forward starts `sallyport forward` for targets, each at a port that is free. It ends with
// its test, by Ctrl-C.
func (m *machine) forward(t testing.TB, targets ...string) *forwarding {
	t.Helper()
	args := []string{"forward", "--json", m.workspace}
	for _, target := range targets {
		args = append(args, ":"+target)
	}
	f := &forwarding{stderr: &stack.Log{}}
	signals := make(chan os.Signal, 1)
	lines, stdout := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- m.run(context.Background(), signals, stdout, f.stderr, args...)
		stdout.Close()
	}()
	f.stop = sync.OnceValue(func() int {
		signals <- syscall.SIGINT
		return <-code
	})
	t.Cleanup(func() {
		if code := f.stop(); code != 0 {
			t.Errorf("forward: exit code %d: %s", code, f.stderr)
		}
	})
	scanner := bufio.NewScanner(lines)
	for range targets {
		if !scanner.Scan() {
			t.Fatalf("forward: %s", f.stderr)
		}
		var said struct{ Local string }
		must(t, json.Unmarshal(scanner.Bytes(), &said))
		f.local = append(f.local, said.Local)
	}
	return f
}

// listen serves each connection to a port of loopback, and returns its number.
func listen(t testing.TB, serve func(*net.TCPConn)) (port string) {
	t.Helper()
	return strconv.Itoa(loopback.Serve(t, serve).Port)
}

// freeAddr is an address on which nobody listens yet, or any more.
func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := loopback.FreeAddr()
	must(t, err)
	return addr
}

// echo sends back what comes, as it comes, and ends when its caller does.
func echo(conn *net.TCPConn) {
	_, _ = io.Copy(struct{ io.Writer }{conn}, conn)
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// exchange wants an echo of one word.
func exchange(t testing.TB, conn net.Conn) {
	t.Helper()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("hello"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
}

// rows are the forwards of the workspace, newest first, once all have ended.
func (m *machine) rows(t testing.TB) (rows []sallyport.Activity) {
	t.Helper()
	until(t, "all forwards have ended", func() bool {
		rows = m.newest(t)
		return !slices.ContainsFunc(rows, func(r sallyport.Activity) bool { return r.CompletedAt == nil })
	})
	return rows
}

func (m *machine) newest(t testing.TB) []sallyport.Activity {
	t.Helper()
	out, _ := m.says(t, 0, "activity", "--workspace", m.workspace, "--type", sallyport.ActivityForward, "--limit", "0", "--json")
	var list sallyport.List[sallyport.Activity]
	must(t, json.Unmarshal([]byte(out), &list))
	return list.Items
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
