package detached_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/id"
	"sallyport/internal/remote/detached"
)

// started starts a command, waits until it has written "ready", and ends it with the test.
func (p place) started(t testing.TB, c detached.Command) detached.Command {
	t.Helper()
	must(t, p.Start(t.Context(), c))
	t.Cleanup(func() { p.end(t, c.ID) })
	done := errors.New("ready")
	res, err := p.Read(t.Context(), detached.Read{ID: c.ID, Stdout: true, Follow: true}, func(detached.Frame) error { return done })
	if !errors.Is(err, done) {
		t.Fatalf("the command is not ready: %v, %+v, %+v", err, res, p.ask(t, c.ID, false))
	}
	return c
}

// end ends a command, and whatever is left of it.
func (p place) end(t testing.TB, id string) detached.Survivors {
	t.Helper()
	left, err := p.End(contextOf(t), id)
	if err != nil {
		t.Errorf("end: %v", err)
	}
	return left
}

// ran is what the start wrote about an exec.
func (p place) ran(t testing.TB, id string) (supervisor, group int) {
	t.Helper()
	return p.number(t, id, "run", 9, 2), p.number(t, id, "run", 9, 4)
}

// number is one of the words of a spool's file.
func (p place) number(t testing.TB, id, name string, of, i int) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir(id), name))
	must(t, err)
	words := strings.Fields(string(text))
	if len(words) != of {
		t.Fatalf("%s holds %q", name, text)
	}
	n, err := strconv.Atoi(words[i])
	must(t, err)
	return n
}

// gone waits until a process group has no member that lives.
func gone(t testing.TB, group int) {
	t.Helper()
	for syscall.Kill(-group, 0) == nil {
		if t.Context().Err() != nil {
			t.Fatalf("group %d lives", group)
		}
	}
}

func TestSignal(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		c := p.started(t, command("/bin/sh", "-c", `trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.1; done`))
		sent, err := p.Signal(t.Context(), c.ID, "INT")
		if !sent || err != nil {
			t.Fatalf("sent %v, %v", sent, err)
		}
		s := p.ended(t, c.ID)
		if s.Phase != detached.Ended || s.ExitCode != 3 || s.Signal != "" || s.Ending || p.kept(t, c.ID, "stdout") != "ready\ninterrupted\n" {
			t.Errorf("state %+v, output %q", s, p.kept(t, c.ID, "stdout"))
		}
		for _, execID := range []string{c.ID, id.New()} {
			if sent, err := p.Signal(t.Context(), execID, "TERM"); sent || err != nil {
				t.Errorf("after the end: sent %v, %v", sent, err)
			}
		}
		if _, err := p.Signal(t.Context(), c.ID, "STOP; reboot"); err == nil {
			t.Error("a signal that is none was taken")
		}
		c = p.started(t, command("/bin/sh", "-c", `echo ready; exec sleep 1000`))
		if sent, err := p.Signal(t.Context(), c.ID, "KILL"); !sent || err != nil {
			t.Errorf("sent %v, %v", sent, err)
		}
		if s := p.ended(t, c.ID); s.ExitCode != 137 || s.Signal != "KILL" || p.kept(t, c.ID, "stderr") != "" {
			t.Errorf("state %+v, stderr %q", s, p.kept(t, c.ID, "stderr"))
		}
	})
}

func TestEnd(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		c := p.started(t, command("/bin/sh", "-c", `trap '' TERM; sleep 1000 & echo ready; wait; wait`))
		_, group := p.ran(t, c.ID)
		if left := p.end(t, c.ID); !left.Known || left.Count != 0 {
			t.Errorf("survivors %+v", left)
		}
		gone(t, group)
		if s := p.ended(t, c.ID); s.Phase != detached.Ended || !s.Ending || s.ExitCode != 137 || s.TimedOut {
			t.Errorf("state %+v", s)
		}
		if left := p.end(t, c.ID); !left.Known || left.Count != 0 {
			t.Errorf("again: survivors %+v", left)
		}
		if left, err := p.End(t.Context(), id.New()); left.Known || err != nil {
			t.Errorf("of nothing: %+v, %v", left, err)
		}
	})
}

// The machine keeps the time-out.
func TestTimeout(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		c := command("/bin/sh", "-c", `trap 'echo stop' TERM; (trap '' TERM; sleep 1000) & echo ready; wait; wait`)
		c.Timeout = time.Second
		must(t, p.Start(t.Context(), c))
		s := p.ended(t, c.ID)
		if s.Phase != detached.Ended || !s.TimedOut || s.Duration < c.Timeout || s.Ending || p.kept(t, c.ID, "stdout") != "ready\nstop\n" {
			t.Errorf("state %+v, output %q", s, p.kept(t, c.ID, "stdout"))
		}
		_, group := p.ran(t, c.ID)
		gone(t, group)
	})
}

