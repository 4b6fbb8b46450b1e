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
	"sync/atomic"
	"time"

	"sallyport/client/sallyport"
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

	// committed is when the store last took a commit, on the process's own clock.
	committed atomic.Pointer[time.Time]

	mu    sync.Mutex // guards the fields below
	queue []*write
	// kept are the changes that a commit failed on, and that must not be lost: they come
	// before any new row. The writer alone changes it.
	kept     []*write
	setAside uint64 // how many changes were
	closed   bool

	denials denials

	wake    chan struct{} // holds one: there is something in the queue
	closing chan struct{} // closed by Close
	done    chan struct{} // closed when the writer has ended

	failures failures // the writer's own
}

// write is one change on its way to the store. answer is buffered.
type write struct {
	change  store.ActivityChange
	durable bool
	// keep is set for what is tried again when a commit fails: completions, and rows that
	// nobody waits for.
	keep bool
	// began is when it came, and failed whether a commit has failed on it.
	began  time.Time
	failed atomic.Bool
	// bare is set for a completion that holds no more than what completes a row.
	bare   bool
	answer chan error
}

// New starts a log on st. now is the clock; nil is time.Now. Close it.
func New(st Store, log *slog.Logger, now func() time.Time) *Log {
	if now == nil {
		now = time.Now
	}
	l := &Log{
		store: st, log: log, now: now,
		wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
	}
	l.committed.Store(new(time.Time))
	go l.write()
	return l
}

