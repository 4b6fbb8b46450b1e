package logqueue_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"sallyport/internal/limits"
	"sallyport/internal/logqueue"
)

// gate is a reader of a log that stops: a write waits until it is open.
type gate struct {
	mu      sync.Mutex
	open    chan struct{}
	err     error
	written bytes.Buffer
}

func newGate(isOpen bool) *gate {
	g := &gate{open: make(chan struct{})}
	if isOpen {
		close(g.open)
	}
	return g
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	return g.written.Write(p)
}

func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func (g *gate) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.written.String()
}

func writeLine(t *testing.T, w io.Writer, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format+"\n", args...)
	if n, err := io.WriteString(w, line); n != len(line) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
}

// TestStalledReader: writes go on while nobody reads, what doesn't fit is counted,
// what fits arrives whole and in order, and a line tells of the rest.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(false)
		q := logqueue.New(g)
		q.OnResume(func(lost uint64) { writeLine(t, q, "lost %d", lost) })
		line := strings.Repeat("x", 1000)
		const lines = 4 * limits.LogQueueBytesMax / 1000
		for n := range lines {
			writeLine(t, q, "%d %s", n, line)
		}
		synctest.Wait()
		lost := q.Lost()
		if lost < lines/2 || lost >= lines {
			t.Fatalf("lost %d of %d lines", lost, lines)
		}
		close(g.open)
		synctest.Wait()
		writeLine(t, q, "after")
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSuffix(g.text(), "\n"), "\n")
		if want := lines - int(lost) + 2; len(got) != want {
			t.Fatalf("%d lines arrived, want %d", len(got), want)
		}
		last := -1
		for _, text := range got[:len(got)-2] {
			number, rest, _ := strings.Cut(text, " ")
			n, err := strconv.Atoi(number)
			if err != nil || n <= last || rest != line {
				t.Fatalf("behind line %d: %.80q", last, text)
			}
			last = n
		}
		if end := got[len(got)-2:]; end[0] != fmt.Sprintf("lost %d", lost) || end[1] != "after" {
			t.Errorf("the end: %q", end)
		}
	})
}

// TestFailingWriter: a writer that fails loses lines and nothing else, and is told
// of when it takes some again.
func TestFailingWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(true)
		g.fail(errors.New("no space left on device"))
		q := logqueue.New(g)
		q.OnResume(func(lost uint64) { writeLine(t, q, "lost %d", lost) })
		for range 3 {
			writeLine(t, q, "gone")
			synctest.Wait()
		}
		g.fail(nil)
		writeLine(t, q, "there")
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		writeLine(t, q, "late")
		if g.text() != "there\nlost 3\n" || q.Lost() != 4 {
			t.Errorf("%q, lost %d", g.text(), q.Lost())
		}
	})
}

// TestCloseGivesUp: an end doesn't wait for a reader that has stopped, nor does who
// logs behind it.
func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(false)
		q := logqueue.New(g)
		writeLine(t, q, "stuck")
		synctest.Wait()
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 * limits.LogQueueBytesMax / 1000 {
			writeLine(t, q, "%s", strings.Repeat("x", 1000))
		}
		close(g.open) // the process lives on here, and the write must end
	})
}

// cutting takes a part of the first write and fails.
type cutting struct {
	bytes.Buffer
	isCut bool
}

func (c *cutting) Write(p []byte) (int, error) {
	if !c.isCut {
		c.isCut = true
		n, _ := c.Buffer.Write(p[:2])
		return n, io.ErrShortWrite
	}
	return c.Buffer.Write(p)
}

// TestLineCutShort: the line behind one that was cut short begins on a line of its own.
func TestLineCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &cutting{}
		q := logqueue.New(c)
		writeLine(t, q, "first")
		synctest.Wait()
		writeLine(t, q, "second")
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if c.String() != "fi\nsecond\n" || q.Lost() != 1 {
			t.Errorf("%q, lost %d", c.String(), q.Lost())
		}
	})
}

// writerFunc is a writer below a queue.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestWrittenWhileWriting: a line that comes while another is written leaves that one as
// it is, however often the queue was empty before.
func TestWrittenWhileWriting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q *logqueue.Queue
		ready := make(chan struct{})
		var written []string
		q = logqueue.New(writerFunc(func(p []byte) (int, error) {
			<-ready
			if bytes.HasPrefix(p, []byte("first")) {
				writeLine(t, q, "behind")
			}
			written = append(written, string(p))
			return len(p), nil
		}))
		close(ready)
		const rounds = 5
		for range rounds {
			writeLine(t, q, "first")
			synctest.Wait()
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(written, ""), strings.Repeat("first\nbehind\n", rounds); got != want {
			t.Errorf("written:\n%s", got)
		}
	})
}
