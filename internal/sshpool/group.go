package sshpool

import (
	"context"
	"errors"
	"slices"
	"time"

	"sallyport/internal/limits"
)

// group is what the pool holds of one key. Pool.mu guards it.
type group struct {
	target Target
	past   *past
	// conns in the order in which they were opened: the first with a free slot
	// is taken, so that the last ones fall idle.
	conns    []*conn
	dialing  int
	dialedAt time.Time // when the first of those began that are dialing
	waiters  []*waiter
	// slots is how many sessions the machine takes on a connection, as far as its
	// refusals have told, and slotsAt when that changed.
	slots   int
	slotsAt time.Time
	// later tells that a dial is put off until the back-off is over.
	later bool
}

// waiter is a caller who waits for a slot. got is buffered: a grant never blocks.
type waiter struct {
	group *group
	need  time.Duration
	got   chan grant
}

type grant struct {
	conn *conn
	err  error
}

// acquire takes a slot on a connection: a free one, which is warm, or one that is
// being dialled, or one that somebody gives back.
func (p *Pool) acquire(ctx context.Context, target Target) (c *conn, warm bool, err error) {
	w, c, err := p.ask(target)
	if c != nil || err != nil {
		return c, true, err
	}
	select {
	case got := <-w.got:
		return got.conn, false, got.err
	case <-ctx.Done():
		full := p.forget(w)
		if full && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, false, capacityError()
		}
		return nil, false, context.Cause(ctx)
	}
}

// ask returns a connection with a slot taken, or a waiter that will get one, or
// why there is no use in waiting.
func (p *Pool) ask(target Target) (*waiter, *conn, error) {
	p.start.Do(p.begin)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errClosed
	}
	g := p.group(target)
	if c := p.free(g, target.Need); c != nil {
		p.take(c)
		p.renew(c)
		return nil, c, nil
	}
	if err := p.refusal(g); err != nil {
		p.dropIfEmpty(g)
		return nil, nil, err
	}
	w := &waiter{group: g, need: target.Need, got: make(chan grant, 1)}
	g.waiters = append(g.waiters, w)
	p.dialMore(g)
	return w, nil, nil
}

// group returns the key's group, made if there is none. Pool.mu is held.
func (p *Pool) group(target Target) *group {
	g := p.groups[target.Key]
	if g == nil {
		g = &group{target: target, past: p.remember(target.Key), slots: p.slots()}
		p.groups[target.Key] = g
	}
	g.past.usedAt = time.Now()
	return g
}

// refusal says why a caller who found no free slot isn't let wait. Pool.mu is held.
func (p *Pool) refusal(g *group) error {
	switch {
	case len(g.waiters) >= limits.SlotWaitersMax:
		return capacityError()
	case len(g.conns) > 0 || g.past.failures == 0:
		return nil
	case g.dialing > 0 && time.Since(g.dialedAt) <= limits.ProbeJoinTime:
		// It may be back, or dropped one of several connections that came together
		// (MaxStartups).
		return nil
	case g.dialing > 0, time.Now().Before(g.past.notBefore):
		// Who dials it waits long already, or has just been refused: it is dead still,
		// and no others pile up.
		return g.past.refusal
	}
	return nil
}

// free returns the first connection with a free slot that lasts as long as it is needed;
// one whose end is near comes last. Pool.mu is held.
func (p *Pool) free(g *group, need time.Duration) *conn {
	now, usable := time.Now(), 0
	var ending *conn
	for _, c := range g.conns {
		if !c.alive() || c.unanswered > 0 || !c.lasts(need, now) {
			continue
		}
		usable++
		switch {
		case c.busy >= g.slots:
		case !c.isEnding(now):
			return c
		case ending == nil:
			ending = c
		}
	}
	if ending != nil {
		return ending
	}
	// What was learned in a bad moment isn't kept for ever: one more is tried now
	// and then, where somebody needs it. A refusal costs him a round trip.
	if usable > 0 && g.slots < p.slots() && now.Sub(g.slotsAt) >= limits.SlotsGrowAfter {
		g.slots, g.slotsAt = g.slots+1, now
		return p.free(g, need)
	}
	return nil
}

// take takes a slot. Pool.mu is held.
func (p *Pool) take(c *conn) {
	if c.place != nil {
		p.idling.Remove(c.place)
		c.place = nil
	}
	c.busy++
}

// forget takes back a waiter whose caller has gone; a slot that it was granted
// in the same moment goes to the next. It tells whether the machine was reached,
// and had no room.
func (p *Pool) forget(w *waiter) (full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := w.group
	if i := slices.Index(g.waiters, w); i >= 0 {
		g.waiters = slices.Delete(g.waiters, i, i+1)
		p.dropIfEmpty(g)
		return slices.ContainsFunc(g.conns, func(c *conn) bool { return c.alive() && c.unanswered == 0 })
	}
	if got := <-w.got; got.conn != nil {
		p.giveBack(got.conn)
	}
	return false
}

// giveBack frees a slot and grants it to who has waited longest. Pool.mu is held.
func (p *Pool) giveBack(c *conn) {
	c.busy--
	p.grantAll(c.group)
	p.restIfIdle(c)
}

// grantAll hands free slots to waiters, to those that wait longest first. Pool.mu is held.
func (p *Pool) grantAll(g *group) {
	for i := 0; i < len(g.waiters); {
		w := g.waiters[i]
		c := p.free(g, w.need)
		if c == nil {
			if p.free(g, 0) == nil {
				return
			}
			i++ // the connections end too soon for it
			continue
		}
		p.take(c)
		w.got <- grant{conn: c}
		g.waiters = slices.Delete(g.waiters, i, i+1)
	}
}

// restIfIdle puts a connection without sessions among the idle ones, and closes
// the one that is idle for longest where they are too many. Pool.mu is held.
func (p *Pool) restIfIdle(c *conn) {
	if c.busy > 0 || c.place != nil || c.removed {
		return
	}
	c.idleSince = time.Now()
	c.place = p.idling.PushBack(c)
	if c.isSpent(c.idleSince) {
		p.retire(c)
		return
	}
	if p.idling.Len() > p.idleMax() {
		p.retire(p.idling.Front().Value.(*conn))
	}
}

// retire closes an idle connection, which nobody is given any more. Pool.mu is held.
func (p *Pool) retire(c *conn) {
	p.detach(c)
	p.wg.Go(func() { c.kill(errIdle) })
}

// detach takes a connection out of the pool. Pool.mu is held.
func (p *Pool) detach(c *conn) {
	c.removed = true
	if c.place != nil {
		p.idling.Remove(c.place)
		c.place = nil
	}
	g := c.group
	g.conns = slices.DeleteFunc(g.conns, func(o *conn) bool { return o == c })
	if len(g.conns) == 0 {
		g.past.since = time.Time{}
		g.past.endedAt = time.Now()
	}
}

// remove takes a connection that has ended out of the pool, and remembers why.
func (p *Pool) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := c.group
	if !c.removed {
		p.detach(c)
		if !c.isOver(time.Now()) {
			g.past.lost(c.cause)
		}
	}
	if len(g.waiters) > 0 && !p.closed {
		p.dialMore(g)
	}
	p.dropIfEmpty(g)
}

// dropIfEmpty forgets the group of which nothing is left, though not its past.
// Pool.mu is held.
func (p *Pool) dropIfEmpty(g *group) {
	if len(g.conns) == 0 && g.dialing == 0 && len(g.waiters) == 0 && !g.later && p.groups[g.target.Key] == g {
		delete(p.groups, g.target.Key)
	}
}
