// Package audit writes the activity log: the intent on disk before the act, the
// outcome after it, and never a byte of output, of stdin, an env value or a
// token. It alone writes rows; the store keeps them.
//
// Writes are committed in groups: whoever comes while a commit is on its way
// shares the next one.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// Store is what the log needs of the store.
type Store interface {
	// CommitActivity applies changes in one transaction, in order. With durable
	// it returns once they are on disk.
	CommitActivity(ctx context.Context, changes []store.ActivityChange, durable bool) error
}

// Log is the activity log. Make it with New. It is safe for concurrent use.
type Log struct {
	store Store
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex // guards what follows
	queue  []*write
	kept   int // how many completions the last commit failed on
	closed bool

	wake chan struct{} // holds one: there is something in the queue
	done chan struct{} // closed when the writer has ended
}

// write is one change on its way to the store. answer is buffered.
type write struct {
	change  store.ActivityChange
	durable bool
	answer  chan error
}

// New starts a log on st. now is the clock; nil is time.Now. Close it.
func New(st Store, log *slog.Logger, now func() time.Time) *Log {
	if now == nil {
		now = time.Now
	}
	l := &Log{store: st, log: log, now: now, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.write()
	return l
}

// Close writes what is queued, and waits for it. Rows that still can't be
// completed are completed by the next start. It may be called twice.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.nudge()
	<-l.done
	return nil
}

// Pending is a row on its way to the disk.
type Pending struct {
	log   *Log
	row   store.Activity
	claim *store.Claim
	quota *store.Quota
	w     *write
}

// ID is the row's id.
func (p *Pending) ID() string { return p.row.ID }

// Begin sends the row of an act on its way and returns at once; nothing may happen on
// the machine before Durable has returned nil.
func (l *Log) Begin(a Act) *Pending {
	p := &Pending{log: l, row: l.actRow(a)}
	row := p.row
	p.claim, p.quota = a.Claim, a.Quota
	p.w = l.enqueue(store.ActivityChange{Row: &row, Claim: a.Claim, Quota: a.Quota}, true)
	return p
}

// KeyTakenError is an idempotency key that another act has: there is no row.
type KeyTakenError struct{ store.Taken }

func (e *KeyTakenError) Error() string { return "the key is that of exec " + e.ExecID }

// TooManyError is an act over a quota: there is no row, and no key was taken.
type TooManyError struct{ Over store.QuotaOver }

func (e *TooManyError) Error() string { return "too many execs run" }

