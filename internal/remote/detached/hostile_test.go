package detached_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/remote/detached"
)

// meddler is a machine that does something to a spool between what a list says and what is
// asked for on the strength of it.
type meddler struct {
	detached.Machine
	before func()
	runs   *atomic.Int64 // how many scripts run now
}

func (m meddler) Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error {
	m.runs.Add(1)
	defer m.runs.Add(-1)
	return m.Machine.Run(ctx, argv, asked{stdin, m.before}, stdout)
}

type asked struct {
	io.Reader
	before func()
}

func (a asked) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if bytes.HasPrefix(p[:n], []byte("s ")) || bytes.HasPrefix(p[:n], []byte("c ")) {
		a.before()
	}
	return n, err
}

func (a asked) Close() error { return a.Reader.(io.Closer).Close() }

// What is changed under a reading is told, or ends it; it never makes it wait or tell a lie.
func TestReadMeddledWith(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		for name, c := range map[string]struct {
			meddle func(s *spool)
			bytes  int64
			skips  []string
			code   sallyport.Code
			is     error
		}{
			"a segment is removed":  {func(s *spool) { must(t, os.Remove(s.dir+"/stdout.0")) }, 200, []string{"stdout 0+100"}, "", nil},
			"the newest is removed": {func(s *spool) { must(t, os.Remove(s.dir+"/stdout.200")) }, 200, []string{"stdout 200+100"}, "", nil},
			"all are removed": {func(s *spool) {
				for _, n := range []string{"0", "100", "200"} {
					_ = os.Remove(s.dir + "/stdout." + n)
				}
			}, 0, []string{"stdout 0+300"}, "", nil},
			"a FIFO is put there": {func(s *spool) {
				must(t, os.Remove(s.dir+"/stdout.100"))
				must(t, syscall.Mkfifo(s.dir+"/stdout.100", 0o666))
			}, 0, nil, sallyport.CodeExecTransport, nil},
			"a link is put in the newest's place": {func(s *spool) {
				must(t, os.Remove(s.dir+"/stdout.200"))
				must(t, os.Symlink("/etc/passwd", s.dir+"/stdout.200"))
			}, 200, nil, sallyport.CodeExecTransport, nil},
			"a link is put there": {func(s *spool) {
				must(t, os.Remove(s.dir+"/stdout.100"))
				must(t, os.Symlink("/etc/passwd", s.dir+"/stdout.100"))
			}, 0, nil, sallyport.CodeExecTransport, nil},
			"one shrinks": {func(s *spool) { must(t, os.Truncate(s.dir+"/stdout.200", 40)) }, 240, nil, sallyport.CodeExecTransport, nil},
			"one grows":   {func(s *spool) { s.write("stdout", 300, 50, 1000, 9) }, 300, nil, "", nil},
		} {
			s := newSpool(t, p)
			s.write("stdout", 0, 300, 100, 9)
			changed := false
			e := p.Execs
			m := meddler{e.Machine, func() {
				if !changed {
					c.meddle(s)
				}
				changed = true
			}, new(atomic.Int64)}
			e.Machine = m
			f := frames{t: t}
			res, err := e.Read(t.Context(), detached.Read{ID: s.id, Stdout: true}, f.take)
			if (err == nil) != (c.code == "") || err != nil && sallyport.CodeOf(err) != c.code || f.bytes["stdout"] != c.bytes || !slices.Equal(f.skips, c.skips) {
				t.Errorf("%s: %v, %v, %v", name, f.bytes, f.skips, err)
			}
			if res.NextStdout != f.next["stdout"] || m.runs.Load() != 0 {
				t.Errorf("%s: next is %d, %d scripts run", name, res.NextStdout, m.runs.Load())
			}
		}
	})
}

