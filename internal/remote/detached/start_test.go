package detached_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/remote/detached"
)

// command is one with bounds that no test reaches.
func command(argv ...string) detached.Command {
	return detached.Command{ID: id.New(), Argv: argv, Timeout: time.Hour, MaxOutputBytes: 64 << 10}
}

// ask returns the state of one exec.
func (p place) ask(t testing.TB, id string, bury bool) detached.State {
	t.Helper()
	states, err := p.Ask(contextOf(t), []detached.Asked{{ID: id, Bury: bury}})
	must(t, err)
	s, ok := states[id]
	if !ok {
		t.Fatalf("the machine says nothing of %s", id)
	}
	return s
}

// ended waits for the end of an exec.
func (p place) ended(t testing.TB, id string) detached.State {
	t.Helper()
	for {
		if s := p.ask(t, id, false); s.Phase != detached.Running {
			return s
		}
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
}

// dir is the spool of an exec.
func (p place) dir(id string) string { return filepath.Join(p.home, ".sallyport/execs", id) }

// kept is what is kept of a stream.
func (p place) kept(t testing.TB, id, stream string) string {
	t.Helper()
	var b strings.Builder
	_, err := p.Read(t.Context(), detached.Read{ID: id, Stdout: stream == "stdout", Stderr: stream == "stderr"}, func(f detached.Frame) error {
		b.Write(f.Data)
		return nil
	})
	must(t, err)
	return b.String()
}

func TestStart(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		c := command("/bin/sh", "-c", `cat; pwd; printf '<%s>' "$A" "$SALLYPORT_EXEC_ID" "$@"; umask; echo careful >&2; exit 7`, "sh", "it's", "a\nb", "", "-n", "\\n \xff *")
		c.Env = []detached.EnvVar{{Name: "A", Value: "x\n'y' $HOME"}, {Name: "PATH", Value: os.Getenv("PATH")}}
		c.Stdin, c.Cwd = []byte("in\x00put\n"), "/usr"
		must(t, p.Start(t.Context(), c))
		s := p.ended(t, c.ID)
		if s.Phase != detached.Ended || s.ExitCode != 7 || s.TimedOut || s.OutputOpen || s.StdoutTruncated || s.StderrTruncated || s.Ending || s.Signal != "" {
			t.Errorf("state %+v", s)
		}
		want := "in\x00put\n/usr\n<x\n'y' $HOME><" + c.ID + "><it's><a\nb><><-n><\\n \xff *>0022\n"
		got := p.kept(t, c.ID, "stdout")
		if strings.Replace(got, ">022\n", ">0022\n", 1) != want {
			t.Errorf("stdout %q, want %q", got, want)
		}
		if got := p.kept(t, c.ID, "stderr"); got != "careful\n" {
			t.Errorf("stderr %q", got)
		}
		if s.StdoutBytes == nil || *s.StdoutBytes != int64(len(got)) || s.StderrBytes == nil || *s.StderrBytes != 8 {
			t.Errorf("bytes %v, %v", s.StdoutBytes, s.StderrBytes)
		}
	})
}

// What is large comes whole, and a program that doesn't exist is a start whose exec ends with 127.
func TestStartLarge(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		for _, stdin := range [][]byte{nil, bytes.Repeat([]byte("\x00\xff\n'"), 1<<18)} {
			c := command("/bin/sh", "-c", `cat; printf '%s' "$1" "$A"`, "sh", strings.Repeat("it is\n", 5000)+"it's")
			c.Env = []detached.EnvVar{{Name: "A", Value: strings.Repeat("\xff'", 1000) + strings.Repeat("x", 50000)}}
			c.Stdin, c.MaxOutputBytes = stdin, 4<<20
			must(t, p.Start(t.Context(), c))
			if s := p.ended(t, c.ID); s.Phase != detached.Ended || s.ExitCode != 0 {
				t.Errorf("state %+v, stderr %.200q", s, p.kept(t, c.ID, "stderr"))
			}
			if got, want := p.kept(t, c.ID, "stdout"), string(stdin)+c.Argv[4]+c.Env[0].Value; got != want {
				t.Errorf("%d bytes, want %d", len(got), len(want))
			}
		}
		c := command("no such program")
		must(t, p.Start(t.Context(), c))
		if s := p.ended(t, c.ID); s.Phase != detached.Ended || s.ExitCode != 127 || !strings.Contains(p.kept(t, c.ID, "stderr"), "not found") {
			t.Errorf("state %+v, stderr %q", s, p.kept(t, c.ID, "stderr"))
		}
	})
}

// contextOf is a test's context that its clean-up can use as well.
func contextOf(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }

