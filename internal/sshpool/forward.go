package sshpool

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
)

// ErrTargetSilent tells that the target of a forward has not taken the connection in time.
var ErrTargetSilent = errors.New("the target has not taken the connection in time")

// OpenForward opens a direct-tcpip channel (RFC 4254, section 7.2): the machine looks host
// up and connects to it, and the channel carries what comes and goes. It takes none of the
// machine's sessions. Its errors are those of Open, but for a machine that refuses the
// channel, since it may not or can't connect: an *ssh.OpenChannelError is in the chain
// then. A target that has not taken the connection within the need's ForwardOpenTime is
// ErrTargetSilent. The caller closes the channel.
func (p *Pool) OpenForward(ctx context.Context, target Target, need Need, host string, port uint16) (*Channel, error) {
	need.slotless = true
	payload := ssh.Marshal(struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}{host, uint32(port), "127.0.0.1", 0})
	var last error
	for range forwardAttempts {
		c, warm, err := p.acquireWithin(ctx, target, need)
		if err != nil {
			return nil, err
		}
		if c.isOwed() {
			c.letGo()
			return nil, capacityError()
		}
		openCtx, cancel := context.WithTimeoutCause(ctx, or(need.ForwardOpenTime, limits.ForwardOpenTime), ErrTargetSilent)
		ch, err := c.openSlotless(openCtx, "direct-tcpip", payload)
		cancel()
		if err == nil {
			ch.Warm, ch.target, ch.by = warm, target, need.By
			return ch, nil
		}
		var refused *ssh.OpenChannelError
		if errors.As(err, &refused) {
			return nil, fmt.Errorf("open direct-tcpip: %w", err)
		}
		last = err
		if errors.Is(err, ErrTargetSilent) {
			return nil, fmt.Errorf("open direct-tcpip: %w", err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, classify(ctx, last)
}

// acquireWithin is acquire within the need's ConnectTime.
func (p *Pool) acquireWithin(ctx context.Context, target Target, need Need) (*conn, bool, error) {
	if need.ConnectTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, need.ConnectTime)
		defer cancel()
	}
	c, warm, err := p.acquire(ctx, target, need)
	if err != nil {
		return nil, false, classify(ctx, err)
	}
	return c, warm, nil
}

// forwardAttempts bounds the connections tried, of those that turn out to be dead.
const forwardAttempts = 3

// openSlotless opens a channel on a connection that the caller holds, and lets go of it
// when that fails. The machine may take its time: it connects to somewhere. Whether it is
// still there is the keepalive's to find out.
func (c *conn) openSlotless(ctx context.Context, kind string, payload []byte) (*Channel, error) {
	var ch *Channel
	var err error
	over := make(chan struct{})
	c.pool.wg.Go(func() {
		defer close(over)
		raw, reqs, failed := c.client.OpenChannel(kind, payload)
		if err = failed; err == nil {
			ch = &Channel{Channel: raw, conn: c, requests: reqs, holds: holdsChannel}
			ch.Go(func() { ssh.DiscardRequests(reqs) })
		}
	})
	select {
	case <-over:
		if err != nil {
			c.letGo()
		}
		return ch, err
	case <-ctx.Done():
		c.abandonSlotless(over, func() (*Channel, error) { return ch, err })
		return nil, context.Cause(ctx)
	}
}

// abandonSlotless waits for the machine's answer, which no caller waits for any more, and
// closes the channel that comes of it.
func (c *conn) abandonSlotless(over <-chan struct{}, opened func() (*Channel, error)) {
	p := c.pool
	p.mu.Lock()
	c.abandoned++
	p.mu.Unlock()
	p.wg.Go(func() {
		<-over
		p.mu.Lock()
		c.abandoned--
		p.mu.Unlock()
		if ch, err := opened(); err == nil {
			_ = ch.Close() // it only lets go
			return
		}
		c.letGo()
	})
}

// isOwed tells whether the machine owes answers to so many channels that no caller waits
// for that no more are asked for.
func (c *conn) isOwed() bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.abandoned >= limits.ForwardsUnansweredMax
}

// letGo ends a hold that takes no slot.
func (c *conn) letGo() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.pool.release(c, Need{slotless: true})
}
