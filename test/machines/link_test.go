//go:build linux

package machines

import (
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/faultproxy"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// behind makes the machine another workspace, that is reached through a proxy.
func (m *machine) behind(t testing.TB, f faultproxy.Faults) *faultproxy.Proxy {
	t.Helper()
	p := faultproxy.Start(t, m.sshd.Addr, f)
	m.name += "-p"
	m.create(t, m.connector(t, p.Addr))
	return p
}

// Over a long link with its window full, not a byte of the command's own is lost when
// a child holds the output open, and the child doesn't hold the exec.
func TestLongLink(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	m.behind(t, faultproxy.Faults{Delay: 150 * time.Millisecond})
	const bytes = 6_000_000 // of a window of 2 MiB
	out, err := m.exec(t.Context(), client.Exec{
		Cmd:            []string{"/bin/sh", "-c", "sleep 600 & head -c 6000000 /dev/zero; echo end >&2; exit 3"},
		MaxOutputBytes: 1 << 30,
	})
	if err != nil || out.ExitCode != 3 || !out.OutputOpen || len(out.stdout.b) != bytes || out.stderr.String() != "end\n" {
		t.Errorf("%v, %+v, %d bytes, stderr %q", err, out.ExecDone, len(out.stdout.b), out.stderr.String())
	}
}

// A connection that breaks tells whether the command had started, and is not used
// again; no exec runs twice.
func TestConnectionBreaks(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	p := m.behind(t, faultproxy.Faults{})
	for _, reset := range []bool{false, true} {
		started := false
		_, err := m.exec(t.Context(), client.Exec{
			Cmd: []string{"/bin/sh", "-c", "echo up; sleep 600"},
			Stdout: writerFunc(func(b []byte) (int, error) {
				started = true
				p.Cut(reset)
				return len(b), nil
			}),
		})
		if sallyport.CodeOf(err) != sallyport.CodeExecTransport || !strings.Contains(quote(err), `"started":true`) || !started {
			t.Errorf("got %s", quote(err))
		}
		if out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil || out.ExitCode != 0 {
			t.Errorf("the next one: %v", err)
		}
	}
	p.Set(faultproxy.Faults{Blackhole: true})
	p.Cut(false)
	m.await(t, sallyport.StateNone)
	began := time.Now()
	_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
	if code := sallyport.CodeOf(err); code != sallyport.CodeConnectTimeout || time.Since(began) > 30*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	m.sshd.Kill()
	p.Set(faultproxy.Faults{})
	await(t, "the machine to be known as dead", func() bool { // for a while its callers are told what was told last
		_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
		return sallyport.CodeOf(err) == sallyport.CodeConnectFailed
	})
	m.sshd.Restart(t)
	await(t, "the machine to be used again", func() bool {
		_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
		return err == nil
	})
}