// Nothing runs where the directory can't be entered, which is looked at first, or where no
// directory can be made for the output.
func TestStartRefused(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		refused := func(what string, c detached.Command, code sallyport.Code, reason string) {
			t.Helper()
			c.Argv = []string{"/bin/sh", "-c", `: >"$HOME/ran"`}
			err := p.Start(t.Context(), c)
			known, ok := errors.AsType[*sallyport.Error](err)
			if !ok || known.Code != code || known.Reason != reason || known.Started == nil || *known.Started {
				t.Errorf("%s: %v", what, err)
			}
			if _, err := os.Lstat(p.dir(c.ID)); err == nil {
				t.Errorf("%s: the spool was left", what)
			}
			if _, err := os.Stat(filepath.Join(p.home, "ran")); err == nil {
				t.Errorf("%s: the command ran", what)
			}
		}
		c := command("")
		c.Cwd = "/nowhere\nat/'all"
		refused("cwd", c, sallyport.CodeInvalidCwd, "")
		elsewhere := t.TempDir()
		must(t, os.Chmod(elsewhere, 0o777))
		must(t, os.Symlink(elsewhere, filepath.Join(p.home, ".sallyport")))
		refused("cwd before all", c, sallyport.CodeInvalidCwd, "")
		refused("a link", command(""), sallyport.CodeSpoolUnavailable, sallyport.ReasonNotWritable)
		must(t, os.Remove(filepath.Join(p.home, ".sallyport")))
		must(t, os.Mkdir(filepath.Join(p.home, ".sallyport"), 0o700))
		p.own(filepath.Join(p.home, ".sallyport"))
		must(t, os.Symlink(elsewhere, filepath.Join(p.home, ".sallyport/execs")))
		refused("a link below", command(""), sallyport.CodeSpoolUnavailable, sallyport.ReasonNotWritable)
		if found, err := os.ReadDir(elsewhere); len(found) > 0 || err != nil {
			t.Errorf("the links were followed: %v, %v", found, err)
		}
		must(t, os.Remove(filepath.Join(p.home, ".sallyport/execs")))
		if os.Getuid() != 0 {
			return
		}
		must(t, os.Mkdir(filepath.Join(p.home, ".sallyport/execs"), 0o777))
		must(t, os.Chown(filepath.Join(p.home, ".sallyport/execs"), 65534, 65534))
		refused("another's", command(""), sallyport.CodeSpoolUnavailable, sallyport.ReasonNotWritable)
	})
}

// All that we make is the user's alone.
func TestSpoolIsPrivate(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		c := command("/bin/sh", "-c", "echo ready; exec sleep 1000")
		c.Stdin, c.Env = []byte("a secret"), []detached.EnvVar{{Name: "A", Value: "secret"}}
		p.started(t, c)
		must(t, filepath.WalkDir(filepath.Join(p.home, ".sallyport"), func(path string, d os.DirEntry, err error) error {
			must(t, err)
			info, err := d.Info()
			must(t, err)
			if want := map[bool]os.FileMode{true: os.ModeDir | 0o700, false: 0o600}[d.IsDir()]; info.Mode() != want {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			if !d.IsDir() {
				text, err := os.ReadFile(path)
				must(t, err)
				if strings.Contains(string(text), "secret") || d.Name() == "stdin" {
					t.Errorf("%s holds %q", path, text)
				}
			}
			return nil
		}))
	})
}

// Where the home takes nothing, the output is in /var/tmp.
func TestHomeNotWritable(t *testing.T) {
	t.Parallel()
	p := place{Execs: detached.Execs{Machine: readerMachine{"/proc", os.Getenv("PATH")}}}
	c := command("/bin/echo", "hello")
	must(t, p.Start(t.Context(), c))
	place := fmt.Sprintf("/var/tmp/sallyport-%d", os.Getuid())
	t.Cleanup(func() {
		must(t, p.Remove(contextOf(t), []string{c.ID}))
		_ = os.Remove(place + "/execs") // it may hold what others have made
		_ = os.Remove(place)
	})
	if s := p.ended(t, c.ID); s.Phase != detached.Ended || s.ExitCode != 0 || p.kept(t, c.ID, "stdout") != "hello\n" {
		t.Errorf("state %+v, output %q", s, p.kept(t, c.ID, "stdout"))
	}
	info, err := os.Stat(place + "/execs/" + c.ID)
	if err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Errorf("the spool: %v, %v", info, err)
	}
}

