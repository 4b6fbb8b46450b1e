package sshpool

import (
	"errors"
	"slices"
	"time"

	"sallyport/internal/limits"
)

// sweepUntilClosed closes idle connections for as long as the pool lives.
func (p *Pool) sweepUntilClosed() {
	tick := time.NewTicker(max(p.idleTime()/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-p.life.Done():
			return
		case <-tick.C:
			for _, c := range p.idle(time.Now()) {
				c.kill(errIdle)
			}
		}
	}
}

var errIdle = errors.New("idle")

// idle takes out of the pool the connections that have been idle for too long,
// and the ones idle for longest where there are too many.
func (p *Pool) idle(now time.Time) []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var idle, out []*conn
	for _, g := range p.groups {
		for _, c := range g.conns {
			if c.busy == 0 {
				idle = append(idle, c)
			}
		}
	}
	slices.SortFunc(idle, func(a, b *conn) int { return a.idleSince.Compare(b.idleSince) })
	tooMany := len(idle) - limits.ConnectionsIdleMax
	for i, c := range idle {
		if i < tooMany || now.Sub(c.idleSince) >= p.idleTime() {
			c.group.conns = slices.DeleteFunc(c.group.conns, func(o *conn) bool { return o == c })
			out = append(out, c)
		}
	}
	return out
}
