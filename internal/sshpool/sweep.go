package sshpool

import (
	"time"
)

// sweepUntilClosed closes idle connections, and forgets old pasts, for as long as
// the pool lives.
func (p *Pool) sweepUntilClosed() {
	tick := time.NewTicker(max(p.idleTime()/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-p.life.Done():
			return
		case now := <-tick.C:
			p.sweep(now)
		}
	}
}

func (p *Pool) sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.idling.Len() > 0 {
		c := p.idling.Front().Value.(*conn)
		if now.Sub(c.idleSince) < p.idleTime() {
			break
		}
		p.retire(c)
	}
	for at := p.idling.Front(); at != nil; {
		c := at.Value.(*conn)
		at = at.Next()
		if c.isSpent(now) {
			p.retire(c)
		}
	}
	p.forgetOld(now)
}