// A full disk refuses a start; later it costs the output, and nothing else.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := unix.Mount("tmpfs", home, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(home, unix.MNT_DETACH)) })
	p := place{Execs: detached.Execs{Machine: readerMachine{home, os.Getenv("PATH")}}, home: home}
	c := command("/bin/sh", "-c", `head -c 1000000 /dev/zero; echo careful >&2; exit 3`)
	c.MaxOutputBytes = 1 << 20
	must(t, p.Start(t.Context(), c))
	s := p.ended(t, c.ID)
	if s.Phase != detached.Ended || s.ExitCode != 3 || s.StdoutBytes != nil || !s.StdoutTruncated || s.OutputOpen {
		t.Errorf("state %+v", s)
	}
	if got := p.kept(t, c.ID, "stdout"); len(got) < 64<<10 || strings.Trim(got, "\x00") != "" {
		t.Errorf("%d bytes are kept", len(got))
	}
	must(t, os.WriteFile(filepath.Join(home, "more"), nil, 0o600))
	for full := false; !full; {
		f, err := os.OpenFile(filepath.Join(home, "more"), os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.Write(make([]byte, 4096))
		full = errors.Is(err, unix.ENOSPC)
		must(t, f.Close())
	}
	c = command("true")
	err := p.Start(t.Context(), c)
	known, ok := errors.AsType[*sallyport.Error](err)
	if !ok || known.Code != sallyport.CodeSpoolUnavailable || known.Reason != sallyport.ReasonDiskFull {
		t.Errorf("start on a full disk: %v", err)
	}
	if _, err := os.Stat(p.dir(c.ID)); err == nil {
		t.Error("the spool was left")
	}
}

// A tombstone keeps a start that comes late from ever happening.
func TestTombstone(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		c := command("/bin/sh", "-c", `: >"$HOME/ran"`)
		if s := p.ask(t, c.ID, false); s.Phase != detached.SpoolLost {
			t.Errorf("state %+v", s)
		}
		for _, bury := range []bool{true, true, false} {
			if s := p.ask(t, c.ID, bury); s.Phase != detached.NeverStarted {
				t.Errorf("state %+v", s)
			}
		}
		if err := p.Start(t.Context(), c); !errors.Is(err, detached.ErrExists) {
			t.Errorf("start: %v", err)
		}
		// So does one in a spool that a start has just made.
		half := command("true")
		must(t, os.Mkdir(p.dir(half.ID), 0o700))
		p.own(p.dir(half.ID))
		if s := p.ask(t, half.ID, false); s.Phase != detached.Running {
			t.Errorf("state %+v", s)
		}
		for _, bury := range []bool{true, false} {
			if s := p.ask(t, half.ID, bury); s.Phase != detached.NeverStarted {
				t.Errorf("state %+v", s)
			}
		}
		if err := p.Start(t.Context(), half); !errors.Is(err, detached.ErrExists) {
			t.Errorf("start: %v", err)
		}
		// One that has started stays.
		c = command("true")
		must(t, p.Start(t.Context(), c))
		p.ended(t, c.ID)
		if s := p.ask(t, c.ID, true); s.Phase != detached.Ended {
			t.Errorf("state %+v", s)
		}
		if _, err := os.Stat(filepath.Join(p.home, "ran")); err == nil {
			t.Error("the command ran")
		}
	})
}

// The newest output is kept, as much as was asked for and a quarter more at most.
func TestRing(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		const lines = 20000
		c := command("/bin/sh", "-c", `i=100000; while [ $i -lt 120000 ]; do echo $i; i=$((i + 1)); done`)
		must(t, p.Start(t.Context(), c))
		s := p.ended(t, c.ID)
		if s.StdoutBytes == nil || *s.StdoutBytes != 7*lines || !s.StdoutTruncated || s.StderrTruncated || s.OutputOpen {
			t.Errorf("state %+v", s)
		}
		got := p.kept(t, c.ID, "stdout")
		if n := int64(len(got)); n < c.MaxOutputBytes || n > c.MaxOutputBytes*5/4 {
			t.Errorf("%d bytes are kept of %d", n, c.MaxOutputBytes)
		}
		for want := lines - len(got)/7; want < lines; want++ {
			at := len(got) - 7*(lines-want)
			if got[at:at+7] != fmt.Sprintln(100000+want) {
				t.Fatalf("line %d is %q", want, got[at:at+7])
			}
		}
	})
}

// What a command leaves behind with its output open doesn't hold up its end, and is kept.
func TestOutputOpen(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		fifo := filepath.Join(p.home, "fifo")
		must(t, unix.Mkfifo(fifo, 0o600))
		p.own(fifo)
		c := command("/bin/sh", "-c", `(read x <"$HOME/fifo"; echo late) & echo early`)
		must(t, p.Start(t.Context(), c))
		s := p.ended(t, c.ID)
		if s.Phase != detached.Ended || !s.OutputOpen || s.StdoutBytes == nil || *s.StdoutBytes != 6 || s.StdoutTruncated {
			t.Errorf("state %+v", s)
		}
		must(t, os.WriteFile(fifo, []byte("go\n"), 0))
		for p.kept(t, c.ID, "stdout") != "early\nlate\n" {
			if t.Context().Err() != nil {
				t.Fatal("what came late is not kept")
			}
		}
	})
}
