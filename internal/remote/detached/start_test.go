package detached_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	states, err := p.Ask(context.WithoutCancel(t.Context()), []detached.Asked{{ID: id, Bury: bury}})
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

// bench is how long a start takes, beside a plain command.
func BenchmarkStart(b *testing.B) {
	home := b.TempDir()
	for _, shell := range []string{"dash", "bash", "busybox", "mksh"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		if shell == "busybox" {
			tools := b.TempDir()
			must(b, exec.Command(path, "--install", "-s", tools).Run())
			path = filepath.Join(tools, "sh")
		}
		p := place{Execs: detached.Execs{Machine: readerMachine{home, os.Getenv("PATH")}, Shell: path}, home: home}
		b.Run(fmt.Sprint(shell, "/plain"), func(b *testing.B) {
			for b.Loop() {
				_ = p.Machine.Run(b.Context(), []string{path, "-c", `IFS= read -r x; exec true`}, strings.NewReader("x\n"), nil)
			}
		})
		b.Run(fmt.Sprint(shell, "/detached"), func(b *testing.B) {
			for b.Loop() {
				must(b, p.Start(b.Context(), command("true")))
			}
		})
	}
}
