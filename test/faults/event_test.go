//go:build linux

package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

const (
	eventCallers = 20
	eventReaders = 50
)

// eventExecs is how many execs the readers have to see; more take longer.
func eventExecs(t *testing.T) int {
	text := os.Getenv("FAULTS_EVENT_EXECS")
	if text == "" {
		return 20 * eventCallers
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEventsForAll runs execs of many callers while readers of both kinds come and
// go at random: each sees every event once, in order.
func TestEventsForAll(t *testing.T) {
	t.Parallel()
	s := startChild(t, childOptions{})
	execs := eventExecs(t)
	first := lastSeq(t, s.Stack)
	last := first + 2*int64(execs)
	chance := newRand(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var readers, callers sync.WaitGroup
	for i := range eventReaders {
		r := &eventReader{s: s.Stack, at: first, last: last, chance: rand.New(rand.NewPCG(chance.Uint64(), 1))}
		r.read = r.readSSE
		if i%2 == 0 {
			r.read = r.readSocket
		}
		readers.Go(func() {
			if err := r.run(ctx); err != nil {
				t.Errorf("reader %d, at %d of %d after %d connections: %v", i, r.at, last, r.connections, err)
				cancel()
			}
		})
	}
	for range eventCallers {
		callers.Go(func() {
			c := newCaller(t, s.Stack)
			for range execs / eventCallers {
				if a, err := c.exec(ctx, shell(":")); err != nil || a.result == nil {
					t.Errorf("exec: %s, %v", a, err)
					cancel()
					return
				}
			}
		})
	}
	callers.Wait()
	readers.Wait()
}

// lastSeq is the seq of the organisation's last event.
func lastSeq(t *testing.T, s *stack.Stack) int64 {
	t.Helper()
	var page sallyport.List[sallyport.Activity]
	s.Do(t, http.MethodGet, "/orgs/dev/activity?limit=1", s.Token, "").Decode(t, &page)
	return page.Items[0].Seq
}

// eventReader reads the events behind at, up to last, over many connections.
type eventReader struct {
	s        *stack.Stack
	at, last int64
	chance   *rand.Rand
	read     func(ctx context.Context, web *http.Transport, take func([]byte) error) error

	connections int
}

// errEnough ends a connection whose reader goes, or has all.
var errEnough = errors.New("enough")

func (r *eventReader) run(ctx context.Context) error {
	web := &http.Transport{}
	defer web.CloseIdleConnections()
	for r.at < r.last {
		r.connections++
		left := 1 + r.chance.IntN(400)
		err := r.read(ctx, web, func(row []byte) error {
			var event struct{ Seq int64 }
			if err := json.Unmarshal(row, &event); err != nil {
				return fmt.Errorf("event %q: %w", row, err)
			}
			if event.Seq != r.at+1 {
				return fmt.Errorf("event %d after %d: %s", event.Seq, r.at, row)
			}
			r.at = event.Seq
			if left--; left == 0 || r.at == r.last {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			return err
		}
	}
	return nil
}

func (r *eventReader) readSSE(ctx context.Context, web *http.Transport, take func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.s.URL+"/orgs/dev/events", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.s.Token)
	req.Header.Set("Last-Event-ID", strconv.FormatInt(r.at, 10))
	resp, err := (&http.Client{Transport: web}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		row, isData := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !isData {
			continue
		}
		if err := take(row); err != nil {
			return err
		}
	}
	return errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}

func (r *eventReader) readSocket(ctx context.Context, web *http.Transport, take func([]byte) error) error {
	header := http.Header{"Authorization": {"Bearer " + r.s.Token}, "Last-Event-Id": {strconv.FormatInt(r.at, 10)}}
	conn, _, err := websocket.Dial(ctx, r.s.URL+"/orgs/dev/events", &websocket.DialOptions{
		HTTPHeader: header, HTTPClient: &http.Client{Transport: web},
	})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	for {
		_, row, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if err := take(row); err != nil {
			return err
		}
	}
}

// A reader that has stopped costs less than 1 MiB, whatever happens meanwhile, and
// nobody else waits for it.
func TestStoppedEventReaders(t *testing.T) {
	const stopped, costMax = 30, 1 << 20
	s := stack.Start(t, stack.Options{})
	c := newCaller(t, s)
	flood := func() {
		e := sallyport.ExecRequest{Cmd: []string{"/bin/sh", "-c", ":", string(bytes.Repeat([]byte("x"), 100_000))}}
		for range 40 { // 8 MB of events, more than any socket takes
			c.mustExec(t, e)
		}
	}
	flood()
	before := heap()
	for i := range stopped {
		conn := dial(t, s)
		if err := conn.SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		upgrade := ""
		if i%2 == 0 {
			upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		}
		fmt.Fprintf(conn, "GET /orgs/dev/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n", s.Token, upgrade)
		if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil {
			t.Fatal(err)
		}
	}
	flood()
	cost := (heap() - before) / stopped
	t.Logf("a reader that has stopped costs %d KiB", cost>>10)
	if cost > costMax {
		t.Error("that is too much")
	}
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
