// Package recent keeps answers of a moment ago, so that who asks often asks the store
// seldom.
package recent

import (
	"sync"
	"time"
)

// Cache holds the latest answers, by what was asked. Only answers are kept, never errors:
// what was not there a moment ago may be there now. The zero value holds none and is ready
// for use. It is safe for concurrent use, and must not be copied.
type Cache[K comparable, V any] struct {
	mu sync.Mutex // guards the fields below, and is not held while somebody asks
	// cleared counts the calls of Clear, so that an answer to a question that was asked
	// before one is not kept after it.
	cleared int
	answers map[K]answer[V]
}

// answer is a value as it was at a time.
type answer[V any] struct {
	value V
	at    time.Time
}

// Clear drops all answers, those that are on their way too: who asks after Clear has
// returned is told nothing that was read before.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleared++
	clear(c.answers)
}

// Look returns the answer to key as it was less than life ago, or else what ask returns,
// which is kept unless life is 0. No more than most answers are kept: one more drops the
// others. The value is shared with all who ask, so that nobody may change what it points
// to.
func (c *Cache[K, V]) Look(key K, life time.Duration, most int, ask func() (V, error)) (V, error) {
	if life <= 0 {
		return ask()
	}
	began := time.Now()
	c.mu.Lock()
	known, ok := c.answers[key]
	cleared := c.cleared
	c.mu.Unlock()
	if ok && began.Sub(known.at) < life {
		return known.value, nil
	}
	value, err := ask()
	if err != nil {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cleared != cleared {
		return value, nil
	}
	if c.answers == nil || len(c.answers) >= most {
		c.answers = map[K]answer[V]{}
	}
	c.answers[key] = answer[V]{value: value, at: began}
	return value, nil
}
