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
// whether an SSH server spoke, how much was carried, and throttles a server that hasn't
// logged us in.
//
// Why throttle: the SSH library reads ahead into a queue of 16 packets, and when a
// handshake fails while a packet more has come, its two goroutines hang for good
// (drain.go), on a connection that nobody has in hand yet. So until the login is under way
// the library is given the bytes of few packets at a time, with a pause in which it takes
// them, or closes the wire. On a busy machine it may not come to that in one pause: five
// in a row must pass before the queue is full, and two of any five are long.
type wire struct {
	net.Conn

	heard         atomic.Int64 // when something came last, Unix time in ns
	carried       atomic.Int64 // bytes since the last exchange of keys, both ways
	authenticated atomic.Bool
	throttled     atomic.Bool
	hello         atomic.Bool
	broken        atomic.Bool // a read or a write has failed since the login
	closed        chan struct{}
	once          sync.Once

	// Of the one goroutine that reads.
	ahead          readAhead
	loginBytesLeft int
	untilPause     int // bytes that are given before the next pause
	pauses         int // so far
	matched        int // bytes of "SSH-" that the line at hand began with; -1 is another line
}

const (
	// packetBytesMin is the smallest packet of any cipher.
	packetBytesMin = 28
	// wireBytesFirst is what is given before the first pause: fewer bytes than 9 packets
	// take. An honest server's answers to a login are a few of these.
	wireBytesFirst = 9*packetBytesMin - 1
	// wireBytesThen is what is given after each pause: fewer bytes than 3 packets take.
	wireBytesThen = 3*packetBytesMin - 1
	// An honest login is under way within the first pauses, which are short.
	wirePauseShort = time.Millisecond
	wirePauseLong  = 5 * time.Millisecond
)

var errTalkative = errors.New("the machine says too much before the login")

func newWire(conn net.Conn, buffers *sync.Pool) *wire {
	w := &wire{Conn: conn, ahead: readAhead{buffers: buffers}, closed: make(chan struct{}), loginBytesLeft: limits.LoginBytesMax, untilPause: wireBytesFirst}
	w.heard.Store(time.Now().UnixNano())
	return w
}

func (w *wire) Read(p []byte) (int, error) {
	if w.authenticated.Load() {
		n, err := w.ahead.read(w.Conn, p)
		if err != nil {
			w.broken.Store(true)
		}
		w.carried.Add(int64(n))
		w.heard.Store(time.Now().UnixNano())
		return n, err
	}
	switch {
	case w.loginBytesLeft <= 0:
		return 0, errTalkative
	case !w.throttled.Load(): // the exchange of keys takes its packets itself
		w.untilPause = wireBytesFirst
	case w.untilPause == 0:
		if !w.pause() {
			return 0, net.ErrClosed
		}
		w.untilPause = wireBytesThen
	}
	n, err := w.Conn.Read(p[:min(len(p), w.untilPause)])
	w.loginBytesLeft -= n
	w.untilPause -= n
	w.heard.Store(time.Now().UnixNano())
	w.listen(p[:n])
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.carried.Add(int64(n))
	if err != nil && w.authenticated.Load() {
		w.broken.Store(true)
	}
	return n, err
}

// pause lets what was read be taken, and tells whether the wire is still open.
func (w *wire) pause() bool {
	length := wirePauseShort
	if w.pauses++; w.pauses%5 >= 3 {
		length = wirePauseLong
	}
	timer := time.NewTimer(length)
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

// throttle begins the pauses: from now on the server's packets are queued.
func (w *wire) throttle() { w.throttled.Store(true) }

// unthrottle ends the pauses: whoever logs in can drain the queue from now on.
func (w *wire) unthrottle() { w.throttled.Store(false) }

// authenticate ends the limits: the server has logged us in.
func (w *wire) authenticate() { w.authenticated.Store(true) }

// silentFor is how long nothing has come.
func (w *wire) silentFor() time.Duration { return time.Since(time.Unix(0, w.heard.Load())) }
