package client

import (
	"sync"
	"time"
)

// deadline is a time that can be set and moved, and waited for.
type deadline struct {
	mu    sync.Mutex // guards the fields below
	timer *time.Timer
	// passed is closed when the time has come.
	passed chan struct{}
}

func newDeadline() *deadline { return &deadline{passed: make(chan struct{})} }

// set moves the deadline to t; zero is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // it is being closed
	}
	d.timer = nil
	left := time.Until(t)
	switch isPassed := isClosed(d.passed); {
	case !t.IsZero() && left <= 0:
		if !isPassed {
			close(d.passed)
		}
		return
	case isPassed:
		d.passed = make(chan struct{})
	}
	if !t.IsZero() {
		passed := d.passed
		d.timer = time.AfterFunc(left, func() { close(passed) })
	}
}

// wait returns a channel that is closed when the deadline has passed.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
