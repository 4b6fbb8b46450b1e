package eic

import (
	"context"
	"sync"
	"time"
)

// cache remembers what was found out, for a while, at most so many; who asks for what is
// just being found out waits for that. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	max int

	mu    sync.Mutex // guards the fields below
	known map[K]*entry[V]
}

type entry[V any] struct {
	done  chan struct{} // closed when value and err are there
	value V
	err   error
	until time.Time
	// gaveUp is set when the caller that looked it up was canceled: no answer for others.
	gaveUp bool
}

// get returns what is remembered of key, and whether it was, or what find finds. find
// says how long its answer may be remembered, an error too; it runs under the context of
// the first caller, and the others try again if that is canceled.
func (c *cache[K, V]) get(ctx context.Context, key K, find func(context.Context) (V, time.Duration, error)) (value V, isCached bool, err error) {
	for {
		e, mine := c.enter(key)
		if !mine {
			select {
			case <-e.done:
			case <-ctx.Done():
				return value, false, ctx.Err()
			}
			if e.gaveUp && ctx.Err() == nil {
				continue
			}
			return e.value, true, e.err
		}
		var life time.Duration
		e.value, life, e.err = find(ctx)
		e.gaveUp = e.err != nil && ctx.Err() != nil
		c.leave(key, e, life)
		return e.value, false, e.err
	}
}

// enter returns the live entry of key, or a new one that is the caller's to fill.
func (c *cache[K, V]) enter(key K) (e *entry[V], mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e = c.known[key]; e != nil && (!e.isDone() || time.Now().Before(e.until)) {
		return e, false
	}
	if c.known == nil {
		c.known = map[K]*entry[V]{}
	}
	if len(c.known) >= c.max {
		c.shrink()
	}
	e = &entry[V]{done: make(chan struct{})}
	c.known[key] = e
	return e, true
}

// leave tells what was found.
func (c *cache[K, V]) leave(key K, e *entry[V], life time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if life > 0 {
		e.until = time.Now().Add(life)
	} else if c.known[key] == e {
		delete(c.known, key)
	}
	close(e.done)
}

// drop removes the entry of key; a look-up that is running is left alone.
func (c *cache[K, V]) drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.known[key]; e != nil && e.isDone() {
		delete(c.known, key)
	}
}

// shrink makes room: expired entries go first, then any. mu is held.
func (c *cache[K, V]) shrink() {
	now := time.Now()
	for key, e := range c.known {
		if e.isDone() && !now.Before(e.until) {
			delete(c.known, key)
		}
	}
	for key, e := range c.known {
		if len(c.known) < c.max {
			return
		}
		if e.isDone() {
			delete(c.known, key)
		}
	}
}

// isDone tells whether the entry was found. cache.mu is held, under which it is closed.
func (e *entry[V]) isDone() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}
