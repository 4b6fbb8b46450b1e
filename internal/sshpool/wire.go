package sshpool

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/limits"
)

// wire is the stream below an SSH connection. It knows when something came last,
// whether an SSH server spoke, and holds a server short that hasn't logged us in.
//
// Why short: the SSH library reads ahead into a queue of 16 packets, and when a
// handshake fails while a packet more has come, its two goroutines hang for good. So
// until the login is done a read gives fewer bytes than 9 packets take, and while
// answers are awaited there is a pause between reads, in which what came is taken
// or the wire is closed.
type wire struct {
	net.Conn

	heard   atomic.Int64 // when something came last, Unix time in ns
	trusted atomic.Bool
	crowded atomic.Bool
	hello   atomic.Bool
	broken  atomic.Bool // a read or a write has failed since the login
	closed  chan struct{}
	once    sync.Once

	// Of the one goroutine that reads.
	budget  int
	given   int // bytes since the last pause
	matched int // bytes of "SSH-" that the line at hand began with; -1 is another line
}

const (
	// wireReadBytes are fewer than 9 of the smallest packets of any cipher, 28 bytes: on a
	// loaded machine it may take more than one pause until somebody takes them, or says that
	// nobody will.
	wireReadBytes = 9*28 - 1
	wirePause     = time.Millisecond
)

var errTalkative = errors.New("the machine says too much before the login")

func newWire(conn net.Conn) *wire {
	w := &wire{Conn: conn, closed: make(chan struct{}), budget: limits.LoginBytesMax}
	w.heard.Store(time.Now().UnixNano())
	return w
}

func (w *wire) Read(p []byte) (int, error) {
	if w.trusted.Load() {
		n, err := w.Conn.Read(p)
		if err != nil {
			w.broken.Store(true)
		}
		w.heard.Store(time.Now().UnixNano())
		return n, err
	}
	switch {
	case w.budget <= 0:
		return 0, errTalkative
	case !w.crowded.Load(): // what comes now is taken at once
		w.given = 0
	case w.given == wireReadBytes:
		if !w.rest() {
			return 0, net.ErrClosed
		}
		w.given = 0
	}
	n, err := w.Conn.Read(p[:min(len(p), wireReadBytes-w.given)])
	w.budget -= n
	w.given += n
	w.heard.Store(time.Now().UnixNano())
	w.listen(p[:n])
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err != nil && w.trusted.Load() {
		w.broken.Store(true)
	}
	return n, err
}

// rest lets what was read be taken, and tells whether the wire is still open.
func (w *wire) rest() bool {
	timer := time.NewTimer(wirePause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.closed:
		return false
	}
}

// listen looks for a line that begins as an SSH server's greeting does.
func (w *wire) listen(p []byte) {
	const greeting = "SSH-"
	for _, b := range p {
		switch {
		case w.matched == len(greeting):
			return
		case b == '\n':
			w.matched = 0
		case w.matched >= 0 && b == greeting[w.matched]:
			w.matched++
			if w.matched == len(greeting) {
				w.hello.Store(true)
			}
		default:
			w.matched = -1
		}
	}
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// greeted tells whether an SSH server spoke.
func (w *wire) greeted() bool { return w.hello.Load() }

// crowd begins the pauses: from now on the server's packets are queued.
func (w *wire) crowd() { w.crowded.Store(true) }

// trust ends what holds the server short: it has logged us in.
func (w *wire) trust() { w.trusted.Store(true) }

// silentFor is how long nothing has come.
func (w *wire) silentFor() time.Duration { return time.Since(time.Unix(0, w.heard.Load())) }
