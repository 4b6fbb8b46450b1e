package eic

import (
	"context"
	"slices"
	"sync"
	"time"

	"sallyport/internal/limits"
)

// places are the tunnels that this server has through each endpoint, and who waits for
// one. An endpoint has so many for all of its VPC, and others may use it too: what it
// refuses is learned, and asked for again after a while.
type places struct {
	// evictIdle asks for an idle tunnel through an endpoint to be closed, and tells
	// whether there was one.
	evictIdle func(endpointID string) bool

	mu sync.Mutex // guards the fields below
	of map[string]*endpointPlaces
}

type endpointPlaces struct {
	taken   int
	mine    map[string]int // by workspace
	waiters []*placeWaiter // those who have no tunnel yet first
	full    time.Time      // until when the endpoint is taken for full, whatever we hold
	ended   time.Time      // when the last tunnel of ours ended
}

type placeWaiter struct {
	workspaceID string
	got         chan struct{} // closed when the place is taken for it
}

// take waits for a place while ctx lets it. It returns a fault of class capacity, or
// ctx's cancellation. A workspace that has no tunnel comes before one that wants
// another.
func (p *places) take(ctx context.Context, endpointID, workspaceID string) error {
	w := p.ask(endpointID, workspaceID)
	if w == nil {
		return nil
	}
	look := time.NewTicker(limits.TunnelLookEvery)
	defer look.Stop()
	for {
		// An endpoint with a tunnel to spare may have it only later.
		if p.isFull(endpointID) {
			p.evictIdle(endpointID)
		}
		select {
		case <-w.got:
			return nil
		case <-ctx.Done():
			if p.forget(endpointID, w) {
				return nil
			}
			if context.Cause(ctx) == context.Canceled {
				return ctx.Err()
			}
			return &fault{class: capacity, action: openTunnel, code: "no tunnel free in time"}
		case <-look.C:
			p.grant(endpointID)
		}
	}
}

// ask takes a place at once, and returns nil, or queues for one.
func (p *places) ask(endpointID, workspaceID string) *placeWaiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[string]*endpointPlaces{}
	}
	e := p.of[endpointID]
	if e == nil {
		e = &endpointPlaces{mine: map[string]int{}}
		p.of[endpointID] = e
	}
	if e.hasRoom(time.Now()) && len(e.waiters) == 0 {
		e.add(workspaceID)
		return nil
	}
	w := &placeWaiter{workspaceID: workspaceID, got: make(chan struct{})}
	at := len(e.waiters)
	if e.mine[workspaceID] == 0 {
		at = slices.IndexFunc(e.waiters, func(o *placeWaiter) bool { return e.mine[o.workspaceID] > 0 })
		if at < 0 {
			at = len(e.waiters)
		}
	}
	e.waiters = slices.Insert(e.waiters, at, w)
	return w
}

func (e *endpointPlaces) hasRoom(now time.Time) bool {
	return e.taken < limits.TunnelsPerEndpoint && !now.Before(e.full)
}

func (e *endpointPlaces) add(workspaceID string) {
	e.taken++
	e.mine[workspaceID]++
}

func (e *endpointPlaces) leave(workspaceID string) {
	e.taken--
	if e.mine[workspaceID]--; e.mine[workspaceID] == 0 {
		delete(e.mine, workspaceID)
	}
}

// release gives a place back.
func (p *places) release(endpointID, workspaceID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.of[endpointID]
	e.leave(workspaceID)
	// One that has ended makes room, however many others hold.
	e.full, e.ended = time.Time{}, time.Now()
	p.grantAll(endpointID, e)
}

// refused gives a place back that the endpoint has refused: it takes no more than we have.
// Where a tunnel of ours has just ended it may not have noticed yet.
func (p *places) refused(endpointID, workspaceID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, now := p.of[endpointID], time.Now()
	e.leave(workspaceID)
	e.full = now.Add(limits.EndpointFullTime)
	if now.Sub(e.ended) < limits.EndpointFullTime {
		e.full = now.Add(limits.TunnelLookEvery)
	}
}

func (p *places) grant(endpointID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grantAll(endpointID, p.of[endpointID])
}

// grantAll hands out the free places, and removes an endpoint without any holder.
// places.mu is held.
func (p *places) grantAll(endpointID string, e *endpointPlaces) {
	if e == nil {
		return
	}
	for len(e.waiters) > 0 && e.hasRoom(time.Now()) {
		w := e.waiters[0]
		e.waiters = e.waiters[1:]
		e.add(w.workspaceID)
		close(w.got)
	}
	if e.taken == 0 && len(e.waiters) == 0 && !time.Now().Before(e.full) {
		delete(p.of, endpointID)
	}
}

// forget takes a waiter back. It tells whether the place came in the same moment.
func (p *places) forget(endpointID string, w *placeWaiter) (granted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.of[endpointID]
	if e == nil {
		return true
	}
	i := slices.Index(e.waiters, w)
	if i < 0 {
		return true
	}
	e.waiters = slices.Delete(e.waiters, i, i+1)
	p.grantAll(endpointID, e)
	return false
}

func (p *places) isFull(endpointID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.of[endpointID]
	return e != nil && !e.hasRoom(time.Now())
}

// held is how many tunnels we have through an endpoint.
func (p *places) held(endpointID string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.of[endpointID]; e != nil {
		return e.taken
	}
	return 0
}
