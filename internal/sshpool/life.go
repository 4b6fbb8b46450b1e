package sshpool

import (
	"slices"
	"time"

	"sallyport/internal/limits"
)

// left is how much of its life a connection has; only one with a limit has any.
func (c *conn) left(now time.Time) time.Duration { return c.life - now.Sub(c.since) }

// lasts tells whether a connection lasts for what needs so long. Where no connection's
// life is so long, one with half of its life left has to do.
func (c *conn) lasts(need time.Duration, now time.Time) bool {
	if c.life == 0 {
		return true
	}
	need += limits.ConnectionSpare
	enough := min(need, c.life-c.life/4) // a fresh one is some seconds old when it is asked
	if need > c.life {
		enough = c.life / 2
	}
	return c.left(now) >= enough
}

// isEnding tells whether it is time for the next connection.
func (c *conn) isEnding(now time.Time) bool {
	return c.life > 0 && c.left(now) < min(limits.RenewConnectionAt, c.life/2)
}

// isOver tells whether a connection is used for nothing any more: its end is no fault.
func (c *conn) isOver(now time.Time) bool {
	return c.life > 0 && c.left(now) < min(limits.ConnectionSpare, c.life/4)
}

// isSpent tells whether a connection is over, or its end is near and another has come for
// it. Pool.mu is held.
func (c *conn) isSpent(now time.Time) bool {
	if !c.isEnding(now) {
		return false
	}
	for _, other := range c.group.conns {
		if other.alive() && !other.isEnding(now) {
			return true
		}
	}
	return c.isOver(now)
}

// retireSpent closes idle connections that others have come for.
// Pool.mu is held.
func (p *Pool) retireSpent(g *group) {
	now := time.Now()
	for _, c := range slices.Clone(g.conns) {
		if c.place != nil && c.isSpent(now) {
			p.retire(c)
		}
	}
}

// renew dials the next connection where c is in use and its end is near, so that no caller
// has to wait for it; by is the caller that has taken a slot of c. Pool.mu is held.
func (p *Pool) renew(c *conn, by Dialer) {
	g, now := c.group, time.Now()
	if !c.isEnding(now) || c.isSpent(now) || g.dialing > 0 || len(g.conns) >= p.connectionsMax() || now.Before(g.history.notBefore) {
		return
	}
	g.dialing++
	g.dialedAt = now
	p.wg.Go(func() { p.dial(g, by) })
}
