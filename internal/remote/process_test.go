package remote_test

import (
	"sync"
	"testing"
	"time"

	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
)

// A command whose stdin is its caller's gets what is written to it, when it is written, from
// the moment on that it is told to have started, and the end of file.
func TestOpenStdin(t *testing.T) {
	for _, shell := range shells(t) {
		m := newMachine(t, shell, "")
		s, err := m.pool.Open(t.Context(), m.target, m.need)
		if err != nil {
			t.Fatal(err)
		}
		out := make(chan string, 16)
		var early sync.WaitGroup
		p, err := remote.Start(t.Context(), s, remote.Command{
			Argv: []string{"cat"}, OpenStdin: true, ExecID: id.New(), Timeout: time.Minute,
			ConnectBy: time.Now().Add(limits.ConnectTime), OutputGrace: limits.OutputGrace,
			Gate: func() error { return nil },
			Started: func(p remote.Process) {
				early.Go(func() {
					if _, err := p.Stdin().Write([]byte("early\n")); err != nil {
						t.Errorf("%s: %v", shell, err)
					}
				})
			},
			Stdout: writerFunc(func(b []byte) (int, error) { out <- string(b); return len(b), nil }), Stderr: &buffer{},
		})
		if err != nil {
			t.Fatalf("%s: %v", shell, err)
		}
		if early.Wait(); <-out != "early\n" {
			t.Errorf("%s: what was written first is lost", shell)
		}
		for _, text := range []string{"\n", "exit 97\n", "one", "two\x00\xff"} {
			if _, err := p.Stdin().Write([]byte(text)); err != nil {
				t.Errorf("%s: %v", shell, err)
			}
			if got := <-out; got != text {
				t.Errorf("%s: wrote %q, read %q", shell, text, got)
			}
		}
		if err := p.Stdin().Close(); err != nil {
			t.Errorf("%s: %v", shell, err)
		}
		if o := p.Wait(); o.End != remote.Exited || o.ExitCode != 0 || o.StdoutBytes != 23 {
			t.Errorf("%s: %+v", shell, o)
		}
	}
}