// What stands in a spool that is no segment is never opened.
func TestReadStrange(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		s := newSpool(t, p)
		s.write("stdout", 0, 100, 1000, 9)
		s.segment["stdout"] = 60 // one that holds again what the first does
		s.write("stdout", 60, 140, 1000, 9)
		must(t, syscall.Mkfifo(s.dir+"/stdout.200", 0o666))
		must(t, os.Symlink("/dev/zero", s.dir+"/stdout.300"))
		must(t, os.Mkdir(s.dir+"/stdout.400", 0o700))
		for _, name := range []string{"stdout.", "stdout.1 2", "stdout.00", "stdout.-1", "stdout.7x", "stdout.99999999999999999999", "stdout.1\nrun 1 2 3", "stderr"} {
			must(t, os.WriteFile(filepath.Join(s.dir, name), []byte("xxx"), 0o644))
		}
		f := frames{t: t}
		res, err := p.Read(t.Context(), detached.Read{ID: s.id, Stdout: true, Stderr: true}, f.take)
		if err != nil || res.NextStdout != 200 || f.bytes["stdout"] != 200 || len(f.skips) > 0 || res.NextStderr != 0 {
			t.Errorf("%+v, %v, %v, %v", res, f.bytes, f.skips, err)
		}
		s.put("end", strings.Repeat("x", 100_000))
		if _, err := p.Read(t.Context(), detached.Read{ID: s.id, Stdout: true}, f.take); sallyport.CodeOf(err) != sallyport.CodeExecTransport {
			t.Errorf("an endless line: %v", err)
		}
		must(t, os.Remove(s.dir+"/end"))
		must(t, syscall.Mkfifo(s.dir+"/end", 0o666))
		for i := range 300 {
			s.put(fmt.Sprint("stderr.", i), "")
		}
		if _, err := p.Read(t.Context(), detached.Read{ID: s.id, Stderr: true}, f.take); sallyport.CodeOf(err) != sallyport.CodeExecTransport {
			t.Errorf("an endless list: %v", err)
		}
		must(t, os.Rename(filepath.Dir(s.dir), p.home+"/elsewhere"))
		must(t, os.Symlink(p.home+"/elsewhere", filepath.Dir(s.dir)))
		if _, err := p.Read(t.Context(), detached.Read{ID: s.id, Stdout: true}, f.take); !errors.Is(err, detached.ErrGone) {
			t.Errorf("through a link: %v", err)
		}
	})
}

// A reader who follows learns how it went on, or that nobody will know.
func TestReadFollowsToTheEnd(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		bad := errors.New("no more")
		ctx, cancel := context.WithCancelCause(t.Context())
		for name, c := range map[string]struct {
			then  func(s *spool)
			take  error
			phase detached.Phase
			err   error
		}{
			"ended":           {func(s *spool) { s.ended(10, 0) }, nil, detached.Ended, nil},
			"not understood":  {func(s *spool) { s.put("end", "ended 256 0 1 10 0 0 0 0 - -\n") }, nil, detached.SpoolInvalid, nil},
			"supervisor lost": {func(s *spool) { s.put("run", strings.Replace(s.run, " "+s.start+" ", " 1 ", 1)) }, nil, detached.SupervisorLost, nil},
			"restarted":       {func(s *spool) { s.put("run", strings.Replace(s.run, s.boot, id.New(), 1)) }, nil, detached.MachineRestarted, nil},
			"a tombstone":     {func(s *spool) { s.put("never", "") }, nil, detached.NeverStarted, nil},
			"removed":         {func(s *spool) { must(t, os.RemoveAll(s.dir)) }, nil, "", detached.ErrGone},
			"out fails":       {func(*spool) {}, bad, "", bad},
		} {
			s := newSpool(t, p)
			must(t, os.Remove(s.dir+"/run")) // it is being started
			s.write("stdout", 0, 10, 1000, 9)
			f := frames{t: t}
			res, err := p.Read(ctx, detached.Read{ID: s.id, Stdout: true, Follow: true}, func(g detached.Frame) error {
				s.put("run", s.run)
				c.then(s)
				return cmp.Or(f.take(g), c.take)
			})
			if !errors.Is(err, c.err) || c.err == nil && (res.State.Phase != c.phase || !res.Ended || res.NextStdout != 10) {
				t.Errorf("%s: %+v, %v", name, res, err)
			}
		}
		s := newSpool(t, p)
		s.write("stdout", 0, 10, 1000, 9)
		res, err := p.Read(ctx, detached.Read{ID: s.id, Stdout: true, Follow: true}, func(detached.Frame) error {
			cancel(bad)
			return nil
		})
		if !errors.Is(err, bad) || res.Ended || res.NextStdout != 10 {
			t.Errorf("canceled: %+v, %v", res, err)
		}
	})
}

