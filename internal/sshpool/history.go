package sshpool

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// history is what is remembered of a key beyond its connections: for the back-off,
// and for operators. Pool.mu guards it.
type history struct {
	usedAt  time.Time
	since   time.Time // when the connections began that there are; zero without
	endedAt time.Time // when the last one ended
	hostKey HostKey

	// The dials that failed, one after another, since one succeeded.
	failures    int
	failedSince time.Time
	refusal     *sallyport.Error
	notBefore   time.Time

	last   *sallyport.Error
	lastAt time.Time
}

// historyOf returns the history of a key. Where too many are remembered, those go that
// were of no use for longest. Pool.mu is held.
func (p *Pool) historyOf(key string) *history {
	if known := p.histories[key]; known != nil {
		return known
	}
	if len(p.histories) >= limits.MachinesRemembered {
		p.forgetOldest(len(p.histories) / 8)
	}
	fresh := &history{}
	p.histories[key] = fresh
	return fresh
}

func (p *Pool) forgetOldest(n int) {
	var keys []string
	for key := range p.histories {
		if p.groups[key] == nil {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return p.histories[a].usedAt.Compare(p.histories[b].usedAt) })
	for _, key := range keys[:min(n, len(keys))] {
		delete(p.histories, key)
	}
}

// forgetOld forgets the histories that were of no use in a long time. Pool.mu is held.
func (p *Pool) forgetOld(now time.Time) {
	for key, old := range p.histories {
		if p.groups[key] == nil && now.Sub(old.usedAt) >= limits.MachineMemoryTime {
			delete(p.histories, key)
		}
	}
}

// recordConnection ends a row of failures.
func (h *history) recordConnection(c *conn) {
	h.failures, h.refusal, h.notBefore = 0, nil, time.Time{}
	h.hostKey = c.hostKey
	if h.since.IsZero() {
		h.since = c.since
	}
}

// recordLoss remembers that a connection ended which was to go on.
func (h *history) recordLoss(cause error) {
	if errors.Is(cause, errIdle) || errors.Is(cause, errClosed) {
		return
	}
	message := "the connection to the machine was lost"
	var silent *silentError
	if errors.As(cause, &silent) {
		message = "the connection to the machine was given up: nothing came from it any more"
	}
	h.last, h.lastAt = failure(sallyport.ReasonConnectionLost, message, cause), time.Now()
}

// backOff puts off the machine's next dial, after one that began at the given time has
// failed. Dials that failed at the same time count once. Pool.mu is held.
func (p *Pool) backOff(g *group, began time.Time, err *sallyport.Error) {
	h, now := g.history, time.Now()
	if h.failures == 0 {
		h.failedSince = now
	}
	if h.failures == 0 || began.After(h.lastAt) {
		h.failures++
		h.notBefore = now.Add(jitter(p.pause(h.failures)))
	}
	h.refusal, h.last, h.lastAt = err, err, now
}

// pause is how long callers get the same error after so many failures.
func (p *Pool) pause(failures int) time.Duration {
	least, most := or(p.BackoffMin, limits.DialBackoffMin), or(p.BackoffMax, limits.DialBackoffMax)
	return min(most, least<<min(failures-1, 20))
}

// jitter spreads callers of many servers: half to the whole of d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
