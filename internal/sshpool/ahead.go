package sshpool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
)

// opening is a session that is being opened, for a caller who waits or for the next one.
type opening struct {
	claimed chan struct{} // closed when a caller has taken it
	opened  chan struct{} // closed when the machine has answered
	over    chan struct{} // closed when its goroutine has ended
	session *Session
	err     error
}

func newOpening() *opening {
	return &opening{claimed: make(chan struct{}), opened: make(chan struct{}), over: make(chan struct{})}
}

// open opens a session in the slot that the caller has taken, and frees the
// slot when that fails. sshd frees a session some time after it has confirmed its
// end: a connection that refuses its only session is asked again a few times.
func (c *conn) open(ctx context.Context) (*Session, error) {
	for asked := 1; ; {
		o, isAhead := c.takeOpening()
		select {
		case <-o.over:
			switch {
			case o.err == nil:
				return o.session, nil
			case isAhead && errors.Is(o.err, errAheadEnded):
				// The machine closed it while it waited: nothing is wrong.
			case asked < refusedTries && c.isLone(o.err) && c.pauseBeforeRetry(ctx):
				asked++
			default:
				return nil, fmt.Errorf("open session: %w", c.refused(o.err))
			}
		case <-ctx.Done():
			c.abandon(o)
			return nil, fmt.Errorf("open session: %w", context.Cause(ctx))
		}
	}
}

// refusedTries is how often a connection is asked for its only session.
const refusedTries = 8

// isLone tells a refusal of the only session on its connection.
func (c *conn) isLone(err error) bool {
	var refusal *ssh.OpenChannelError
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return errors.As(err, &refusal) && c.busy+c.keptSlots == 1
}

// pauseBeforeRetry waits before a connection is asked again, and tells whether that makes sense.
func (c *conn) pauseBeforeRetry(ctx context.Context) bool {
	timer := time.NewTimer(limits.RefusedPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.done:
	case <-ctx.Done():
	}
	return false
}

// takeOpening returns the session that was opened ahead, or begins to open one. One that
// waited is used only on a connection that has been heard of just now: nothing
// else says that it isn't half-open before the command is sent.
func (c *conn) takeOpening() (o *opening, isAhead bool) {
	c.pool.mu.Lock()
	o = c.ahead
	if o != nil && c.wire.silentFor() <= limits.AheadTrustTime {
		c.ahead = nil
		c.pool.mu.Unlock()
		close(o.claimed)
		return o, true
	}
	c.pool.mu.Unlock()
	o = newOpening()
	close(o.claimed)
	c.pool.wg.Go(func() { c.run(o) })
	return o, false
}

// abandon waits for a session whose caller has gone, and closes it.
func (c *conn) abandon(o *opening) {
	p := c.pool
	p.mu.Lock()
	c.unanswered++
	p.mu.Unlock()
	p.wg.Go(func() {
		<-o.over
		p.mu.Lock()
		c.unanswered--
		p.mu.Unlock()
		if o.err != nil {
			_ = c.refused(o.err) // its caller has gone
			return
		}
		_ = o.session.Close() // it only lets go
	})
}

// openAhead begins to open a session for the next act, on a connection that has a
// slot to spare: it holds one of the machine's sessions, and the next caller gets it.
func (c *conn) openAhead() {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.ahead != nil || c.busy+c.keptSlots >= c.group.slots || p.closed || c.removed || !c.alive() {
		return
	}
	o := newOpening()
	c.ahead = o
	p.wg.Go(func() {
		c.run(o)
		if !c.dropOpening(o) {
			return // a caller has taken it, and sees to its error
		}
		if o.session != nil {
			p.wg.Go(func() { ssh.DiscardRequests(o.session.requests) })
			_ = o.session.Channel.Channel.Close() // it has ended, or its connection
		}
	})
}

// dropOpening lets a session go that was opened ahead and has ended, or didn't come to be.
// It tells whether no caller had taken it.
func (c *conn) dropOpening(o *opening) bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if c.ahead != o {
		return false
	}
	c.ahead = nil
	var refusal *ssh.OpenChannelError
	if errors.As(o.err, &refusal) {
		c.group.learnSlots(c.busy + c.keptSlots)
	}
	return true
}

// dropAhead lets the waiting session go, whose connection has ended.
func (c *conn) dropAhead() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if o := c.ahead; o != nil {
		c.ahead = nil
		close(o.claimed)
		c.pool.wg.Go(func() {
			<-o.over
			if o.session != nil {
				ssh.DiscardRequests(o.session.requests)
			}
		})
	}
}

var errAheadEnded = errors.New("the session that was opened ahead has ended")

// run opens a session, and keeps it until a caller takes it.
func (c *conn) run(o *opening) {
	defer close(o.over)
	w := c.awaitReply("open")
	asked := time.Now()
	ch, reqs, err := c.client.OpenChannel("session", nil)
	w.stop()
	c.learnTrip(time.Since(asked))
	if err != nil {
		o.err = err
		return
	}
	o.session = newSession(c, ch, reqs)
	var pace pace
	for {
		select {
		case <-o.claimed:
			return
		default:
		}
		select {
		case <-o.claimed:
			return
		case req, ok := <-reqs:
			if !ok {
				o.err = errAheadEnded
				return
			}
			// Nothing runs on it: whatever is said of it means nothing.
			if !pace.allow(limits.RequestsPerMinuteMax, time.Minute) {
				c.kill(errors.New("the machine asks without end"))
			}
			if req.WantReply {
				_ = req.Reply(false, nil)
			}
		}
	}
}

// refused gives the slot back and says what the refusal means. It tells how many
// sessions the machine takes; anything but a refusal means that the connection is
// broken, and one that refuses its only session is of no more use than that.
func (c *conn) refused(err error) error {
	p := c.pool
	var refusal *ssh.OpenChannelError
	isRefusal := errors.As(err, &refusal)
	p.mu.Lock()
	others := c.busy - 1 + c.keptSlots
	if isRefusal {
		c.group.learnSlots(others)
	}
	p.mu.Unlock()
	if !isRefusal || others == 0 {
		c.kill(err)
	}
	p.mu.Lock()
	p.releaseSlot(c)
	p.mu.Unlock()
	if isRefusal && others > 0 {
		return &crowdedError{err}
	}
	return err
}

// learnSlots keeps that a machine refused a session beside so many others on its
// connection. Pool.mu is held.
func (g *group) learnSlots(others int) {
	g.slots, g.slotsAt = min(g.slots, max(1, others)), time.Now()
}
