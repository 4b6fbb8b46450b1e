package forwards

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/program"
)

// until waits for a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("it never was: %s", what)
		}
	}
}

// wasReset wants the end of a connection to be none that a program takes for one.
func wasReset(t testing.TB, conn net.Conn) {
	t.Helper()
	n, err := io.Copy(io.Discard, conn)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d bytes, then %v, want a reset", n, err)
	}
}

// isReset wants a connection to addr to be reset, which it may be before it is made.
func isReset(t testing.TB, addr string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	must(t, err)
	defer conn.Close()
	wasReset(t, conn)
}

// Two hundred connections at once, each of which needs the half-close: all is sent, then writing
// ends, then the answer is read.
func TestManyHalfClosed(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		const many, size = 200, 50_000
		port := listen(t, func(conn *net.TCPConn) {
			sum := sha256.New()
			if _, err := io.Copy(sum, conn); err == nil {
				fmt.Fprintf(conn, "%x", sum.Sum(nil))
			}
		})
		f := m.forward(t, port)
		var all sync.WaitGroup
		for i := range many {
			conn := dial(t, f.local[0]) // all are open before the first is done
			all.Go(func() {
				content := make([]byte, size)
				_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(content) // it has no errors
				if _, err := conn.Write(content); err != nil {
					t.Error(err)
				}
				if err := conn.CloseWrite(); err != nil {
					t.Error(err)
				}
				answer, err := io.ReadAll(conn)
				if want := fmt.Sprintf("%x", sha256.Sum256(content)); err != nil || string(answer) != want {
					t.Errorf("%d: %q, %v", i, answer, err)
				}
				conn.Close()
			})
		}
		all.Wait()
		if code, text := f.stop(), f.stderr.String(); code != 0 || text != "" {
			t.Errorf("exit code %d: %s", code, text)
		}
		rows := m.rows(t)
		if len(rows) != many {
			t.Errorf("%d rows, want %d", len(rows), many)
		}
		for _, row := range rows {
			if row.Status != sallyport.StatusOK || *row.InputBytes != size || *row.OutputBytes != 2*sha256.Size {
				t.Errorf("row %+v", row)
			}
		}
	})
}

// What can't be forwarded is reset and said, and the port stays: it works once something
// listens at the target.
func TestNothingListens(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		address := freeAddr(t)
		_, port, err := net.SplitHostPort(address)
		must(t, err)
		f := m.forward(t, port)
		isReset(t, f.local[0])
		until(t, "the refusal on stderr", func() bool { return strings.Contains(f.stderr.String(), "hint: does something listen there?") })
		l, err := net.Listen("tcp", address)
		must(t, err)
		defer l.Close()
		conn := dial(t, f.local[0])
		there, err := l.Accept()
		must(t, err)
		var serving sync.WaitGroup
		serving.Go(func() {
			echo(there.(*net.TCPConn))
			there.Close()
		})
		exchange(t, conn)
		conn.Close()
		serving.Wait()
	})
}

// ps shows a forward, kill ends it, and both of its ends are reset.
func TestKill(t *testing.T) {
	t.Parallel()
	m := openSSH(t)
	port := listen(t, echo)
	f := m.forward(t, port)
	conn := dial(t, f.local[0])
	exchange(t, conn)
	out, _ := m.says(t, 0, "ps", m.workspace, "--json")
	var list sallyport.List[sallyport.Activity]
	must(t, json.Unmarshal([]byte(out), &list))
	if len(list.Items) != 1 || list.Items[0].Target != "127.0.0.1:"+port || list.Items[0].Type != sallyport.ActivityForward {
		t.Fatalf("ps: %s", out)
	}
	id := list.Items[0].ID
	if out, _ := m.says(t, 0, "ps"); !strings.Contains(out, " forward ") || !strings.Contains(out, "127.0.0.1:"+port) {
		t.Errorf("ps:\n%s", out)
	}
	if out, _ := m.says(t, 0, "kill", m.workspace, id[:len(id)-1]); out != id+" ended\n" {
		t.Errorf("kill: %q", out)
	}
	wasReset(t, conn)
	until(t, "the end on stderr", func() bool { return strings.Contains(f.stderr.String(), "sallyport: forward to 127.0.0.1:"+port) })
	if row := m.rows(t)[0]; row.Status != sallyport.StatusCanceled || row.Reason != "killed" {
		t.Errorf("row %+v", row)
	}
	if out, _ := m.says(t, 0, "ps", m.workspace, "--json"); out != `{"items":[]}`+"\n" {
		t.Errorf("ps: %s", out)
	}
}

// Ctrl-C resets what is open, and is no failure.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	m := embedded(t)
	f := m.forward(t, listen(t, echo))
	conn := dial(t, f.local[0])
	exchange(t, conn)
	if code := f.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	wasReset(t, conn)
	if text := f.stderr.String(); text != "" {
		t.Errorf("stderr: %s", text)
	}
}

// All ports or none, and why, before anything listens.
func TestAllOrNone(t *testing.T) {
	t.Parallel()
	m := embedded(t)
	taken := listen(t, echo)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"forward", m.workspace, ":80", "192.0.2.7:80"}, "192.0.2.7:80"},
		{[]string{"forward", "nowhere", ":80"}, "nowhere"},
		{[]string{"forward", m.workspace, ":80", taken + ":80"}, "address already in use"},
	} {
		out, errs := m.says(t, 1, test.args...)
		if out != "" || !strings.Contains(errs, test.want) {
			t.Errorf("%q: %q, %s", test.args, out, errs)
		}
	}
	m.says(t, 0, "workspaces", "update", "--forward-allow", "none", m.workspace)
	if _, errs := m.says(t, 1, "forward", m.workspace, ":80"); !strings.Contains(errs, "--forward-allow") {
		t.Errorf("stderr: %s", errs)
	}
}

// A server that is killed resets what it carried, whose row is interrupted. Once it is back, so
// are the ports.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	address, dir := freeAddr(t), t.TempDir()
	server := program.Start(t, dir, address)
	m := &machine{url: server.URL, workspace: "local"}
	token, err := client.New(server.URL, server.Token).CreateToken(t.Context(), client.Owner{}, sallyport.TokenCreate{
		Name: "forwards", Scopes: []sallyport.Scope{sallyport.ScopeForward},
	})
	must(t, err)
	m.token = token.Secret // it outlives the server, whose own don't
	f := m.forward(t, listen(t, echo))
	conn := dial(t, f.local[0])
	exchange(t, conn)
	server.Kill()
	wasReset(t, conn)
	isReset(t, f.local[0])
	until(t, "the failure on stderr", func() bool { return strings.Contains(f.stderr.String(), "hint: is the server running?") })
	back := program.Start(t, dir, address)
	exchange(t, dial(t, f.local[0]))
	m.token = back.Token // which may see rows
	rows := m.newest(t)
	if first := rows[len(rows)-1]; first.Status != sallyport.StatusInterrupted || first.CompletedAt == nil || first.InputBytes != nil {
		t.Errorf("the row of what the server carried when it was killed: %+v", first)
	}
}
