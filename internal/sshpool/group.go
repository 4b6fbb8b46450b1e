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
	target  Target
	history *history
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
	kept  any // see Session.Keep
}

// waiter is a caller who waits for a slot. got is buffered: a grant never blocks.
type waiter struct {
	group *group
	need  Need
	got   chan grant
	// dialled tells that a dial was begun on this caller's behalf. Pool.mu guards it.
	dialled bool
}

type grant struct {
	conn *conn
	err  error
}

// acquire takes a slot on a connection: a free one, which is warm, or one that is
// being dialled, or one that another caller releases.
func (p *Pool) acquire(ctx context.Context, target Target, need Need) (c *conn, warm bool, err error) {
	w, c, err := p.slotOrWaiter(target, need)
	if c != nil || err != nil {
		return c, true, err
	}
	select {
	case got := <-w.got:
		return got.conn, false, got.err
	case <-ctx.Done():
		full := p.withdraw(w)
		if full && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, false, capacityError()
		}
		return nil, false, context.Cause(ctx)
	}
}

// slotOrWaiter returns a connection with a slot taken, or a waiter that will get one, or
// why there is no use in waiting.
func (p *Pool) slotOrWaiter(target Target, need Need) (*waiter, *conn, error) {
	p.start.Do(p.begin)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errClosed
	}
	g := p.group(target)
	if c := p.firstFree(g, need); c != nil {
		p.take(c, need)
		p.renew(c, need.By)
		return nil, c, nil
	}
	if err := p.refusal(g); err != nil {
		p.dropIfEmpty(g)
		return nil, nil, err
	}
	w := &waiter{group: g, need: need, got: make(chan grant, 1)}
	g.waiters = append(g.waiters, w)
	p.dialMore(g)
	return w, nil, nil
}

// group returns the key's group, made if there is none. Pool.mu is held.
func (p *Pool) group(target Target) *group {
	g := p.groups[target.Key]
	if g == nil {
		g = &group{target: target, history: p.historyOf(target.Key), slots: p.slots()}
		p.groups[target.Key] = g
	}
	if target.HostKey != "" {
		g.target.HostKey = target.HostKey // it may have been pinned since
	}
	g.history.usedAt = time.Now()
	return g
}

// refusal says why a caller who found no free slot isn't let wait. Pool.mu is held.
func (p *Pool) refusal(g *group) error {
	switch {
	case len(g.waiters) >= limits.SlotWaitersMax:
		return capacityError()
	case len(g.conns) > 0 || g.history.failures == 0:
		return nil
	case g.dialing > 0 && time.Since(g.dialedAt) <= limits.ProbeJoinTime:
		// It may be back, or dropped one of several connections that came together
		// (MaxStartups).
		return nil
	case g.dialing > 0, time.Now().Before(g.history.notBefore):
		// The dial under way takes long already, or the last has just failed: the machine
		// is dead still, and callers don't pile up.
		return g.history.refusal
	}
	return nil
}

// firstFree returns the first connection with room that lasts as long as it is needed;
// one whose end is near comes last. Pool.mu is held.
func (p *Pool) firstFree(g *group, need Need) *conn {
	now, usable := time.Now(), 0
	var ending *conn
	for _, c := range g.conns {
		if !c.alive() || c.unanswered > 0 || !c.lasts(need.Life, now) {
			continue
		}
		usable++
		switch {
		case !need.slotless && c.busy+c.keptSlots >= g.slots:
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
	// and then, where a caller needs it. A refusal costs that caller a round trip.
	if usable > 0 && g.slots < p.slots() && now.Sub(g.slotsAt) >= limits.SlotsGrowAfter {
		g.slots, g.slotsAt = g.slots+1, now
		return p.firstFree(g, need)
	}
	return nil
}

// take takes a slot, or holds the connection for a channel that needs none. Pool.mu is held.
func (p *Pool) take(c *conn, need Need) {
	if !need.slotless {
		p.takeSlot(c)
		return
	}
	p.idle.remove(c)
	c.channels++
}

// takeSlot takes a slot. Pool.mu is held.
func (p *Pool) takeSlot(c *conn) {
	p.idle.remove(c)
	c.busy++
}

// withdraw takes back a waiter whose caller has gone; a slot that it was granted
// in the same moment goes to the next. It tells whether the machine was reached,
// and had no room.
func (p *Pool) withdraw(w *waiter) (full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := w.group
	if i := slices.Index(g.waiters, w); i >= 0 {
		g.waiters = slices.Delete(g.waiters, i, i+1)
		p.dropIfEmpty(g)
		return slices.ContainsFunc(g.conns, func(c *conn) bool { return c.alive() && c.unanswered == 0 })
	}
	if got := <-w.got; got.conn != nil {
		p.release(got.conn, w.need)
	}
	return false
}

// release undoes take. Pool.mu is held.
func (p *Pool) release(c *conn, need Need) {
	if !need.slotless {
		p.releaseSlot(c)
		return
	}
	c.channels--
	p.parkIfIdle(c)
}

// releaseSlot frees a slot and grants it to the caller that has waited longest. Pool.mu
// is held.
func (p *Pool) releaseSlot(c *conn) {
	c.busy--
	p.grantAll(c.group)
	p.parkIfIdle(c)
}

// grantAll hands free slots to waiters, to those that wait longest first. Pool.mu is held.
func (p *Pool) grantAll(g *group) {
	full := false // no slot is free, however short the need
	for i := 0; i < len(g.waiters); {
		w := g.waiters[i]
		var c *conn
		if w.need.slotless || !full {
			c = p.firstFree(g, w.need)
			full = full || c == nil && p.firstFree(g, Need{}) == nil
		}
		if c == nil {
			i++ // for this one; the connections may just end too soon for it
			continue
		}
		p.take(c, w.need)
		w.got <- grant{conn: c}
		g.waiters = slices.Delete(g.waiters, i, i+1)
	}
}

// detach takes a connection out of the pool. Pool.mu is held.
func (p *Pool) detach(c *conn) {
	c.removed = true
	p.idle.remove(c)
	g := c.group
	g.conns = slices.DeleteFunc(g.conns, func(o *conn) bool { return o == c })
	if len(g.conns) == 0 {
		g.history.since = time.Time{}
		g.history.endedAt = time.Now()
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
			g.history.recordLoss(c.cause)
		}
	}
	if len(g.waiters) > 0 && !p.closed {
		p.dialMore(g)
	}
	p.dropIfEmpty(g)
}

// dropIfEmpty forgets a group without connections, dials and waiters, though not its history.
// Pool.mu is held.
func (p *Pool) dropIfEmpty(g *group) {
	if len(g.conns) == 0 && g.dialing == 0 && len(g.waiters) == 0 && !g.later && p.groups[g.target.Key] == g {
		delete(p.groups, g.target.Key)
	}
}

// failWaiters gives every waiter an error. Pool.mu is held.
func (g *group) failWaiters(err error) {
	for _, w := range g.waiters {
		w.got <- grant{err: err}
	}
	g.waiters = nil
}

// nextDialer is who the next dial is made for: the caller that has waited longest of
// those for whom none was made. There are waiters. Pool.mu is held.
func (g *group) nextDialer() Dialer {
	for _, w := range g.waiters {
		if !w.dialled {
			w.dialled = true
			return w.need.By
		}
	}
	return g.waiters[0].need.By
}
