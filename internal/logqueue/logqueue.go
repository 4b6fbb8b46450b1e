// Package logqueue stands between a log and whoever reads it. A write to it returns
// at once, also while the reader of a pipe has stopped: lines that find no room are
// dropped and counted.
package logqueue

import (
	"bytes"
	"io"
	"sync"
	"time"

	"sallyport/internal/limits"
)

// Queue takes the lines of a log, each in one Write, and writes them to a slower
// writer from a goroutine of its own. Its methods may be called at once.
type Queue struct {
	to io.Writer
	// wake tells run that there is something to do.
	wake  chan struct{}
	ended chan struct{}

	mu sync.Mutex
	// lines are what run has not taken yet: whole lines, one behind the other.
	lines []byte
	// closed asks run to end when there is nothing left; isOver: it has.
	closed, isOver bool
	// lost counts all lines that were dropped; told, those that onResume has heard of.
	lost, told uint64
	onResume   func(lost uint64)
}

// New returns a queue that writes to w. The caller closes it.
func New(w io.Writer) *Queue {
	q := &Queue{to: w, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go q.run()
	return q
}

// OnResume has f called when lines can be written again after some were dropped,
// with their number. It may write to the queue.
func (q *Queue) OnResume(f func(lost uint64)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.onResume = f
}

// Write takes a line, or drops it where there is no room. It never waits for the
// writer below, and never fails: a log is no reason to stop what it is about.
func (q *Queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isOver || len(q.lines)+len(line) > limits.LogQueueBytesMax {
		q.lost++
		return len(line), nil
	}
	q.lines = append(q.lines, line...)
	q.signal()
	return len(line), nil
}

// Lost returns how many lines were dropped: for want of room, or because the writer
// below failed.
func (q *Queue) Lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

// Close writes what is left, for limits.LogEndTime at most. A write that the reader
// doesn't take can't be ended: it is left behind, and ends with the process.
func (q *Queue) Close() error {
	q.mu.Lock()
	q.closed = true
	q.signal()
	q.mu.Unlock()
	timeout := time.NewTimer(limits.LogEndTime)
	defer timeout.Stop()
	select {
	case <-q.ended:
	case <-timeout.C:
	}
	return nil
}

// signal wakes run, unless it is about to look anyway.
func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run writes lines until the queue is closed and empty. Two buffers take turns: one
// is filled while the other is written.
func (q *Queue) run() {
	defer close(q.ended)
	var empty []byte
	isBroken := false // a line was written in part
	for range q.wake {
		for {
			batch, isOver := q.take(empty)
			// The queue has the other buffer now, also where this one holds nothing.
			empty = batch[:0]
			if isOver {
				return
			}
			if len(batch) == 0 {
				break
			}
			isBroken = q.flush(batch, isBroken)
		}
	}
}

// take exchanges what is queued for an empty buffer.
func (q *Queue) take(empty []byte) (batch []byte, isOver bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch, q.lines = q.lines, empty
	q.isOver = q.closed && len(batch) == 0
	return batch, q.isOver
}

// flush writes a batch, and counts what was not written. It returns whether the
// last line is there in part alone.
func (q *Queue) flush(batch []byte, isBroken bool) bool {
	if isBroken {
		if _, err := q.to.Write([]byte("\n")); err != nil {
			q.drop(batch)
			return true
		}
	}
	n, err := q.to.Write(batch)
	if err != nil {
		q.drop(batch[n:])
		return n > 0 && batch[n-1] != '\n'
	}
	q.resume()
	return false
}

// drop counts the lines that begin or end in what was not written.
func (q *Queue) drop(rest []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lost += uint64(max(1, bytes.Count(rest, []byte("\n"))))
}

// resume tells of the lines that were dropped since it last did.
func (q *Queue) resume() {
	q.mu.Lock()
	lost, f := q.lost-q.told, q.onResume
	q.told = q.lost
	q.mu.Unlock()
	if lost > 0 && f != nil {
		f(lost)
	}
}
