// Package fairqueue shares out what can't be done for everybody at once: the organisation
// that holds the least of it is next.
package fairqueue

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Alone is how long no other organisation must have asked for a place before an organisation
// may hold as many as it likes.
const Alone = time.Second

// Queue lets so many places be held at once; the next that is free goes to the organisation
// that holds the fewest, and within it to the call that waits longest. Two never wait: an
// organisation that holds no place, so that nobody is kept out by what others hold, and one
// that is alone (see Alone), which loses nothing by the queue. Both may hold places beyond
// the bound. A nil Queue has no bound. It is safe for concurrent use.
type Queue struct {
	places int
	held   time.Duration

	mu    sync.Mutex // guards the fields below
	taken int
	byOrg map[string]*org
	// last is the organisation that asked last, at lastAsked; otherAsked is when any other
	// last did.
	last                  string
	lastAsked, otherAsked time.Time
}

// org is an organisation that holds a place or waits for one.
type org struct {
	id      string
	taken   int
	waiting []*waiter
}

// waiter is a call that waits. given is closed when place is set.
type waiter struct {
	place *Place
	since time.Time
	given chan struct{}
}

// New returns a queue with so many places, of which each may be held for a time: then it is
// given to the next, released or not, so that who waits for a machine holds nobody up.
func New(places int, held time.Duration) *Queue {
	return &Queue{places: places, held: held, byOrg: map[string]*org{}}
}

// Place is a place that an organisation holds. It is safe for concurrent use.
type Place struct {
	release func()
}

// Release gives the place back, once, however often it is called. A nil Place has nothing to
// give back.
func (p *Place) Release() {
	if p != nil {
		p.release()
	}
}

// Take takes a place for an organisation, and waits for one until the context ends, whose
// cause it returns. The caller releases the place.
func (q *Queue) Take(ctx context.Context, orgID string) (*Place, error) {
	if q == nil {
		return nil, nil
	}
	place, w := q.ask(orgID)
	if w == nil {
		return place, nil
	}
	select {
	case <-w.given:
		return w.place, nil
	case <-ctx.Done():
		q.leave(orgID, w)
		return nil, context.Cause(ctx)
	}
}

// Note has an organisation ask without a place, for what needs none: whoever else asks is
// not alone then.
func (q *Queue) Note(orgID string) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asks(orgID, time.Now())
}

// ask returns a place, or who waits for one now.
func (q *Queue) ask(orgID string) (*Place, *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	alone := q.asks(orgID, now)
	o := q.byOrg[orgID]
	if o == nil {
		o = &org{id: orgID}
		q.byOrg[orgID] = o
	}
	if alone {
		for len(o.waiting) > 0 {
			q.giveFirst(o)
		}
	}
	if alone || o.taken == 0 || q.taken < q.places {
		return q.give(o), nil
	}
	w := &waiter{since: now, given: make(chan struct{})}
	o.waiting = append(o.waiting, w)
	return nil, w
}

// asks notes that an organisation asks now, and says whether it is alone.
func (q *Queue) asks(orgID string, now time.Time) (alone bool) {
	if orgID != q.last {
		q.last, q.otherAsked = orgID, q.lastAsked
	}
	q.lastAsked = now
	return now.Sub(q.otherAsked) > Alone
}

// give gives a place to an organisation.
func (q *Queue) give(o *org) *Place {
	q.taken++
	o.taken++
	release := sync.OnceFunc(func() { q.release(o) })
	timer := time.AfterFunc(q.held, release)
	return &Place{release: func() {
		timer.Stop()
		release()
	}}
}

// giveFirst gives a place to the call of an organisation that waits longest.
func (q *Queue) giveFirst(o *org) {
	w := o.waiting[0]
	o.waiting = slices.Delete(o.waiting, 0, 1)
	w.place = q.give(o)
	close(w.given)
}

// release takes a place back, and gives what is free to who is next.
func (q *Queue) release(o *org) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken--
	o.taken--
	if o.taken == 0 && len(o.waiting) > 0 {
		q.giveFirst(o)
	}
	for q.taken < q.places {
		next := q.next()
		if next == nil {
			break
		}
		q.giveFirst(next)
	}
	q.forget(o)
}

// next is the organisation that waits and holds the fewest places, of several the one that
// waits longest; nil if none waits.
func (q *Queue) next() (next *org) {
	for _, o := range q.byOrg { // each holds a place: there are no more of them than those
		if len(o.waiting) == 0 {
			continue
		}
		if next == nil || o.taken < next.taken || o.taken == next.taken && o.waiting[0].since.Before(next.waiting[0].since) {
			next = o
		}
	}
	return next
}

// leave ends a wait. A place that was given meanwhile goes to the next.
func (q *Queue) leave(orgID string, w *waiter) {
	q.mu.Lock()
	o := q.byOrg[orgID]
	if o != nil {
		if i := slices.Index(o.waiting, w); i >= 0 {
			o.waiting = slices.Delete(o.waiting, i, i+1)
		}
		q.forget(o)
	}
	q.mu.Unlock()
	w.place.Release() // nil unless it was given; set under the lock
}

// forget drops an organisation that neither holds nor waits.
func (q *Queue) forget(o *org) {
	if o.taken == 0 && len(o.waiting) == 0 && q.byOrg[o.id] == o {
		delete(q.byOrg, o.id)
	}
}
