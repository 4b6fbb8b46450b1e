package detached_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/connector"
	"sallyport/internal/connector/local"
	"sallyport/internal/id"
	"sallyport/internal/remote/detached"
	_ "sallyport/test/apart"
	"sallyport/test/sshd"
)

// readerMachine runs scripts on this very machine, at a home and with the tools of its own.
type readerMachine struct{ home, path string }

func (m readerMachine) Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Env = m.home, stdout, []string{"HOME=" + m.home, "PATH=" + m.path}
	return fed(cmd.StdinPipe, cmd.Start, cmd.Wait, stdin)
}

// fed runs what is started by start with all of stdin.
func fed(pipe func() (io.WriteCloser, error), start, wait func() error, stdin io.Reader) error {
	in, err := pipe()
	if err != nil {
		return err
	}
	if err := start(); err != nil {
		return err
	}
	var feeding sync.WaitGroup
	feeding.Go(func() {
		_, _ = io.Copy(in, stdin)
		in.Close()
	})
	err = wait()
	if closer, ok := stdin.(io.Closer); ok {
		closer.Close()
	}
	feeding.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil
	}
	if _, ok := errors.AsType[*ssh.ExitError](err); ok {
		return nil
	}
	return err
}

// sshMachine runs scripts over SSH, a session each.
type sshMachine struct{ client *ssh.Client }

func (m sshMachine) Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error {
	s, err := m.client.NewSession()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	defer s.Close()
	s.Stdout = stdout
	line := ""
	for _, arg := range argv {
		line += " '" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return fed(s.StdinPipe, func() error { return s.Start("exec" + line) }, s.Wait, stdin)
}

func dialed(t testing.TB, link *connector.Link, err error) sshMachine {
	t.Helper()
	must(t, err)
	signers, err := link.Signers(t.Context())
	must(t, err)
	conn, chans, reqs, err := ssh.NewClientConn(link.Conn, "machine", &ssh.ClientConfig{
		User: link.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)}, HostKeyCallback: ssh.FixedHostKey(link.HostKey),
	})
	must(t, err)
	client := ssh.NewClient(conn, chans, reqs)
	t.Cleanup(func() { client.Close() })
	return sshMachine{client}
}

// place is a machine, and how its files are made.
type place struct {
	detached.Execs
	home string
	// own makes a file the login user's.
	own func(path string)
}

// places are the shells that this machine has, and the ways to a machine.
func places(t testing.TB) map[string]func(t testing.TB) place {
	all := map[string]func(t testing.TB) place{
		"sshd": func(t testing.TB) place {
			s := sshd.Start(t, sshd.Options{})
			link, err := s.Dial(t.Context())
			info, statErr := os.Stat(s.Home)
			must(t, statErr)
			by := info.Sys().(*syscall.Stat_t)
			return place{detached.Execs{Machine: dialed(t, link, err)}, s.Home, func(path string) { must(t, os.Chown(path, int(by.Uid), int(by.Gid))) }}
		},
		"embedded": func(t testing.TB) place {
			home := t.TempDir()
			c, err := local.New(local.Config{Home: home, Shell: "/bin/sh"})
			must(t, err)
			t.Cleanup(func() { c.Close() })
			link, err := c.Dial(t.Context(), connector.Target{})
			return place{detached.Execs{Machine: dialed(t, link, err)}, home, func(string) {}}
		},
	}
	for _, name := range []string{"dash", "bash", "busybox", "mksh"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		all[name] = func(t testing.TB) place {
			tools := os.Getenv("PATH")
			if name == "busybox" {
				tools = t.TempDir()
				must(t, exec.Command(path, "--install", "-s", tools).Run())
				path = filepath.Join(tools, "sh")
			}
			home := t.TempDir()
			return place{detached.Execs{Machine: readerMachine{home, tools}, Shell: path}, home, func(string) {}}
		}
	}
	if len(all) < 4 {
		t.Fatal("busybox and another shell are not installed: run scripts/setup")
	}
	return all
}

// everywhere runs a test at each place.
func everywhere(t *testing.T, test func(t *testing.T, p place)) {
	at(t, places(t), test)
}

// somewhere runs a test of what hardly depends on the shell, at those that differ most: over a
// real sshd, and in a busybox that has nothing else.
func somewhere(t *testing.T, test func(t *testing.T, p place)) {
	all := places(t)
	few := map[string]func(t testing.TB) place{}
	for _, name := range []string{"sshd", "busybox"} {
		if make, ok := all[name]; ok {
			few[name] = make
		}
	}
	at(t, few, test)
}

func at(t *testing.T, places map[string]func(t testing.TB) place, test func(t *testing.T, p place)) {
	for name, make := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, make(t))
		})
	}
}