// A connection that is lost while nothing comes is told as what it is.
func TestReadOverLostConnection(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		s := newSpool(t, p)
		s.write("stdout", 0, 10, 1000, 9)
		m := losing{p.Machine, make(chan struct{})}
		p.Machine = m
		f := frames{t: t, saw: func(detached.Frame) { close(m.lost) }}
		res, err := p.Read(t.Context(), detached.Read{ID: s.id, Stdout: true, Follow: true}, f.take)
		if !errors.Is(err, errLost) || res.Ended || res.NextStdout != 10 {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// losing is a machine to which the connection is lost at some time.
type losing struct {
	detached.Machine
	lost chan struct{}
}

var errLost = errors.New("the connection is lost")

func (m losing) Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		<-m.lost
		cancel()
	})
	_ = m.Machine.Run(ctx, argv, stdin, stdout)
	waiting.Wait()
	return errLost
}

// says is a machine that prints a text, whatever it is asked.
type says string

func (s says) Run(_ context.Context, _ []string, stdin io.Reader, stdout io.Writer) error {
	go io.Copy(io.Discard, stdin)
	_, err := io.WriteString(stdout, string(s))
	return err
}

// FuzzRead: whatever a machine says, what comes is in order, without overlap, and no more of
// it than the machine sent.
func FuzzRead(f *testing.F) {
	const head, tail = "run 1 b 7 9 7 9 65536 60 1.0\nboot b\nstat 7 (sh) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 9 1\nend ", "\n\n41c0 40 .\n"
	for _, s := range []string{
		"", "gone\n", head, head + tail + ".\n", head + tail + "8180 3 stdout.0\n.\ndata\nabc",
		head + tail + "8180 3 stdout.0\n.\ndata\nabc" + head + tail + "8180 3 stdout.0\n8180 1 stdout.5\n8180 2 stderr.4\n.\ndata\nxdata\nyz",
		head + "ended 0 0 1 9 2 0 0 0 - -" + tail + "8180 3 stdout.0\n8180 2 stderr.0\n.\ngone\ndata\nab", head + tail + "8180 1152921504606846976 stdout.1152921504606846976\n.\ndata\nabc",
		head + tail + "8180 3 stdout.0\n8180 3 stdout.0\n8180 9 stdout.1\n.\ndata\nab", strings.Repeat("x", 9000), strings.Repeat("\n", 9000), head + "ended 999999999999999999999 0 1 9 2 0 0 0 - -" + tail + ".\n",
	} {
		f.Add(s, int64(0), false)
		f.Add(s, int64(-2), true)
	}
	f.Fuzz(func(t *testing.T, text string, since int64, follow bool) {
		next, first, sum := map[string]int64{}, map[string]bool{}, 0
		res, err := detached.Execs{Machine: says(text)}.Read(t.Context(), detached.Read{ID: id.New(), Stdout: true, Stderr: true, SinceStdout: since, SinceStderr: since, Follow: follow, MaxBytes: 100}, func(g detached.Frame) error {
			if g.Offset < 0 || g.Skipped < 0 || (g.Skipped > 0) == (len(g.Data) > 0) || first[g.Stream] && next[g.Stream] != g.Offset {
				t.Errorf("%+v behind %d", g, next[g.Stream])
			}
			first[g.Stream], next[g.Stream] = true, g.Offset+g.Skipped+int64(len(g.Data))
			sum += len(g.Data)
			return nil
		})
		if sum > min(len(text), 100) || next["stdout"] != 0 && next["stdout"] != res.NextStdout || err == nil && (res.NextStdout < 0 || res.NextStderr < 0) {
			t.Errorf("%d bytes, %+v, %v", sum, res, err)
		}
	})
}
