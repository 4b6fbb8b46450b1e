package remote_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/remote"
)

// A command that has ended just before its deadline keeps its result, and its silent
// child its life.
func TestEndJustBeforeTheDeadline(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	r := m.run(t.Context(), remote.Command{
		Argv:    []string{"/bin/sh", "-c", "sleep 600 & echo $!; sleep 0.6; exit 7"},
		Timeout: 2 * time.Second, OutputGrace: 1500 * time.Millisecond,
	})
	defer killPID(t, r.stdout)
	if r.err != nil || r.End != remote.Exited || r.ExitCode != 7 || !r.OutputOpen || !alive(t, r.stdout) {
		t.Errorf("got %+v", r)
	}
}

// So does one whose reader is slower than its deadline.
func TestReaderSlowerThanTheDeadline(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	writes, total := 0, 0
	r := m.run(t.Context(), remote.Command{
		Argv: []string{"head", "-c", "100000", "/dev/zero"}, Timeout: 2 * time.Second,
		Stdout: writerFunc(func(p []byte) (int, error) {
			if writes++; writes == 1 {
				<-time.After(2500 * time.Millisecond)
			}
			total += len(p)
			return len(p), nil
		}),
	})
	if r.err != nil || r.End != remote.Exited || total != 100000 {
		t.Errorf("%d bytes, %+v", total, r.Outcome)
	}
}

// A command whose start is seen only when it is canceled, or too late, has started.
func TestCanceledWhileItStarts(t *testing.T) {
	for name, road := range roads {
		times := map[string]int{"by a shell": 20, "by the host": 6}[name] // nearly all of the latter have started, and are ended
		t.Run(name, func(t *testing.T) { testCanceledWhileItStarts(t, road(t, "/bin/bash", ""), times) })
	}
}

func testCanceledWhileItStarts(t *testing.T, m *machine, times int) {
	for range times {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		ran := filepath.Join(t.TempDir(), "ran")
		r := m.run(ctx, remote.Command{
			Argv: []string{"/bin/sh", "-c", ": >" + ran + "; exec sleep 600"},
			Gate: func() error { // the header leaves just behind it
				time.AfterFunc(time.Duration(rand.IntN(4000))*time.Microsecond, func() { cancel(why) })
				return nil
			},
		})
		_, err := os.Stat(ran)
		if started := r.err == nil; !started && err == nil || started && r.End != remote.Canceled || !errors.Is(errors.Join(r.err, r.Cause), why) {
			t.Errorf("ran: %t, got %+v, %v", err == nil, r.Outcome, r.err)
		}
		cancel(nil)
	}
}

// A writer's panic ends its command and nothing else.
func TestWriterPanics(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	r := m.run(t.Context(), remote.Command{
		Argv: []string{"yes"}, EndTime: endTime, Stdout: writerFunc(func([]byte) (int, error) { panic("secret") }),
	})
	if r.End != remote.Canceled || sallyport.CodeOf(r.Cause) != sallyport.CodeInternal || strings.Contains(r.Cause.Error(), "secret") ||
		!r.Survivors.Known || r.Survivors.Count != 0 {
		t.Errorf("got %+v, %v", r.Outcome, r.err)
	}
}
