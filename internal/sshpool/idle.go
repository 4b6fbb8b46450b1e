package sshpool

import (
	"container/list"
	"time"
)

// idleSet holds the connections without a session, those that have been idle for longest
// first: all of them, and each owner's. The zero value is empty. Pool.mu guards it.
type idleSet struct {
	all     list.List // of *conn
	byOwner map[string]*list.List
}

// idlePlace is where an idle connection stands.
type idlePlace struct{ all, ofOwner *list.Element }

func (s *idleSet) add(c *conn) {
	own := s.byOwner[c.group.target.Owner]
	if own == nil {
		if s.byOwner == nil {
			s.byOwner = map[string]*list.List{}
		}
		own = list.New()
		s.byOwner[c.group.target.Owner] = own
	}
	c.place = &idlePlace{s.all.PushBack(c), own.PushBack(c)}
}

// remove takes a connection out, if it is in.
func (s *idleSet) remove(c *conn) {
	if c.place == nil {
		return
	}
	owner := c.group.target.Owner
	own := s.byOwner[owner]
	s.all.Remove(c.place.all)
	own.Remove(c.place.ofOwner)
	if own.Len() == 0 {
		delete(s.byOwner, owner)
	}
	c.place = nil
}

// surplus is the connection to close where there are too many, after one of owner's was
// added: the one that has been idle for longest of the owner that has the most. An owner
// that has fewer than others loses none to them.
func (s *idleSet) surplus(owner string) *conn {
	most := s.byOwner[owner]
	for _, own := range s.byOwner {
		if own.Len() > most.Len() {
			most = own
		}
	}
	return most.Front().Value.(*conn)
}

// each calls f for every idle connection, which f may remove, until f returns false.
func (s *idleSet) each(f func(*conn) (goOn bool)) {
	for at := s.all.Front(); at != nil; {
		c := at.Value.(*conn)
		at = at.Next()
		if !f(c) {
			return
		}
	}
}

// parkIfIdle puts a connection without sessions among the idle ones, and closes a surplus
// one. Pool.mu is held.
func (p *Pool) parkIfIdle(c *conn) {
	if c.busy > 0 || c.channels > 0 || c.place != nil || c.removed {
		return
	}
	c.idleSince = time.Now()
	p.idle.add(c)
	if c.isSpent(c.idleSince) {
		p.retire(c)
		return
	}
	if p.idle.all.Len() > p.idleMax() {
		p.retire(p.idle.surplus(c.group.target.Owner))
	}
}

// retire closes an idle connection, which no caller is given any more. Pool.mu is held.
func (p *Pool) retire(c *conn) {
	p.detach(c)
	p.wg.Go(func() { c.kill(errIdle) })
}

// EvictIdle closes the connection that has been idle for longest of those that take a
// place of shared (see connector.Link), and tells whether there was one.
func (p *Pool) EvictIdle(shared string) (evicted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle.each(func(c *conn) bool {
		if c.shared == shared {
			p.retire(c)
			evicted = true
		}
		return !evicted
	})
	return evicted
}

// sweepUntilClosed closes idle connections, and forgets old histories, for as long as
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
	p.idle.each(func(c *conn) bool {
		if now.Sub(c.idleSince) >= p.idleTime() || c.isSpent(now) {
			p.retire(c)
		}
		return true
	})
	p.forgetOld(now)
}