// spool is one written by hand.
type spool struct {
	t       testing.TB
	p       place
	id, dir string
	segment map[string]int64 // the newest of each stream
	// run is what the file holds, boot and start the machine's and the supervisor's in it.
	run, boot, start string
}

// newSpool makes the spool of an exec that this process supervises.
func newSpool(t testing.TB, p place) *spool {
	s := &spool{t: t, p: p, id: id.New(), segment: map[string]int64{}}
	for _, name := range []string{".sallyport", ".sallyport/execs", ".sallyport/execs/" + s.id} {
		s.dir = filepath.Join(p.home, name)
		if err := os.Mkdir(s.dir, 0o700); !errors.Is(err, os.ErrExist) {
			must(t, err)
			p.own(s.dir)
		}
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	must(t, err)
	stat, err := os.ReadFile("/proc/self/stat")
	must(t, err)
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	s.boot, s.start = string(bytes.TrimSpace(boot)), string(bytes.Fields(rest)[19])
	s.run = fmt.Sprintf("1 %s %d %s %d %s 65536 60 1.00\n", s.boot, os.Getpid(), s.start, os.Getpid(), s.start)
	s.put("end", strings.Repeat(" ", 256)+"\n")
	s.put("run", s.run)
	return s
}

func (s *spool) put(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	s.p.own(path)
}

// text is what a stream has from an offset on.
func text(stream string, offset, n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		at := offset + int64(i)
		b[i] = byte(at ^ at>>8 ^ at>>16 ^ int64(len(stream))<<4 ^ int64(stream[3]))
	}
	return b
}

// write appends to a stream, as the collectors do: in segments of size bytes, of which keep
// are left.
func (s *spool) write(stream string, from, n, size int64, keep int) {
	s.t.Helper()
	for end := from + n; from < end; {
		at := s.segment[stream]
		if from-at >= size {
			at = from
			s.segment[stream] = at
		}
		k := min(end-from, size-(from-at))
		path := filepath.Join(s.dir, fmt.Sprint(stream, ".", at))
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		must(s.t, err)
		if from == at {
			s.p.own(path)
		}
		_, err = f.Write(text(stream, from, k))
		must(s.t, err)
		must(s.t, f.Close())
		from += k
		_ = os.Remove(filepath.Join(s.dir, fmt.Sprint(stream, ".", at-int64(keep)*size)))
	}
}

// ended tells the end of the exec.
func (s *spool) ended(stdout, stderr int64) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, "end"), os.O_WRONLY, 0)
	must(s.t, err)
	_, err = fmt.Fprintf(f, "%-256s", fmt.Sprintf("ended 3 0 1500 %d %d 0 0 0 10 20", stdout, stderr))
	must(s.t, err)
	must(s.t, f.Close())
}

// frames checks the frames of a reading as they come.
type frames struct {
	t     testing.TB
	next  map[string]int64
	bytes map[string]int64
	skips []string
	saw   func(detached.Frame)
	text  func(stream string, offset, n int64) []byte // nil: that of a spool written by hand
}

func (f *frames) take(g detached.Frame) error {
	if f.next == nil {
		f.next, f.bytes = map[string]int64{}, map[string]int64{}
	}
	if at, ok := f.next[g.Stream]; ok && at != g.Offset {
		f.t.Errorf("%s: a frame at %d, behind one to %d", g.Stream, g.Offset, at)
	}
	if (g.Skipped > 0) == (len(g.Data) > 0) || g.Skipped < 0 {
		f.t.Errorf("%s: a frame of %d bytes that skips %d", g.Stream, len(g.Data), g.Skipped)
	}
	if g.Skipped > 0 {
		f.skips = append(f.skips, fmt.Sprint(g.Stream, " ", g.Offset, "+", g.Skipped))
	} else if want := f.want(g); !bytes.Equal(want, g.Data) {
		f.t.Errorf("%s: other bytes at %d: %.20q, want %.20q", g.Stream, g.Offset, g.Data, want)
	}
	f.next[g.Stream] = g.Offset + int64(len(g.Data)) + g.Skipped
	f.bytes[g.Stream] += int64(len(g.Data))
	if f.saw != nil {
		f.saw(g)
	}
	return nil
}

func (f *frames) want(g detached.Frame) []byte {
	if f.text != nil {
		return f.text(g.Stream, g.Offset, int64(len(g.Data)))
	}
	return text(g.Stream, g.Offset, int64(len(g.Data)))
}

