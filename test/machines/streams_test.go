//go:build linux

package machines

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

var (
	// streamCount is how many streams TestStreams opens at once, and streamMiB how
	// much one of them brings; make bench sets both.
	streamCount = flag.Int("bench-streams", 20, "streams at once")
	streamMiB   = flag.Int("bench-mib", 4, "size of a stream, in MiB")
)

// TestStreams opens many streams that say nothing at once, and tells what memory each
// takes of the server; all of them run at the same time.
func TestStreams(t *testing.T) {
	s := stack.Start(t, stack.Options{DataDir: t.TempDir()})
	m := newMachine(t, s, sshd.Options{MaxStartups: "2000"})
	const each = 250 // of a workspace
	names := []string{m.name}
	for i := 1; i*each < *streamCount; i++ {
		m.name = fmt.Sprintf("%s-%d", names[0], i)
		m.create(t, m.connector(t, m.sshd.Addr))
		names = append(names, m.name)
	}
	for _, m.name = range names { // a warm connection, and its buffers
		if _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
	}
	own := connectionCost(t)
	before := heap()
	var conns []net.Conn
	started := 0
	for i := range *streamCount {
		conns = append(conns, m.open(t, names[i/each], `{"cmd":["sleep","120"],"stream":true,"timeout_s":120}`))
		if len(conns)%50 == 0 || len(conns) == *streamCount { // a machine takes so many logins at a time
			for _, c := range conns[started:] {
				hasStarted(t, c)
			}
			started = len(conns)
		}
	}
	cost := (heap()-before)/int64(*streamCount) - own
	fmt.Printf("%d streams at once take %d KiB of the server's memory each (goal at most 60)\n", *streamCount, cost>>10)
	for _, c := range conns {
		c.Close()
	}
	awaitFor(t, 5*time.Minute, "all execs to end", func() bool { return running(t, s) == 0 }) // each takes a session of its own
}

// open sends a request by hand, and leaves its answer unread: a client with nothing of
// its own in memory.
func (m *machine) open(t testing.TB, workspace, body string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(m.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /workspaces/%s/exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		workspace, m.Token, len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// connectionCost is what a connection takes of this process for the test's own end.
func connectionCost(t testing.TB) int64 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const n = 100
	before := heap()
	var conns []net.Conn
	for range n {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	cost := (heap() - before) / n
	runtime.KeepAlive(conns)
	return cost
}

// hasStarted waits for the head of an answer, which goes out when the command starts.
func hasStarted(t testing.TB, c net.Conn) {
	t.Helper()
	const want = "HTTP/1.1 200 OK"
	var got [len(want)]byte
	if _, err := io.ReadFull(c, got[:]); err != nil || string(got[:]) != want {
		t.Fatalf("answer %q, %v", got, err)
	}
}

// running counts the execs whose command has not ended.
func running(t testing.TB, s *stack.Stack) int {
	t.Helper()
	n := 0
	for cursor := ""; ; {
		var page sallyport.List[sallyport.Activity]
		s.Do(t, http.MethodGet, "/orgs/dev/activity?status=running&limit=500&cursor="+cursor, s.Token, "").Decode(t, &page)
		n += len(page.Items)
		if cursor = page.NextCursor; cursor == "" {
			return n
		}
	}
}

// heap is what is in use, stacks included.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestStreamRate compares the rate of a large output with a bare session's.
func TestStreamRate(t *testing.T) {
	s := stack.Start(t, stack.Options{DataDir: t.TempDir()})
	m := newMachine(t, s, sshd.Options{})
	b := newBench(t, m)
	file := m.sshd.Home + "/output"
	const line = `2026-01-02T03:04:05.678901Z INFO request "GET /items/42" status=200 bytes=1234 agent="curl/8.5"`
	out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", `yes "$1" | head -c "$2" >"$3"`, "-", line, fmt.Sprint(*streamMiB << 20), file}})
	if err != nil || out.ExitCode != 0 {
		t.Fatalf("%v, %s", err, out.stderr.String())
	}
	e := client.Exec{Workspace: m.name, Cmd: []string{"cat", file}, MaxOutputBytes: 1 << 30, Timeout: 2 * time.Minute, Stdout: io.Discard}
	took := b.turns(t, 3, []way{
		{"bare", func() error { return b.cat(file) }},
		{"NDJSON", func() error { return drain(m.client.ExecFrames(t.Context(), e)) }},
		{"raw", func() error {
			_, err := m.client.Exec(t.Context(), e)
			return err
		}},
	})
	fmt.Printf("%d MiB on OpenSSH: NDJSON / bare %.2f (goal at least 0.60)  raw / bare %.2f (0.85)\n", *streamMiB,
		1/took.ratio("NDJSON", "bare", 0.5), 1/took.ratio("raw", "bare", 0.5))
}

func (b *bench) cat(file string) error {
	s, err := b.warm[0].NewSession()
	if err != nil {
		return err
	}
	defer s.Close()
	s.Stdout = io.Discard
	return s.Run("exec cat " + file)
}

func drain(frames *client.Frames, err error) error {
	if err != nil {
		return err
	}
	defer frames.Close()
	for {
		f, err := frames.Next()
		switch {
		case err != nil:
			return err
		case f.Err != nil:
			return f.Err
		case f.Result != nil:
			return nil
		}
	}
}
