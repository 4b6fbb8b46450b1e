package sshpool_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// pipe is a pair of connected streams in memory. Unlike net.Pipe they hold what
// was written (both sides of an SSH handshake write first), and unlike sockets
// they can be waited for in synctest.
type pipe struct {
	mu      sync.Mutex // guards the fields below
	changed *sync.Cond
	bytes   [2]bytes.Buffer // on their way to end 0 and to end 1
	closed  bool
	silent  bool
}

func newPipe() *pipe {
	p := &pipe{}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// silence loses everything from now on, as a cut cable does: neither end is told.
func (p *pipe) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed.Broadcast()
}

func (p *pipe) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// end is one end of a pipe.
type end struct {
	*pipe
	side int
}

func (e end) Read(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.bytes[e.side].Len() == 0 && !e.closed {
		e.changed.Wait()
	}
	if e.closed {
		return 0, io.EOF
	}
	return e.bytes[e.side].Read(b)
}

func (e end) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return 0, net.ErrClosed
	case e.silent:
		return len(b), nil
	}
	e.changed.Broadcast()
	return e.bytes[1-e.side].Write(b)
}

func (e end) Close() error {
	e.close()
	return nil
}

var errNoDeadlines = errors.New("a pipe has no deadlines")

func (end) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "pipe"} }
func (end) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "pipe"} }
func (end) SetDeadline(time.Time) error      { return errNoDeadlines }
func (end) SetReadDeadline(time.Time) error  { return errNoDeadlines }
func (end) SetWriteDeadline(time.Time) error { return errNoDeadlines }
