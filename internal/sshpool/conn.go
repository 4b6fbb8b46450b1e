package sshpool

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
)

// conn is one authenticated connection.
type conn struct {
	pool   *Pool
	group  *group
	client ssh.Conn
	internals
	wire    *wire
	hostKey HostKey
	since   time.Time
	life    time.Duration // how long it lasts at most from since on; 0 is without limit
	shared  string        // see connector.Link
	direct  bool          // likewise, DirectStart
	done    chan struct{} // closed when the connection has ended
	trip    atomic.Int64  // the shortest round trip that was seen, in ns; 0 before the first

	// Guarded by Pool.mu.
	busy       int // slots that callers have
	keptSlots  int // and those of what is kept for as long as the connection lasts
	channels   int // what holds the connection, and takes no slot
	abandoned  int // of these, those that no caller waits for any more and the machine still owes
	facts      Facts
	kept       map[string]*kept
	unanswered int      // opens that no caller waits for any more and the machine still owes
	ahead      *opening // a session opened ahead; nil for none
	idleSince  time.Time
	place      *idlePlace // among the idle ones, or nil
	removed    bool       // no caller is given it any more

	once  sync.Once
	cause error // why it ended; set before done is closed
}

// monitor keeps the connection alive, finds a half-open one, and takes it out
// of the pool when it has ended.
func (c *conn) monitor() {
	tick := time.NewTicker(limits.KeepaliveEvery)
	defer tick.Stop()
	for c.alive() {
		select {
		case <-c.done:
		case <-tick.C:
			w := c.awaitReply("keepalive")
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			w.stop()
			if err != nil {
				c.kill(fmt.Errorf("keepalive: %w", err))
			}
		}
	}
	c.kill(errLost)
	c.dropAhead()
	c.pool.remove(c)
	c.closeKept()
	c.internals.end(c.client)
	_ = c.client.Wait() // that it ended is what matters
}

// serveChannels refuses what a machine may not ask of a client: channels to this
// side. The library lets it go first of all when the connection has ended.
func (c *conn) serveChannels(chans <-chan ssh.NewChannel) {
	for asked := 0; ; asked++ {
		ch, ok := <-chans
		switch {
		case !ok:
			c.kill(errLost)
			return
		case asked == limits.ForeignChannelsMax:
			c.kill(errors.New("the machine opens channels without end"))
		}
		_ = ch.Reject(ssh.Prohibited, "no channels to this side") // a lost connection shows elsewhere
	}
}

// serveRequests refuses what the machine wants of the connection as a whole. An
// honest one asks whether we are there, now and then.
func (c *conn) serveRequests(reqs <-chan *ssh.Request) {
	var asked pace
	for req := range reqs {
		if !asked.allow(limits.RequestsPerMinuteMax, time.Minute) {
			c.kill(errors.New("the machine asks without end"))
		}
		if req.WantReply {
			_ = req.Reply(false, nil) // a lost connection shows elsewhere
		}
	}
}

var errLost = errors.New("connection lost")

// alive tells whether the connection has not ended, as far as we know.
func (c *conn) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return !c.broken()
	}
}

// broken tells whether the connection carries nothing any more: the wire has failed, or
// the library has given it up.
func (c *conn) broken() bool { return c.wire.broken.Load() || c.hasEnded() }

// kill ends the connection; the first cause is kept. What hangs on it is told.
func (c *conn) kill(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.done)
	})
	_ = c.wire.Close() // its end is what was wanted
}

// reply is one that the machine owes us. Where nothing at all comes
// for limits.KeepaliveTimeout the connection is given up: it is half-open. One on
// which much is on its way may take longer, within limits.AnswerTimeMax.
type reply struct {
	conn  *conn
	what  string
	asked time.Time

	mu    sync.Mutex // guards timer
	timer *time.Timer
	over  bool
}

// awaitReply begins to wait for a reply; stop ends that.
func (c *conn) awaitReply(what string) *reply {
	w := &reply{conn: c, what: what, asked: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limits.KeepaliveTimeout, w.look)
	return w
}

func (w *reply) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	silent, waited := w.conn.wire.silentFor(), time.Since(w.asked)
	if silent >= limits.KeepaliveTimeout || waited >= limits.AnswerTimeMax {
		w.over = true
		w.conn.kill(&silentError{w.what})
		return
	}
	w.timer.Reset(min(limits.KeepaliveTimeout-silent, limits.AnswerTimeMax-waited))
}

func (w *reply) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
}

// silentError is why a connection was given up.
type silentError struct{ what string }

func (e *silentError) Error() string { return e.what + " unanswered" }
