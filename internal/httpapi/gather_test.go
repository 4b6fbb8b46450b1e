package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// counted is a connection that counts its writes.
type counted struct {
	net.Conn
	mu     sync.Mutex
	writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	return c.Conn.Write(p)
}

// TestGather: messages of every size around the buffer's come as they were written, pings
// between them too, and each in one write, or in one of several parts.
func TestGather(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 100, gatherBytes, 4096, 65535, 65536, 100_000}
	for n := gatherBytes - 12; n <= 2*gatherBytes+2; n++ {
		sizes = append(sizes, n)
	}
	failed := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		failed <- writeSizes(w, r, sizes)
	}))
	defer server.Close()
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(server.URL, "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	for _, size := range sizes {
		_, got, err := conn.Read(t.Context())
		if err != nil || string(got) != content(size) {
			t.Fatalf("of %d bytes came %d, %v", size, len(got), err)
		}
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Error(err)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func content(size int) string { return strings.Repeat("0123456789", size/10+1)[:size] }

func writeSizes(w http.ResponseWriter, r *http.Request, sizes []int) error {
	out := &gatherer{}
	conn, err := websocket.Accept(hijacker{ResponseWriter: w, to: out}, r, nil)
	if err != nil {
		return err
	}
	below := &counted{Conn: out.Conn}
	out.Conn = below
	s := &socket{conn: conn, out: out}
	s.ctx, s.cancel = context.WithCancel(r.Context())
	defer s.cancel()
	go func() { _, _, _ = conn.Read(s.ctx) }() // so that pongs are seen
	for i, size := range sizes {
		before := below.writes
		if err := s.write(websocket.MessageBinary, []byte(content(size))); err != nil {
			return err
		}
		if below.writes > before+1 {
			return errors.New("a message took several writes")
		}
		if i%100 == 0 {
			if err := conn.Ping(s.ctx); err != nil {
				return err
			}
		}
	}
	return conn.Close(websocket.StatusNormalClosure, "")
}