// Durable waits until the row is on disk. It returns platform_unavailable when
// the store can't take it; the row, if it came to be all the same, is completed as
// an error then. It returns, with no row to finish, a *TooManyError where the quota doesn't
// let it run, and a *KeyTakenError when another exec has the idempotency key. It returns the
// cause of ctx when that ends first, and Finish must be called.
func (p *Pending) Durable(ctx context.Context) error {
	limit := time.NewTimer(limits.BeginTimeMax)
	defer limit.Stop()
	var err error
	select {
	case err = <-p.w.answer:
		switch {
		case err == nil && p.quota != nil && p.quota.Over != store.QuotaKept:
			return &TooManyError{p.quota.Over}
		case err == nil && p.claim != nil && p.claim.Taken != nil:
			return &KeyTakenError{*p.claim.Taken}
		case err == nil:
			return nil
		}
	case <-limit.C:
		err = errTooLong
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !errors.Is(err, errNotTaken) {
		p.giveUp()
	}
	return unavailable("the activity log can't take the row, so nothing was run; try again in a moment", err)
}

// giveUp completes a row of which it isn't known whether it came to be.
func (p *Pending) giveUp() {
	row := p.row
	row.Argv, row.EnvNames = nil, nil // what stands in the row already isn't kept while the store is away
	row.Status, row.Code, row.CompletedAt = sallyport.StatusError, sallyport.CodePlatformUnavailable, p.log.time()
	p.log.enqueue(store.ActivityChange{Complete: true, Row: &row, FreeKey: p.claim != nil}, false)
}

// Finish completes the row with how the act ended. It returns once the row is
// complete, or with platform_unavailable after limits.FinishTimeMax; the
// completion is kept then, and tried again before any new row is taken.
func (p *Pending) Finish(end End) error {
	row := p.row
	end.apply(&row.Activity)
	row.CompletedAt = p.log.time()
	return p.log.complete(row, end.NothingRan && p.claim != nil)
}

func (l *Log) complete(row store.Activity, freeKey bool) error {
	w := l.enqueue(store.ActivityChange{Complete: true, Row: &row, FreeKey: freeKey}, false)
	limit := time.NewTimer(limits.FinishTimeMax)
	defer limit.Stop()
	select {
	case err := <-w.answer:
		if err == nil {
			return nil
		}
		return notCompleted(err)
	case <-limit.C:
		return notCompleted(errTooLong)
	}
}

func notCompleted(cause error) error {
	return unavailable("the command has ended, but the activity log can't take its end now; it will be completed later", cause).WithStarted(true)
}

// Deny records the refusal of an authenticated caller, durably.
func (l *Log) Deny(ctx context.Context, d Denial) error {
	return l.record(ctx, l.denialRow(d), "the refusal can't be recorded now")
}

// Record writes the row of what has happened by itself, durably. It returns
// platform_unavailable when the store can't take it.
func (l *Log) Record(ctx context.Context, e Event) error {
	return l.record(ctx, l.eventRow(e), "what happened can't be recorded now")
}

// record writes a row that is complete.
func (l *Log) record(ctx context.Context, row store.Activity, failure string) error {
	w := l.enqueue(store.ActivityChange{Row: &row}, true)
	limit := time.NewTimer(limits.BeginTimeMax)
	defer limit.Stop()
	var err error
	select {
	case err = <-w.answer:
	case <-limit.C:
		err = errTooLong
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err != nil {
		return unavailable(failure, err)
	}
	return nil
}

// Interrupt completes a row that a crash left running.
func (l *Log) Interrupt(row store.Activity, end End) error {
	end.apply(&row.Activity)
	row.CompletedAt = l.time()
	return l.complete(row, false)
}

// Event makes the row of an act on Sallyport's own records, to be committed with
// the act itself.
func (l *Log) Event(e Event) store.ActivityChange {
	row := l.eventRow(e)
	return store.ActivityChange{Row: &row}
}

func (l *Log) time() *time.Time {
	t := l.now().UTC()
	return &t
}

var (
	errTooLong = errors.New("the commit takes too long")
	// errNotTaken is of a row that never was on its way.
	errNotTaken  = errors.New("not taken")
	errClosed    = fmt.Errorf("%w: the log is closed", errNotTaken)
	errQueueFull = fmt.Errorf("%w: too many rows wait for the store", errNotTaken)
)

// enqueue hands a change to the writer. Completions are never refused: there are
// no more of them than rows that were begun.
func (l *Log) enqueue(change store.ActivityChange, durable bool) *write {
	w := &write{change: change, durable: durable, answer: make(chan error, 1)}
	l.mu.Lock()
	switch {
	case l.closed && !change.Complete:
		w.answer <- errClosed
	case len(l.queue) >= limits.BatchQueueMax && !change.Complete:
		w.answer <- errQueueFull
	default:
		l.queue = append(l.queue, w)
	}
	l.mu.Unlock()
	l.nudge()
	return w
}

func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write is the one writer: it takes what is queued and commits it, in order.
func (l *Log) write() {
	defer close(l.done)
	retry := time.NewTimer(0)
	if !retry.Stop() {
		<-retry.C
	}
	for {
		select {
		case <-l.wake:
		case <-retry.C:
		}
		for {
			batch, closed := l.take()
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			if kept := l.commit(batch); kept > 0 {
				if closed {
					l.log.Error("rows left running for the next start to complete", "rows", kept)
					l.refuseQueued()
					return
				}
				// Callers bring the next try; without any the timer does.
				retry.Reset(time.Second)
				break
			}
		}
	}
}

// refuseQueued answers those for whom nobody will work any more.
func (l *Log) refuseQueued() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.queue {
		w.answer <- errClosed
	}
	l.queue = nil
}

// take takes the next batch off the queue.
func (l *Log) take() (batch []*write, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.queue), limits.BatchRowsMax)
	batch = append(batch, l.queue[:n]...)
	l.queue = append(l.queue[:0], l.queue[n:]...)
	return batch, l.closed
}

// commit commits one batch and tells who waits. When it fails new rows are
// refused, and completions go back to the head of the queue, so that they come
// before any new row. It tells how many it kept.
func (l *Log) commit(batch []*write) (kept int) {
	changes := make([]store.ActivityChange, len(batch))
	durable := false
	for i, w := range batch {
		changes[i] = w.change
		durable = durable || w.durable
	}
	ctx, cancel := context.WithTimeout(context.Background(), limits.CommitTimeMax)
	defer cancel()
	err := l.store.CommitActivity(ctx, changes, durable)
	if err == nil {
		l.keep(nil)
		for _, w := range batch {
			w.answer <- nil
		}
		return 0
	}
	l.log.Error("commit of activity rows", "rows", len(batch), "error", err)
	var again []*write
	for _, w := range batch {
		if w.change.Complete {
			again = append(again, w)
			continue
		}
		w.answer <- fmt.Errorf("commit activity: %w", err)
	}
	l.keep(again)
	return len(again)
}

// keep puts completions back to the head of the queue, where the next commit finds
// all of them.
func (l *Log) keep(again []*write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = len(again)
	if len(again) > 0 {
		l.queue = append(again, l.queue...)
	}
}

func unavailable(message string, cause error) *sallyport.Error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable, "%s", message).Because(cause)
}