func TestRead(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		s := newSpool(t, p)
		s.write("stdout", 0, 1000, 100, 4) // 600 to 1000 are kept
		s.write("stderr", 0, 30, 100, 4)
		for _, c := range []struct {
			read           detached.Read
			stdout, stderr int64 // bytes that come
			skips          []string
			nextOut        int64
			nextErr        int64
			err            error
		}{
			{read: detached.Read{Stdout: true, Stderr: true}, stdout: 400, stderr: 30, skips: []string{"stdout 0+600"}, nextOut: 1000, nextErr: 30},
			{read: detached.Read{Stdout: true}, stdout: 400, skips: []string{"stdout 0+600"}, nextOut: 1000},
			{read: detached.Read{Stderr: true, SinceStderr: 10}, stderr: 20, nextErr: 30},
			{read: detached.Read{Stdout: true, SinceStdout: 650}, stdout: 350, nextOut: 1000},
			{read: detached.Read{Stdout: true, Stderr: true, SinceStdout: 1000, SinceStderr: 30}, nextOut: 1000, nextErr: 30},
			{read: detached.Read{Stdout: true, Stderr: true, SinceStdout: -7, SinceStderr: -100}, stdout: 7, stderr: 30, nextOut: 1000, nextErr: 30},
			{read: detached.Read{Stdout: true, SinceStdout: -500}, stdout: 400, skips: []string{"stdout 500+100"}, nextOut: 1000},
			{read: detached.Read{Stdout: true, SinceStdout: 700, MaxBytes: 150}, stdout: 150, nextOut: 850},
			{read: detached.Read{Stdout: true, Stderr: true, SinceStdout: 650, MaxBytes: 90, Follow: true}, stdout: 60, stderr: 30, nextOut: 710, nextErr: 30},
			{read: detached.Read{Stdout: true, SinceStdout: 1001}, nextOut: 1001, err: detached.ErrBeyond},
			{read: detached.Read{Stdout: true, Stderr: true, SinceStderr: 31}, nextErr: 31, err: detached.ErrBeyond},
		} {
			c.read.ID = s.id
			f, begun := frames{t: t}, 0
			c.read.Begun = func(stdout, stderr int64) error {
				begun++
				f.next = map[string]int64{"stdout": stdout, "stderr": stderr}
				f.bytes = map[string]int64{}
				return nil
			}
			res, err := p.Read(t.Context(), c.read, f.take)
			if !errors.Is(err, c.err) || f.bytes["stdout"] != c.stdout || f.bytes["stderr"] != c.stderr || !slices.Equal(f.skips, c.skips) {
				t.Errorf("%+v: %v, %v, %v", c.read, f.bytes, f.skips, err)
			}
			if (begun == 1) != (err == nil) {
				t.Errorf("%+v: begun %d times", c.read, begun)
			}
			if res.Ended || res.NextStdout != c.nextOut && c.read.Stdout && c.err == nil || res.NextStderr != c.nextErr && c.read.Stderr && c.err == nil {
				t.Errorf("%+v: %+v", c.read, res)
			}
		}
		s.ended(1000, 40) // of stderr the disk had no place for all
		f := frames{t: t}
		res, err := p.Read(t.Context(), detached.Read{ID: s.id, Stdout: true, Stderr: true, SinceStdout: 990, Follow: true}, f.take)
		if err != nil || !res.Ended || res.State.Phase != detached.Ended || res.State.ExitCode != 3 || res.NextStderr != 40 || !slices.Equal(f.skips, []string{"stderr 30+10"}) {
			t.Errorf("after the end: %+v, %v, %v", res, f.skips, err)
		}
		for _, id := range []string{id.New(), "../" + s.id, "", s.id + "/."} {
			if _, err := p.Read(t.Context(), detached.Read{ID: id, Stdout: true}, f.take); !errors.Is(err, detached.ErrGone) {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}

// A reader who follows has the output byte for byte, while it is written and the ring turns.
func TestReadFollows(t *testing.T) {
	somewhere(t, func(t *testing.T, p place) {
		// Up to whole the writer stays within what is kept, and nothing may be missing.
		const total, whole, size, keep = 8 << 20, 4 << 20, 64 << 10, 10
		s := newSpool(t, p)
		var came [2]sync.Once
		began, more := make(chan struct{}, 2), make(chan struct{}, 1)
		f := frames{t: t}
		var read atomic.Int64
		f.saw = func(g detached.Frame) {
			for i, name := range []string{"stdout", "stderr"} {
				if g.Stream == name {
					came[i].Do(func() { began <- struct{}{} })
				}
			}
			if g.Stream == "stdout" {
				read.Store(g.Offset + int64(len(g.Data)))
				select {
				case more <- struct{}{}:
				default:
				}
			}
			if g.Skipped > 0 && g.Offset < whole {
				t.Errorf("%d bytes at %d of %s are missing", g.Skipped, g.Offset, g.Stream)
			}
		}
		var writing sync.WaitGroup
		writing.Go(func() {
			s.write("stdout", 0, 1, size, keep)
			s.write("stderr", 0, 1, size, keep)
			<-began // each byte leaves though nothing comes behind it
			<-began
			s.write("stderr", 1, 5000, size, keep)
			for at := int64(1); at < total; at += 5000 {
				need := at - (keep-2)*size
				if at >= whole {
					need = whole
				}
				for read.Load() < need {
					<-more
				}
				s.write("stdout", at, min(5000, total-at), size, keep)
			}
			s.ended(total, 5001)
		})
		res, err := p.Read(t.Context(), detached.Read{ID: s.id, Stdout: true, Stderr: true, Follow: true}, f.take)
		read.Store(total)
		close(began)
		close(more)
		writing.Wait()
		if err != nil || !res.Ended || res.NextStdout != total || res.NextStderr != 5001 || f.next["stdout"] != total || f.bytes["stdout"] < whole || f.bytes["stderr"] != 5001 {
			t.Errorf("%+v, %v, %v", res, f.bytes, err)
		}
		t.Logf("%v came, %d gaps", f.bytes, len(f.skips))
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRead follows 100 MB over a real sshd, beside what cat takes for them.
func BenchmarkRead(b *testing.B) {
	const size = 100 << 20
	p := places(b)["sshd"](b)
	s := newSpool(b, p)
	s.write("stdout", 0, size, 2<<20, 100)
	s.ended(size, 0)
	count := func(n *int64) func(detached.Frame) error {
		return func(g detached.Frame) error {
			*n += int64(len(g.Data))
			return nil
		}
	}
	for name, read := range map[string]func(n *int64) error{
		"plain": func(n *int64) error {
			return p.Machine.Run(b.Context(), []string{"/bin/sh", "-c", "cat .sallyport/execs/" + s.id + "/stdout.*"}, http.NoBody, writer(func(p []byte) { *n += int64(len(p)) }))
		},
		"follow": func(n *int64) error {
			_, err := p.Read(b.Context(), detached.Read{ID: s.id, Stdout: true, Follow: true}, count(n))
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				var n int64
				if err := read(&n); err != nil || n != size {
					b.Fatalf("%d bytes, %v", n, err)
				}
			}
		})
	}
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// A reader has what a command writes, byte for byte, while it is written and to its end.
func TestReadWhatACommandWrites(t *testing.T) {
	const lines = 40_000
	var wanted bytes.Buffer
	for i := range lines {
		fmt.Fprintln(&wanted, i)
	}
	wanted.WriteString("without an end")
	count := fmt.Sprintf("awk 'BEGIN { for (i = 0; i < %d; i++) print i; printf \"without an end\" }'; echo behind >&2; exit 5", lines)
	everywhere(t, func(t *testing.T, p place) {
		for _, keep := range []int64{1 << 20, 64 << 10} {
			c := command("/bin/sh", "-c", count)
			c.MaxOutputBytes = keep
			must(t, p.Start(t.Context(), c))
			read := detached.Read{ID: c.ID, Stdout: true, Stderr: true, Follow: true}
			f := frames{t: t, text: func(stream string, offset, n int64) []byte {
				if stream == "stderr" {
					return []byte("behind\n")[offset : offset+n]
				}
				return wanted.Bytes()[offset : offset+n]
			}}
			res, err := p.Read(t.Context(), read, f.take)
			size := int64(wanted.Len())
			if err != nil || !res.Ended || res.State.Phase != detached.Ended || res.State.ExitCode != 5 || res.NextStdout != size || res.NextStderr != 7 || f.bytes["stderr"] != 7 {
				t.Fatalf("%+v, %v, %v", res, f.bytes, err)
			}
			if f.next["stdout"] != size || keep > size && f.bytes["stdout"] != size || f.bytes["stdout"] < min(keep, size) {
				t.Errorf("%d of %d bytes came, to %d: %v", f.bytes["stdout"], size, f.next["stdout"], f.skips)
			}
			newest := frames{t: t, text: f.text}
			read.SinceStdout, read.SinceStderr, read.Follow = -keep, 7, false
			if res, err := p.Read(t.Context(), read, newest.take); err != nil || !res.Ended || newest.bytes["stdout"] != min(keep, size) || len(newest.skips) > 0 {
				t.Errorf("the newest %d: %+v, %v, %v, %v", keep, res, newest.bytes, newest.skips, err)
			}
		}
	})
}
