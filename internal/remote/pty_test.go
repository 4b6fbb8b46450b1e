package remote_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
	"sallyport/internal/sshpool"
	"sallyport/test/sshd"
)

// newSSHD returns a machine with a real sshd.
func newSSHD(t testing.TB, o sshd.Options) *machine {
	t.Helper()
	server := sshd.Start(t, o)
	pool := &sshpool.Pool{}
	t.Cleanup(func() { pool.Close() })
	dial := func(ctx context.Context) (*connector.Link, error) { return server.DialAt(ctx, server.Addr) }
	check := func(context.Context, sshpool.HostKey) error { return nil }
	return &machine{pool: pool, target: sshpool.Target{Key: server.Addr}, need: sshpool.Need{By: sshpool.Dialer{Dial: dial, CheckHostKey: check}}}
}

// screen is what a terminal shows, and its keyboard.
type screen struct {
	remote.Process
	shown *buffer
	end   context.CancelCauseFunc
}

// sit starts a program at a PTY of 100 columns and 30 rows.
func (m *machine) sit(t testing.TB, cmd remote.Command) (*screen, error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	session, err := m.pool.Open(ctx, m.target, m.need)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{shown: &buffer{}, end: cancel}
	cmd.PTY = &remote.PTY{Term: "xterm-256color", Cols: 100, Rows: 30}
	cmd.ExecID, cmd.Timeout, cmd.ConnectBy, cmd.OutputGrace = id.New(), time.Hour, time.Now().Add(limits.ConnectTime), limits.TerminalExitGrace
	cmd.EndTime = time.Minute // this machine may be busy
	cmd.Gate, cmd.Started, cmd.Stderr = func() error { return nil }, func(remote.Process) {}, &buffer{}
	if cmd.Stdout == nil {
		cmd.Stdout = s.shown
	}
	s.Process, err = remote.Start(ctx, session, cmd)
	return s, err
}

// press types keys.
func (s *screen) press(t testing.TB, keys string) {
	t.Helper()
	if _, err := s.Stdin().Write([]byte(keys)); err != nil {
		t.Fatal(err)
	}
}

// shows waits until text stands on the screen.
func (s *screen) shows(t testing.TB, text string) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(s.shown.String(), text) {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%q is never shown: %q", text, s.shown)
		}
	}
}

// terminals are the machines at which people sit.
var terminals = map[string]func(testing.TB) *machine{
	"embedded": func(t testing.TB) *machine { return newHost(t, "/bin/bash", "") },
	"sshd": func(t testing.TB) *machine {
		return newSSHD(t, sshd.Options{LoginShell: "bash", RC: "echo from the rc file\n"})
	},
}

