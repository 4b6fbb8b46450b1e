package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// enqueue hands a change to the writer.
func (l *Log) enqueue(change store.ActivityChange, durable bool) *write {
	w := &write{change: change, durable: durable, keep: change.Complete}
	l.send(w)
	return w
}

// send hands a write to the writer. What is kept is never refused: there are no more
// completions than rows that were begun.
func (l *Log) send(w *write) {
	w.began, w.answer = time.Now(), make(chan error, 1)
	l.mu.Lock()
	switch {
	case l.closed && !w.keep:
		w.answer <- errClosed
	case len(l.queue) >= limits.BatchQueueMax && !w.keep:
		w.answer <- errQueueFull
	default:
		l.queue = append(l.queue, w)
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write is the one writer: it takes what is queued and commits it, in order. While
// something is kept it tries by its timer alone, however many come: a store that fails
// isn't asked once a request.
func (l *Log) write() {
	defer close(l.done)
	retry := time.NewTimer(limits.CommitRetryEvery)
	defer retry.Stop()
	tell := time.NewTicker(limits.DenialTellEvery)
	defer tell.Stop()
	for {
		wake := l.wake
		if len(l.kept) > 0 {
			wake = nil
		}
		select {
		case <-wake:
		case <-retry.C:
		case <-l.closing:
		case <-tell.C:
			l.tellDenials(false)
			continue
		}
		l.work()
		if l.isClosed() && l.finished() {
			return
		}
		if len(l.kept) > 0 {
			retry.Reset(limits.CommitRetryEvery)
		}
	}
}

func (l *Log) isClosed() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// work commits all there is, kept changes first. Where some must be kept still, the
// others get one try.
func (l *Log) work() {
	l.retryKept()
	sick := len(l.kept) > 0
	for {
		batch := l.take()
		if len(batch) == 0 {
			break
		}
		l.commit(batch)
		if l.failures.well {
			continue
		}
		if sick {
			l.refuseQueued(fmt.Errorf("%w: %w", errNotTaken, l.failures.last))
		}
		if len(l.kept) > 0 {
			break
		}
	}
	if len(l.kept) == 0 {
		l.failures.over(l.log, time.Now())
	}
}

// finished tells, after Close, whether the writer may end: all is written, or the store
// is sick and the next start will complete what is left.
func (l *Log) finished() bool {
	if left := len(l.kept); left > 0 {
		l.log.Error("rows left running for the next start to complete", "rows", left)
		l.refuseQueued(errClosed)
		l.setKept(nil)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0
}

// take takes the next batch off the queue.
func (l *Log) take() []*write {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.queue), limits.BatchRowsMax)
	batch := append([]*write{}, l.queue[:n]...)
	l.queue = append(l.queue[:0], l.queue[n:]...)
	return batch
}

// refuseQueued answers those in the queue with err, and keeps what must not be lost. No
// completion comes before its row by that: rows that wait in the queue are never written.
func (l *Log) refuseQueued(err error) {
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	l.failed(queue, err)
}

// failed answers the writes with err, but for those that are kept.
func (l *Log) failed(batch []*write, err error) {
	kept := l.kept
	for _, w := range batch {
		if w.keep {
			w.failed.Store(true)
			kept = append(kept, w)
			continue
		}
		w.answer <- fmt.Errorf("commit activity: %w", err)
	}
	l.setKept(kept)
}

func (l *Log) setKept(kept []*write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = kept
}

// commit commits one batch and answers who waits. What can't be written whatever is
// tried is told from a store that fails, and stops nobody else.
func (l *Log) commit(batch []*write) {
	switch err := l.try(batch); {
	case err == nil:
	case errors.Is(err, store.ErrUnwritable) && len(batch) > 1:
		for _, w := range batch {
			l.commit([]*write{w})
		}
	case errors.Is(err, store.ErrUnwritable):
		l.putAside(batch[0], err)
	default:
		l.failed(batch, err)
	}
}

// retryKept tries what is kept. The first alone shows whether the store is well again;
// where it isn't the others come first the next time, so that one which fails for a
// reason of its own holds none of them up.
func (l *Log) retryKept() {
	alone, together := true, true
	for len(l.kept) > 0 {
		n := limits.BatchRowsMax
		if alone {
			n = 1
		}
		n = min(n, len(l.kept))
		batch, rest := slices.Clone(l.kept[:n]), slices.Clone(l.kept[n:])
		switch err := l.try(batch); {
		case err == nil:
			l.setKept(rest)
			alone = !together
		case errors.Is(err, store.ErrUnwritable):
			l.setKept(rest)
			for _, w := range batch {
				l.commit([]*write{w})
			}
		case n > 1: // one of them fails for all
			alone, together = true, false
		default:
			l.setKept(append(rest, batch...))
			return
		}
	}
}

// try commits a batch in one transaction and answers who waits if that succeeds.
func (l *Log) try(batch []*write) error {
	changes := make([]store.ActivityChange, len(batch))
	durable := false
	for i, w := range batch {
		changes[i] = w.change
		durable = durable || w.durable
	}
	ctx, cancel := context.WithTimeout(context.Background(), limits.CommitTimeMax)
	defer cancel()
	err := l.store.CommitActivity(ctx, changes, durable)
	now := time.Now()
	switch {
	case errors.Is(err, store.ErrUnwritable):
		return err
	case err != nil:
		l.failures.note(l.log, now, len(batch), err)
		return err
	}
	l.committed.Store(&now)
	l.failures.well = true
	for _, w := range batch {
		w.answer <- nil
	}
	return nil
}

// putAside gives up a change that can never be written. A completion is tried once more
// without what the act's end says, so that its row doesn't stay open.
func (l *Log) putAside(w *write, err error) {
	row := w.change.Row
	l.mu.Lock()
	l.setAside++
	l.mu.Unlock()
	l.log.Error("a row can't be written and is set aside", "row", row.ID, "type", row.Type, "org_id", row.OrgID,
		"completion", w.change.Complete, "status", row.Status, "exit_code", row.ExitCode, "error", err)
	if w.change.Complete && !w.bare {
		bare := bareEnd(row)
		w.change.Row, w.bare = &bare, true
		l.commit([]*write{w})
		return
	}
	w.answer <- fmt.Errorf("%w: commit activity: %w", errNotTaken, err)
}

// bareEnd is the least that completes a row.
func bareEnd(row *store.Activity) store.Activity {
	bare := store.Activity{Replica: row.Replica}
	bare.ID, bare.OrgID, bare.WorkspaceID, bare.Type = row.ID, row.OrgID, row.WorkspaceID, row.Type
	bare.Status, bare.Code, bare.CompletedAt = sallyport.StatusError, sallyport.CodeInternal, row.CompletedAt
	return bare
}