// Close writes what is queued, and the count of refusals that share a row, and waits for
// it. Rows that still can't be completed are completed by the next start. It may be
// called twice.
func (l *Log) Close() error {
	l.tellDenials(true)
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
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
type TooManyError struct{ Verdict store.QuotaVerdict }

func (e *TooManyError) Error() string { return "too many execs run" }

// Durable waits until the row is on disk. It returns platform_unavailable when
// the store can't take it; the row, if it came to be all the same, is completed as
// an error then. It returns, with no row to finish, a *TooManyError where the quota doesn't
// let it run, and a *KeyTakenError when another exec has the idempotency key. It returns the
// cause of ctx when that ends first, and Finish must be called.
func (p *Pending) Durable(ctx context.Context) error {
	err := p.log.await(ctx.Done(), p.w, limits.BeginTimeMax)
	switch {
	case err == nil && p.quota != nil && p.quota.Verdict != store.WithinQuota:
		return &TooManyError{p.quota.Verdict}
	case err == nil && p.claim != nil && p.claim.Taken != nil:
		return &KeyTakenError{*p.claim.Taken}
	case err == nil:
		return nil
	case errors.Is(err, errGone):
		return context.Cause(ctx)
	case !errors.Is(err, errNotTaken):
		p.giveUp()
	}
	return unavailable("the activity log can't take the row, so nothing was run; try again in a moment", err)
}

// giveUp completes a row of which it isn't known whether it came to be.
func (p *Pending) giveUp() {
	row := p.row
	row.Argv, row.EnvNames = nil, nil // what stands in the row already isn't kept while the store is away
	row.Status, row.Code, row.CompletedAt = sallyport.StatusError, sallyport.CodePlatformUnavailable, p.log.endOf(row)
	p.log.enqueue(store.ActivityChange{Complete: true, Row: &row, FreeKey: p.claim != nil}, false)
}

// Finish completes the row with how the act ended. It returns once the row is complete,
// or with platform_unavailable where the store takes no commit for limits.FinishTimeMax;
// the completion is kept then, and tried again before any new row is taken. It returns
// interrupted where the row is not this server's any more: another has told its end.
func (p *Pending) Finish(end End) error {
	row := p.row
	end.apply(&row)
	row.CompletedAt = p.log.endOf(row)
	completed, err := p.log.complete(row, end.NothingRan && p.claim != nil)
	if err == nil && !completed && p.wasWritten() && !end.NothingRan {
		return sallyport.Errorf(sallyport.CodeInterrupted,
			"the server was cut off from its store for so long that another has closed the row; what ran was ended").WithStarted(true)
	}
	return err
}

// wasWritten tells, behind a completion of the row, whether there has been one.
func (p *Pending) wasWritten() bool { return p.w.change.Row.Seq != 0 }

// complete completes a row, and tells whether it was there to be completed.
func (l *Log) complete(row store.Activity, freeKey bool) (completed bool, err error) {
	w := l.enqueue(store.ActivityChange{Complete: true, Row: &row, FreeKey: freeKey}, false)
	if err := l.await(nil, w, limits.FinishTimeMax); err != nil {
		return false, notCompleted(err)
	}
	return w.change.Row.Seq != 0, nil
}

// await waits for the answer to a write, for as long as the queue moves: until gone is
// closed, or the store has taken no commit for the time most since the write came.
// Others' commits don't count once one has failed on the write itself.
func (l *Log) await(gone <-chan struct{}, w *write, most time.Duration) error {
	limit := time.NewTimer(most)
	defer limit.Stop()
	for {
		select {
		case err := <-w.answer:
			return err
		case <-gone:
			return errGone
		case <-limit.C:
		}
		moved := *l.committed.Load()
		if left := most - time.Since(moved); left > 0 && moved.After(w.began) && !w.failed.Load() {
			limit.Reset(left)
			continue
		}
		select {
		case err := <-w.answer: // together with the time
			return err
		default:
			return errTooLong
		}
	}
}

func notCompleted(cause error) error {
	return unavailable("the command has ended, but the activity log can't take its end now; it will be completed later", cause).WithStarted(true)
}

// Record writes the row of what has happened by itself, durably. It returns
// platform_unavailable when the store can't take it.
func (l *Log) Record(ctx context.Context, e Event) error {
	return l.record(ctx, l.eventRow(e), "what happened can't be recorded now")
}

// record writes a row that is complete.
func (l *Log) record(ctx context.Context, row store.Activity, failure string) error {
	w := l.enqueue(store.ActivityChange{Row: &row}, true)
	switch err := l.await(ctx.Done(), w, limits.BeginTimeMax); {
	case err == nil:
		return nil
	case errors.Is(err, errGone):
		return context.Cause(ctx)
	default:
		return unavailable(failure, err)
	}
}

// Interrupt completes a row that a crash left running.
func (l *Log) Interrupt(row store.Activity, end End) error {
	_, err := l.Conclude(row, end)
	return err
}

// Conclude completes a running row that was read from the store, whoever began it, and tells
// whether it was there to be completed: another may have been first. end.NothingRan frees its
// idempotency key.
func (l *Log) Conclude(row store.Activity, end End) (completed bool, err error) {
	end.apply(&row)
	row.CompletedAt = l.endOf(row)
	return l.complete(row, end.NothingRan)
}

// Event makes the row of an act on Sallyport's own records, to be committed with
// the act itself.
func (l *Log) Event(e Event) store.ActivityChange {
	row := l.eventRow(e)
	return store.ActivityChange{Row: &row}
}

// endOf is when a row is completed: now, but never before it was written, whatever the
// clock was set to.
func (l *Log) endOf(row store.Activity) *time.Time {
	at := l.now().UTC()
	if at.Before(row.CreatedAt) {
		at = row.CreatedAt
	}
	return &at
}

var (
	errTooLong = errors.New("the store takes no commit")
	errGone    = errors.New("nobody waits any more")
	// errNotTaken is of a row that never was on its way.
	errNotTaken  = errors.New("not taken")
	errClosed    = fmt.Errorf("%w: the log is closed", errNotTaken)
	errQueueFull = fmt.Errorf("%w: too many rows wait for the store", errNotTaken)
)

func unavailable(message string, cause error) *sallyport.Error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable, "%s", message).Because(cause)
}