func eachTerminal(t *testing.T, test func(*testing.T, *machine)) {
	t.Parallel()
	for name, start := range terminals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// The program has its size, the modes of a login's, its directory and its environment from the
// start, and what rc files print is not shown.
func TestPTY(t *testing.T) {
	eachTerminal(t, func(t *testing.T, m *machine) {
		script := `stty size; stty -a | tr ' ;' '\n\n' | grep -xE -- '-?(icanon|echo|isig|icrnl|ixon|opost|onlcr|iutf8)' | sort | xargs; echo "$TERM $A"; pwd; tty; echo "id $SALLYPORT_EXEC_ID"; read -r x; echo "got $x"; exit 3`
		s, err := m.sit(t, remote.Command{Argv: []string{"sh", "-c", script}, Dir: "/tmp", Env: []remote.Var{{Name: "A", Value: "a'\n$b"}}})
		must(t, err)
		s.shows(t, "\r\nid ")
		want := "30 100\r\necho icanon icrnl isig iutf8 ixon onlcr opost\r\nxterm-256color a'\r\n$b\r\n/tmp\r\n/dev/pts/"
		if got := s.shown.String(); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		s.press(t, "ab\x7fc\r")
		if o := s.Wait(); o.End != remote.Exited || o.ExitCode != 3 || o.Survivors.Forced || o.StdoutBytes != int64(len(s.shown.String())) {
			t.Errorf("%+v", o)
		}
		if got := s.shown.String(); !strings.HasSuffix(got, "ab\b \bc\r\ngot ac\r\n") {
			t.Errorf("got %q", got)
		}
	})
}

// A header of any length comes through, and all that is printed before the exit arrives.
func TestPTYCarriesAll(t *testing.T) {
	eachTerminal(t, func(t *testing.T, m *machine) {
		long := strings.Repeat("'x\n", 20_000)
		s, err := m.sit(t, remote.Command{Argv: []string{"sh", "-c", `printf %s "$1" | wc -c; sleep 60 & yes 0123456789 | head -n 30000; kill -KILL $$`, "sh", long}})
		must(t, err)
		if o := s.Wait(); o.End != remote.Exited || o.Signal != "KILL" || o.ExitCode != 137 {
			t.Errorf("%+v", o)
		}
		if got, want := s.shown.String(), "60000\r\n"+strings.Repeat("0123456789\r\n", 30_000); got != want {
			t.Errorf("%d bytes, want %d: %.100q", len(got), len(want), got)
		}
	})
}

// Without a program it is the user's login shell, as a login shell.
func TestPTYLoginShell(t *testing.T) {
	for _, shell := range shells(t) {
		t.Run(filepath.Base(shell), func(t *testing.T) {
			t.Parallel()
			s, err := newHost(t, shell, t.TempDir()).sit(t, remote.Command{Env: []remote.Var{{Name: "SHELL", Value: "/bin/false"}}})
			must(t, err)
			ask := `case $(ps -o args= -p $$) in *" -l") echo lo''gin;; esac`
			switch filepath.Base(shell) {
			case "fish":
				ask = `status is-login; and echo lo''gin`
			case "tcsh":
				ask = `if ($?loginsh) echo lo''gin`
			}
			s.press(t, ask+"\r")
			s.shows(t, "login")
			s.press(t, "exit 5\r")
			if o := s.Wait(); o.End != remote.Exited || o.ExitCode != 5 {
				t.Errorf("%+v: %q", o, s.shown)
			}
		})
	}
}

// A resize reaches the foreground program, and a signal does, whatever the terminal's modes.
func TestPTYResizeAndSignal(t *testing.T) {
	eachTerminal(t, func(t *testing.T, m *machine) {
		s, err := m.sit(t, remote.Command{Argv: []string{"bash", "-i"}})
		must(t, err)
		s.press(t, `sh -c 'trap "stty size; : resized" WINCH; trap "echo in''terrupted; exit 7" INT; stty raw; echo rea''dy; while :; do sleep 0.05; done'; echo "code $?"`+"\r")
		s.shows(t, "ready")
		must(t, s.Resize(132, 43))
		s.shows(t, "43 132")
		if sent, err := s.Signal(t.Context(), "INT"); err != nil || !sent {
			t.Errorf("sent %t, %v", sent, err)
		}
		s.shows(t, "interrupted")
		s.shows(t, "code 7")
		s.press(t, "exit 0\r")
		if o := s.Wait(); o.End != remote.Exited || o.ExitCode != 0 {
			t.Errorf("%+v", o)
		}
	})
}

// A hang-up leaves what was meant to survive, and counts it; a forced end leaves nothing.
func TestPTYEnds(t *testing.T) {
	why := errors.New("somebody wants it")
	for _, tt := range []struct {
		name    string
		cause   error
		survive int
	}{{"hang-up", remote.ErrHungUp, 2}, {"force", why, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			eachTerminal(t, func(t *testing.T, m *machine) {
				s, err := m.sit(t, remote.Command{Argv: []string{"bash", "-i"}})
				must(t, err)
				s.press(t, `sleep 601 & setsid sh -c "echo daemon >&2; exec sleep 602" & nohup sh -c "echo nohup >/dev/tty; exec sleep 603" >/dev/null 2>&1 & sleep 604 & cat`+"\r")
				s.shows(t, "\ndaemon")
				s.shows(t, "\nnohup")
				s.end(tt.cause)
				o := s.Wait()
				if o.End != remote.Canceled || !errors.Is(o.Cause, tt.cause) || !o.Survivors.Known || o.Survivors.Count != tt.survive {
					t.Errorf("%+v", o)
				}
			})
		})
	}
}

// A machine that gives no terminal runs nothing, and says so.
func TestPTYRefused(t *testing.T) {
	t.Parallel()
	m := newSSHD(t, sshd.Options{Config: []string{"PermitTTY no"}})
	_, err := m.sit(t, remote.Command{Argv: []string{"true"}})
	if known, ok := errors.AsType[*sallyport.Error](err); !ok || known.Code != sallyport.CodePTYRefused || known.Started == nil || *known.Started {
		t.Errorf("%v", err)
	}
	_, err = newHost(t, "/bin/sh", "").sit(t, remote.Command{Argv: []string{"true"}, Dir: "/no/such"})
	if sallyport.CodeOf(err) != sallyport.CodeInvalidCwd {
		t.Errorf("%v", err)
	}
}

// A reader that stops stops the program, and an end by force ends that too.
func TestPTYSlowReader(t *testing.T) {
	eachTerminal(t, func(t *testing.T, m *machine) {
		reads := make(chan struct{})
		s, err := m.sit(t, remote.Command{Argv: []string{"yes"}, Stdout: writerFunc(func(b []byte) (int, error) {
			<-reads
			return len(b), nil
		})})
		must(t, err)
		s.end(fmt.Errorf("enough"))
		o := s.Wait()
		close(reads)
		if o.End != remote.Canceled || !o.Survivors.Known || o.Survivors.Count != 0 {
			t.Errorf("%+v", o)
		}
	})
}
