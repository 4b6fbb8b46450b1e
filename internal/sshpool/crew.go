package sshpool

import "sync"

// crew is a pool's goroutines. Unlike those of a sync.WaitGroup the first may begin
// during a Wait for the last, as when a session outlives its pool.
type crew struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed, and nil again, when n falls to 0; nil while no Wait runs
}

// Go runs f in a goroutine of the crew.
func (c *crew) Go(f func()) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	go func() {
		defer c.done()
		f()
	}()
}

func (c *crew) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.n == 0 && c.none != nil {
		close(c.none)
		c.none = nil
	}
}

// Wait waits until there is none. It may be called by many.
func (c *crew) Wait() {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return
	}
	if c.none == nil {
		c.none = make(chan struct{})
	}
	none := c.none
	c.mu.Unlock()
	<-none
}