// The supervisor may be killed: the command is found, and ended, all the same.
func TestSupervisorLost(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		c := p.started(t, command("/bin/sh", "-c", `echo ready; exec sleep 1000`))
		supervisor, group := p.ran(t, c.ID)
		clock := p.number(t, c.ID, "clock", 2, 0)
		must(t, syscall.Kill(supervisor, syscall.SIGKILL))
		if s := p.ended(t, c.ID); s.Phase != detached.SupervisorLost {
			t.Errorf("state %+v", s)
		}
		must(t, syscall.Kill(-group, 0))
		if left := p.end(t, c.ID); !left.Known || left.Count != 0 {
			t.Errorf("survivors %+v", left)
		}
		gone(t, group)
		for !errors.Is(syscall.Kill(clock, 0), syscall.ESRCH) {
			if t.Context().Err() != nil {
				t.Fatal("the clock lives")
			}
		}
		if s := p.ended(t, c.ID); s.Phase != detached.SupervisorLost {
			t.Errorf("after the end: %+v", s)
		}
	})
}

// After a boot a number is another process's: nothing is signalled by it.
func TestMachineRestarted(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		c := p.started(t, command("/bin/sh", "-c", `echo ready; exec sleep 1000`))
		path := filepath.Join(p.dir(c.ID), "run")
		run, err := os.ReadFile(path)
		must(t, err)
		words := strings.Fields(string(run))
		words[1] = id.New()
		must(t, os.WriteFile(path, []byte(strings.Join(words, " ")+"\n"), 0o600))
		if s := p.ask(t, c.ID, false); s.Phase != detached.MachineRestarted {
			t.Errorf("state %+v", s)
		}
		if sent, err := p.Signal(t.Context(), c.ID, "KILL"); sent || err != nil {
			t.Errorf("sent %v, %v", sent, err)
		}
		p.end(t, c.ID)
		// So it is where the number was given to another process since.
		words[1], words[5] = strings.Fields(string(run))[1], "1"
		must(t, os.WriteFile(path, []byte(strings.Join(words, " ")+"\n"), 0o600))
		if sent, err := p.Signal(t.Context(), c.ID, "KILL"); sent || err != nil {
			t.Errorf("sent %v, %v", sent, err)
		}
		must(t, os.WriteFile(path, run, 0o600))
		if s := p.ask(t, c.ID, false); s.Phase != detached.Running {
			t.Errorf("state %+v", s)
		}
	})
}

func TestRemove(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		var ids []string
		for range 3 {
			c := command("echo", "ready")
			must(t, p.Start(t.Context(), c))
			p.ended(t, c.ID)
			ids = append(ids, c.ID)
		}
		p.ask(t, ids[0], true)
		grave := id.New()
		p.ask(t, grave, true)
		for range 2 {
			must(t, p.Remove(t.Context(), append(ids[:2:2], grave)))
			for i, execID := range ids {
				if _, err := os.Stat(p.dir(execID)); errors.Is(err, os.ErrNotExist) != (i < 2) {
					t.Errorf("spool %d: %v", i, err)
				}
			}
		}
		if s := p.ask(t, ids[0], false); s.Phase != detached.SpoolLost {
			t.Errorf("state %+v", s)
		}
		for _, execID := range []string{"..", "", ids[2] + "/..", fmt.Sprint("-", ids[2][1:])} {
			if err := p.Remove(t.Context(), []string{execID}); err == nil {
				t.Errorf("%q was taken for an exec", execID)
			}
		}
	})
}

// The clock of an exec whose spool is removed while it runs ends with it, and sleeps on for none.
func TestClockEnds(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		seconds := 100_000 + os.Getpid()%1000 + len(p.home)*1000
		c := command("/bin/sh", "-c", `until [ -e "$HOME/go" ]; do sleep 0.1; done; rm -rf "$HOME/.sallyport/execs/"*`)
		c.Timeout = time.Duration(seconds) * time.Second
		must(t, p.Start(t.Context(), c))
		for sleepers(t, seconds) == 0 {
			checkContext(t)
		}
		must(t, os.WriteFile(filepath.Join(p.home, "go"), nil, 0o644))
		for sleepers(t, seconds) > 0 {
			checkContext(t)
		}
	})
}

func checkContext(t testing.TB) {
	t.Helper()
	if t.Context().Err() != nil {
		t.Fatal("it takes too long")
	}
}

// sleepers counts the processes that sleep for so many seconds.
func sleepers(t testing.TB, seconds int) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, path := range all {
		text, _ := os.ReadFile(path) // one that has ended counts as none
		if strings.Contains(string(text), fmt.Sprintf("sleep\x00%d\x00", seconds)) {
			n++
		}
	}
	return n
}
