package detached_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/connector"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
	"sallyport/internal/remote/detached"
	"sallyport/internal/sshpool"
	"sallyport/test/sshd"
)

// pooled runs scripts as the gateway does: each in a session of a pool, behind its wrapper.
type pooled struct {
	pool   *sshpool.Pool
	dial   func(context.Context) (*connector.Link, error)
	execID string // of what it runs; empty is another each time
}

func (m pooled) Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error {
	s, err := m.pool.Open(ctx, sshpool.Target{Key: "machine"}, sshpool.Need{By: sshpool.Dialer{Dial: m.dial}})
	if err != nil {
		return err
	}
	p, err := remote.Start(ctx, s, remote.Command{
		Argv: argv, OpenStdin: true, ExecID: cmp.Or(m.execID, id.New()), Timeout: time.Minute, ConnectBy: time.Now().Add(limits.ConnectTime),
		OutputGrace: limits.FileOutputGrace, Gate: func() error { return nil }, Stdout: stdout, Stderr: io.Discard, Started: func(remote.Process) {},
	})
	if err != nil {
		return err
	}
	in := p.Stdin()
	_, _ = io.Copy(in, stdin)
	_ = in.Close()
	if o := p.Wait(); o.End != remote.Exited {
		return fmt.Errorf("the script did not run to its end: %+v", o)
	}
	return nil
}

// reached is an account of a real sshd, reached as the gateway does.
func reached(t testing.TB, o sshd.Options) (pooled, string) {
	t.Helper()
	server := sshd.Start(t, o)
	pool := &sshpool.Pool{}
	t.Cleanup(func() { pool.Close() })
	return pooled{pool: pool, dial: server.Dial}, server.Home
}

// The login shell is of no matter, nor what it reads and prints when it starts.
func TestLoginShells(t *testing.T) {
	for _, shell := range sshd.Shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m, home := reached(t, sshd.Options{LoginShell: shell, RC: "echo from the rc file\n"})
			p := place{Execs: detached.Execs{Machine: m}, home: home}
			c := command("/bin/sh", "-c", `cat; printf '<%s>' "$@"; exit 3`, "sh", "it's !", "a\nb", "$x `y` \\")
			c.Stdin = []byte("in\n")
			must(t, p.Start(t.Context(), c))
			if s := p.ended(t, c.ID); s.Phase != detached.Ended || s.ExitCode != 3 {
				t.Errorf("state %+v", s)
			}
			if got, want := p.kept(t, c.ID, "stdout"), "in\n<it's !><a\nb><$x `y` \\>"; got != want {
				t.Errorf("stdout %q, want %q", got, want)
			}
			s := command("sleep", "1000")
			must(t, p.Start(t.Context(), s))
			if sent, err := p.Signal(t.Context(), s.ID, "INT"); err != nil || !sent {
				t.Errorf("signal: %v, %v", sent, err)
			}
			if s := p.ended(t, s.ID); s.ExitCode != 130 || s.Signal != "INT" {
				t.Errorf("state %+v", s)
			}
		})
	}
}

// A session that has started a command is over: more are started than a connection has
// sessions. And the end by id of the exec doesn't end its supervisor, even where the session
// that started it had that id.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	m, home := reached(t, sshd.Options{MaxSessions: 2})
	p := place{Execs: detached.Execs{Machine: m}, home: home}
	var ids []string
	for i := range 5 {
		c := command("sleep", "1000")
		ids = append(ids, c.ID)
		starting := m
		if i == 0 {
			starting.execID = c.ID
		}
		must(t, detached.Execs{Machine: starting}.Start(t.Context(), c))
		t.Cleanup(func() { p.end(t, c.ID) })
	}
	if conns := m.pool.Stats().Connections; conns > 2 { // 5 sessions would be 3
		t.Errorf("%d connections", conns)
	}
	for _, execID := range ids {
		s := p.ask(t, execID, false)
		if s.Phase != detached.Running {
			t.Errorf("state %+v", s)
		}
	}
	for pid, environ := range environs(t) {
		for _, execID := range ids {
			if !bytes.Contains(environ, []byte("SALLYPORT_EXEC_ID="+execID)) {
				continue
			}
			if line, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline")); !strings.HasPrefix(string(line), "sleep\x001000\x00") {
				t.Errorf("process %s has the id: %q", pid, line)
			}
		}
	}
}

// environs are the environments of all processes, by their numbers.
func environs(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, dir := range dirs {
		if b, err := os.ReadFile(filepath.Join(dir, "environ")); err == nil {
			all[filepath.Base(dir)] = b
		}
	}
	return all
}

// BenchmarkStart is how long a start takes over SSH, beside a plain command.
func BenchmarkStart(b *testing.B) {
	m, home := reached(b, sshd.Options{})
	p := place{Execs: detached.Execs{Machine: m}, home: home}
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			must(b, m.Run(b.Context(), []string{"true"}, strings.NewReader(""), io.Discard))
		}
	})
	b.Run("detached", func(b *testing.B) {
		for b.Loop() {
			c := command("true")
			must(b, p.Start(b.Context(), c))
			b.StopTimer() // what comes behind a start is no part of it
			p.ended(b, c.ID)
			b.StartTimer()
		}
	})
}
