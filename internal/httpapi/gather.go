package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
)

// gatherer has a WebSocket write each of its messages at once. The library puts a frame's
// header into a buffer, fills that with what fits of the payload, writes it, and writes the rest
// behind it: two system calls and two packets a message, of which the other side is woken twice.
type gatherer struct {
	net.Conn
	// bottom is where Conn writes to: the connection that takes several parts in one call.
	bottom io.Writer

	mu sync.Mutex // guards the fields below
	// isGathering tells that a message is being written, of which a full buffer is a part.
	isGathering bool
	kept        []byte
}

// gatherBytes is the size of the library's buffer: more than a control frame has (RFC 6455,
// 5.5), so that one never fills it.
const gatherBytes = 256

// hijacker is a ResponseWriter whose connection is gathered when it is taken over.
type hijacker struct {
	http.ResponseWriter
	to *gatherer
}

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.to.Conn, h.to.bottom = conn, conn
	if counted, ok := conn.(*connection); ok {
		h.to.bottom = counted.Conn
	}
	return h.to, bufio.NewReadWriter(buffered.Reader, bufio.NewWriterSize(h.to, gatherBytes)), nil
}

// gather begins a message.
func (g *gatherer) gather() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isGathering = true
}

// release ends it: what is kept is written.
func (g *gatherer) release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isGathering = false
	_, err := g.write(nil)
	return err
}

// Write implements net.Conn.
func (g *gatherer) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isGathering && len(p) == gatherBytes && len(g.kept) == 0 {
		g.kept = append(g.kept, p...)
		return len(p), nil
	}
	return g.write(p)
}

// write writes what is kept and p behind it. The caller holds mu.
func (g *gatherer) write(p []byte) (int, error) {
	if len(g.kept) == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return g.Conn.Write(p)
	}
	all := net.Buffers{g.kept, p}
	n, err := all.WriteTo(g.bottom)
	written := max(0, int(n)-len(g.kept))
	g.kept = g.kept[:0]
	return written, err
}
