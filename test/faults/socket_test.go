//go:build linux

package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/loopback"
)

var (
	terminalMiB  = flag.Int64("terminal-mib", 16, "how much a terminal prints whose connection is cut, and which may not cost its server 32 MiB")
	terminalCuts = flag.Int("terminal-cuts", 200, "how often it is cut")
)

// dialSocket opens a WebSocket about the workspace local.
func (c *child) dialSocket(t *testing.T, path, subprotocol string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), c.URL+"/workspaces/local"+path, &websocket.DialOptions{
		Subprotocols: []string{subprotocol}, HTTPHeader: http.Header{"Authorization": {"Bearer " + c.Token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// sitting is a client at a terminal that prints the numbers from 1 on, and then the hash of what
// was typed. It acks what it reads.
type sitting struct {
	conn    *websocket.Conn
	id      string
	printed int64 // the numbers' bytes
	shown   int64
	number  int64  // the last that was shown whole, or in part
	due     []byte // what is still to come of it
	rest    []byte // what came behind the numbers
	exit    string
	cuts    int
}

// begin sends a first message, and reads the answer.
func (s *sitting) begin(t *testing.T, first string) sallyport.TerminalResumed {
	t.Helper()
	s.says(t, first)
	_, text, err := s.conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var answer sallyport.TerminalResumed
	if err := json.Unmarshal(text, &answer); err != nil || answer.ID == "" {
		t.Fatalf("answer %s", text)
	}
	return answer
}

func (s *sitting) says(t *testing.T, text string) {
	t.Helper()
	if err := s.conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// read reads so many bytes, or to the exit.
func (s *sitting) read(t *testing.T, n int64) {
	t.Helper()
	for n > 0 && s.exit == "" {
		kind, message, err := s.conn.Read(t.Context())
		switch {
		case err != nil:
			t.Fatal(err)
		case kind == websocket.MessageText:
			s.exit = string(message)
			continue
		}
		n -= int64(len(message))
		s.take(t, message)
		s.says(t, fmt.Sprintf(`{"type":"ack","received":%d}`, s.shown))
	}
}

// take compares what is shown with what was printed.
func (s *sitting) take(t *testing.T, message []byte) {
	t.Helper()
	numbers := min(int64(len(message)), max(0, s.printed-s.shown))
	s.shown += int64(len(message))
	s.rest = append(s.rest, message[numbers:]...)
	for message = message[:numbers]; len(message) > 0; {
		if len(s.due) == 0 {
			s.number++
			s.due = append(strconv.AppendInt(s.due, s.number, 10), '\n')
		}
		n := min(len(s.due), len(message))
		if !bytes.Equal(message[:n], s.due[:n]) {
			t.Fatalf("%.40q is shown where %q is due, before byte %d", message, s.due, s.shown)
		}
		message, s.due = message[n:], s.due[n:]
	}
}

// A terminal whose connection is cut at random again and again, while it prints much and is
// typed to, loses and repeats nothing, and its server's memory stays what it was: what nobody
// reads is not printed.
func TestTerminalThroughCuts(t *testing.T) {
	t.Parallel()
	server := startChild(t, childOptions{})
	warm := &sitting{conn: server.dialSocket(t, "/terminal", sallyport.SubprotocolTerminal), printed: 4 << 20}
	warm.begin(t, fmt.Sprintf(`{"type":"start","cmd":["sh","-c","stty raw -echo; seq 1 100000000 | head -c %d"]}`, warm.printed))
	warm.read(t, 2*warm.printed)
	baseline := memory(t, server.pid(), "VmRSS")
	resetPeak(t, server.pid())

	keys := make([]byte, 200<<10)
	for i := range keys {
		keys[i] = byte(rand.Uint32())
	}
	s := &sitting{conn: server.dialSocket(t, "/terminal", sallyport.SubprotocolTerminal), printed: *terminalMiB << 20}
	hash := filepath.Join(t.TempDir(), "hash")
	script := fmt.Sprintf("stty raw -echo; exec 3<&0; (head -c %d <&3 | sha256sum >%s) & seq 1 1000000000 | head -c %d; wait; cat %[2]s; exit 9", len(keys), hash, s.printed)
	s.id = s.begin(t, fmt.Sprintf(`{"type":"start","cmd":["sh","-c",%q]}`, script)).ID
	s.says(t, `{"type":"ack","received":0}`)
	s.read(t, 1) // from here on no key is echoed
	s.cut(t, server, keys)

	peak := memory(t, server.pid(), "VmHWM")
	t.Logf("%d MiB; memory %d KiB before, %d KiB at most", *terminalMiB, baseline>>10, peak>>10)
	if peak-baseline > raceMemory*memoryGrowthMax {
		t.Errorf("the server grew by %d KiB", (peak-baseline)>>10)
	}
	sum := sha256.Sum256(keys)
	if want := hex.EncodeToString(sum[:]) + "  -\n"; string(s.rest) != want {
		t.Errorf("behind the numbers %q is shown, want %q", s.rest, want)
	}
	var exit sallyport.TerminalExit
	if err := json.Unmarshal([]byte(s.exit), &exit); err != nil || exit.ExitCode != 9 {
		t.Errorf("the last message is %s", s.exit)
	}
	var row sallyport.Activity
	server.Do(t, http.MethodGet, "/workspaces/local/terminals/"+s.id, server.Token, "").Decode(t, &row)
	if row.OutputBytes == nil || *row.OutputBytes != s.shown || *row.InputBytes != int64(len(keys)) {
		t.Errorf("%d bytes are shown, row %+v", s.shown, row)
	}
	// Who comes again for the last of the output comes when the row may be complete.
	if cuts := *terminalCuts; s.cuts != cuts || *row.Resumes > cuts || *row.Resumes < cuts/2 {
		t.Errorf("%d cuts, %d resumes in the row", s.cuts, *row.Resumes)
	}
}

// cut reads and types to the end, through all cuts.
func (s *sitting) cut(t *testing.T, server *child, keys []byte) {
	t.Helper()
	for typed := 0; s.exit == ""; s.cuts++ {
		ctx, stop := context.WithCancel(t.Context())
		typing := s.typeSome(ctx, keys[typed:])
		if left := int64(*terminalCuts - s.cuts); left == 0 {
			s.read(t, 2*s.printed)
		} else { // half of its share, and what else its last message brings
			s.read(t, 1+rand.Int64N(max(1, (s.printed-s.shown)/left)))
		}
		_ = s.conn.CloseNow()
		stop()
		<-typing
		if s.exit != "" {
			return
		}
		s.conn = server.dialSocket(t, "/terminal", sallyport.SubprotocolTerminal)
		back := s.begin(t, fmt.Sprintf(`{"type":"resume","id":%q,"received":%d}`, s.id, s.shown))
		if back.From != s.shown {
			t.Fatalf("it goes on at %d, want %d", back.From, s.shown)
		}
		typed = int(back.InputReceived)
	}
}

// typeSome types keys until the connection ends; typing is closed then.
func (s *sitting) typeSome(ctx context.Context, keys []byte) (typing <-chan struct{}) {
	done, conn := make(chan struct{}), s.conn
	go func() {
		defer close(done)
		for len(keys) > 0 {
			n := min(len(keys), 1+rand.IntN(3000))
			if conn.Write(ctx, websocket.MessageBinary, keys[:n]) != nil {
				return
			}
			keys = keys[n:]
		}
	}()
	return done
}

// A hundred forwards whose callers read nothing, and whose targets send as much as is taken: the
// server holds no more of each than the window of SSH, and goes on.
func TestMemoryOfForwardsNobodyReads(t *testing.T) {
	t.Parallel()
	const (
		many      = 100
		eachMax   = 4 << 20     // the window, and what the collector takes beside
		stuckTime = time.Second // without a byte taken
	)
	server := startChild(t, childOptions{})
	c := newCaller(t, server.Stack)
	c.mustServe(t)
	var sent atomic.Int64
	var stuck sync.WaitGroup
	stuck.Add(many)
	target := loopback.Serve(t, func(conn *net.TCPConn) {
		piece := make([]byte, 64<<10)
		for {
			_ = conn.SetWriteDeadline(time.Now().Add(stuckTime))
			n, err := conn.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				break
			}
		}
		stuck.Done()
		<-t.Context().Done()
	})
	baseline := memory(t, server.pid(), "VmRSS")
	resetPeak(t, server.pid())
	for range many {
		server.dialSocket(t, fmt.Sprintf("/forward?port=%d", target.Port), sallyport.SubprotocolForward)
	}
	stuck.Wait()
	peak := memory(t, server.pid(), "VmHWM")
	t.Logf("%d MiB were taken; memory %d MiB before, %d MiB at most", sent.Load()>>20, baseline>>20, peak>>20)
	if peak-baseline > raceMemory*many*eachMax {
		t.Errorf("the server grew by %d MiB", (peak-baseline)>>20)
	}
	c.mustServe(t)
}
