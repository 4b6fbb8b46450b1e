package sshpool

import (
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Channel is one channel on a pooled connection, of any kind. Read is what comes from the
// machine, Write what goes there.
type Channel struct {
	ssh.Channel
	// Warm tells that the channel was had at once, on a connection with room: its caller
	// waited for no dial, and for no other session's end.
	Warm bool

	conn     *conn
	target   Target
	by       Dialer // of the caller that opened it
	requests <-chan *ssh.Request
	holds    hold
	wg       sync.WaitGroup
	once     sync.Once
}

// hold is what a channel holds of its connection until it is closed.
type hold int

const (
	holdsSlot    hold = iota // one of the sessions that the machine takes
	holdsKept                // likewise, for as long as the connection lasts
	holdsChannel             // the connection alone
)

// Requests carries what the machine says of the session: exit-status,
// exit-signal. It is closed when the session has ended, or its connection.
// Somebody must read it until Close.
func (c *Channel) Requests() <-chan *ssh.Request { return c.requests }

// Go runs f in a goroutine that ends when the channel does; the channel waits for it, and
// keeps its slot until then.
func (c *Channel) Go(f func()) { c.wg.Go(f) }

// Lost is closed when the connection under the channel has ended.
func (c *Channel) Lost() <-chan struct{} { return c.conn.done }

// Broken tells whether the connection no longer carries anything, whoever broke it: the
// machine, the network, or this side over a packet that made no sense, a forged one, or a
// host key that has changed. It is true before the streams of a session end for that: an
// end of file that was seen while it is false is the machine's own.
func (c *Channel) Broken() bool { return c.conn.broken() }

// Left is how long the connection lives on at most; 0 is without limit.
func (c *Channel) Left() time.Duration {
	if c.conn.life == 0 {
		return 0
	}
	return max(c.conn.left(time.Now()), time.Nanosecond)
}

// RoundTrip is the shortest that was seen on the channel's connection.
func (c *Channel) RoundTrip() time.Duration { return time.Duration(c.conn.trip.Load()) }

// learnTrip takes how long an answer took.
func (c *conn) learnTrip(d time.Duration) {
	for {
		known := c.trip.Load()
		if known != 0 && known <= int64(d) || c.trip.CompareAndSwap(known, int64(d)) {
			return
		}
	}
}

// Close closes the channel and returns at once. The slot is free again when the
// machine has confirmed; one that never does loses its connection. Closing does
// not end the command. It may be called twice.
func (c *Channel) Close() error {
	c.once.Do(func() {
		_ = c.Channel.Close() // a connection that is lost needs none
		c.conn.pool.wg.Go(c.release)
	})
	return nil
}

func (c *Channel) release() {
	w := c.conn.awaitReply("close")
	ssh.DiscardRequests(c.requests)
	w.stop()
	c.wg.Wait()
	p := c.conn.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	switch c.holds {
	case holdsSlot:
		p.release(c.conn, Need{})
	case holdsChannel:
		p.release(c.conn, Need{slotless: true})
	case holdsKept:
		c.conn.keptSlots--
		p.grantAll(c.conn.group)
	}
}
