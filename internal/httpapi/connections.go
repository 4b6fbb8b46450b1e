package httpapi

import (
	"container/list"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"sallyport/internal/limits"
)

// Connections bounds the connections that an HTTP server holds, so that callers never take
// the descriptors that the store and the ways to machines need. At the bound a connection
// without a request makes room for a new one, the oldest first. Where each has a request,
// the new one is closed. Its fields are set before Listen. It is safe for concurrent use.
type Connections struct {
	// Most is how many there may be.
	Most int
	Log  *slog.Logger

	mu     sync.Mutex // guards the fields below
	open   map[*connection]struct{}
	quiet  list.List // of *connection: those without a request, the oldest first
	closed int       // closed for want of room since the log was told
	told   time.Time // when the log was told
}

// connection is one that was accepted, until it is closed.
type connection struct {
	net.Conn
	of   *Connections
	once sync.Once
	// place is where it stands in of.quiet, nil while it has a request. of.mu guards it.
	place *list.Element
}

// Listen returns a listener whose connections are counted. TLS goes on top of it.
func (c *Connections) Listen(l net.Listener) net.Listener {
	c.open = map[*connection]struct{}{}
	return &boundListener{l, c}
}

type boundListener struct {
	net.Listener
	connections *Connections
}

// Accept implements net.Listener.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if counted := l.connections.admit(conn); counted != nil {
			return counted, nil
		}
	}
}

// admit counts a connection, or closes it and returns nil where there is no room.
func (c *Connections) admit(conn net.Conn) net.Conn {
	counted := &connection{Conn: conn, of: c}
	evicted, ok := c.add(counted)
	if !ok {
		_ = conn.Close()
	}
	if evicted != nil {
		_ = evicted.Close() // whoever had it opens another
	}
	if evicted != nil || !ok {
		c.tell()
	}
	if !ok {
		return nil
	}
	return counted
}

// add counts a connection if there is room, or if one without a request makes room, which
// is then to be closed.
func (c *Connections) add(conn *connection) (evicted *connection, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= c.Most {
		oldest := c.quiet.Front()
		if oldest == nil {
			return nil, false
		}
		evicted = oldest.Value.(*connection)
		c.forget(evicted)
	}
	c.open[conn] = struct{}{}
	conn.place = c.quiet.PushBack(conn)
	return evicted, true
}

// State follows the requests of a connection: it is an http.Server's ConnState.
func (c *Connections) State(conn net.Conn, state http.ConnState) {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	counted, ok := conn.(*connection)
	if !ok {
		return
	}
	switch state {
	case http.StateActive, http.StateHijacked:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.busy(counted)
	case http.StateIdle:
		c.rest(counted)
	case http.StateNew, http.StateClosed: // admit and Close have seen to it
	}
}

// Context remembers a connection in the context of its requests: it is an http.Server's
// ConnContext.
func (c *Connections) Context(ctx context.Context, conn net.Conn) context.Context {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, conn)
}

type connectionKey struct{}

// yield lets a request's connection make room for others: its caller is answered without
// the body being looked at, and sends the rest of that as slowly as it likes.
func yield(r *http.Request) {
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok && r.ProtoMajor == 1 {
		conn.of.rest(conn)
	}
}

// rest puts a connection at the end of the list of those without a request.
func (c *Connections) rest(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, open := c.open[conn]; open && conn.place == nil {
		conn.place = c.quiet.PushBack(conn)
	}
}

// busy takes a connection off the list of those without a request. c.mu is held.
func (c *Connections) busy(conn *connection) {
	if conn.place != nil {
		c.quiet.Remove(conn.place)
		conn.place = nil
	}
}

// forget counts a connection no more. c.mu is held.
func (c *Connections) forget(conn *connection) {
	delete(c.open, conn)
	c.busy(conn)
}

// tell counts a connection that was closed for want of room, and says so in the log now
// and then.
func (c *Connections) tell() {
	if closed := c.closedUntold(time.Now()); closed > 0 {
		c.Log.Warn("connections are as many as there may be: those without a request are closed", "most", c.Most, "closed", closed)
	}
}

// closedUntold counts one connection more, and returns how many were closed since the log
// was told, 0 if that was just now.
func (c *Connections) closedUntold(now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	if now.Sub(c.told) < limits.ConnectionsTellEvery {
		return 0
	}
	closed := c.closed
	c.told, c.closed = now, 0
	return closed
}

// Close implements net.Conn.
func (conn *connection) Close() error {
	conn.once.Do(func() {
		conn.of.mu.Lock()
		defer conn.of.mu.Unlock()
		conn.of.forget(conn)
	})
	return conn.Conn.Close()
}
