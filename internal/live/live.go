// Package live is what runs on this server now: the acts on machines and the streams of
// events, how each is found, counted and ended, and whether more may come in.
package live

import (
	"context"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// Calls holds the calls that run now. The zero value holds none and is ready for use. It
// is safe for concurrent use, and must not be copied.
type Calls struct {
	mu       sync.Mutex // guards the fields below
	draining bool
	admitted int
	idle     chan struct{} // closed when draining and nothing is admitted
	calls    map[*Call]struct{}
	// handles are those of the acts that run on their machine, by the row's id.
	handles map[string]Handle
	// streams counts the open event streams, by token and by organisation.
	streams map[string]int
	// recorded counts the acts whose rows are running, by organisation and by workspace,
	// those of each class apart.
	recorded map[counted]int
	// over is why nothing may run any more, once the time of a drain is up.
	over  *sallyport.Error
	epoch Epoch
}

// Epoch counts how often running calls were told to end: when a token was revoked, a
// workspace deleted.
type Epoch uint64

// Call is an act on a machine, or a stream of events, and what may end it. Its fields are
// set before it is tracked.
type Call struct {
	OrgID string
	// WorkspaceID is empty for a call about all of an organisation.
	WorkspaceID string
	// By is the caller.
	By principal.Principal
	// Class is what an act is counted as.
	Class store.Class
	// OnDrain is how the call takes the end of the server.
	OnDrain OnDrain
	// Acts is set for acts, which have a row that this server alone completes.
	Acts bool
	// EndsBelowTier is set for what ends when its workspace's tier is lowered below exec's.
	EndsBelowTier bool

	// Announce is called when a drain begins that waits for the call, with the time that is
	// left for it; nil is nobody. It must not block.
	Announce func(left time.Duration)

	end context.CancelCauseFunc
	// rowID is set once the act has a handle.
	rowID string
}

// OnDrain is how a call takes the end of the server.
type OnDrain int

const (
	// Waits: the drain waits for the call, as long as it may, and then ends it.
	Waits OnDrain = iota
	// Ends: the call is ended at once.
	Ends
)

// Handle is what runs on a machine for an act.
type Handle interface {
	// Signal sends a signal by its name without SIG, and tells whether anything was there
	// to take it.
	Signal(ctx context.Context, name string) (sent bool, err error)
}

// Admit lets a call in that acts on a workspace, or returns draining. The caller calls
// done when it has answered; more than once counts once.
func (l *Calls) Admit() (done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return nil, drainingError()
	}
	l.admitted++
	return sync.OnceFunc(l.leave), nil
}

func (l *Calls) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.admitted--
	if l.draining && l.admitted == 0 {
		close(l.idle)
	}
}

// Track makes c known as running until untrack is called. The returned context ends, with
// its cause, when the call is to end.
func (l *Calls) Track(ctx context.Context, c *Call) (_ context.Context, untrack func()) {
	ctx, c.end = context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		l.calls = map[*Call]struct{}{}
	}
	l.calls[c] = struct{}{}
	if l.over != nil {
		c.end(l.over)
	}
	return ctx, func() {
		c.end(nil)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.calls, c)
		delete(l.handles, c.rowID)
	}
}

// Handle keeps what runs for an act with this row, until the call is untracked.
func (l *Calls) Handle(c *Call, rowID string, h Handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handles == nil {
		l.handles = map[string]Handle{}
	}
	c.rowID = rowID
	l.handles[rowID] = h
}

// Find returns the handle of the act with this row.
func (l *Calls) Find(rowID string) (Handle, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.handles[rowID]
	return h, ok
}

// CountActs returns how many acts of each class run.
func (l *Calls) CountActs() map[store.Class]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[store.Class]int{}
	for c := range l.calls {
		if c.Acts {
			n[c.Class]++
		}
	}
	return n
}

// IsEmpty tells whether nothing is tracked, kept or counted.
func (l *Calls) IsEmpty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls)+len(l.handles)+len(l.recorded)+len(l.streams) == 0
}

// Draining tells whether Drain was called.
func (l *Calls) Draining() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.draining
}

// Drain refuses new calls from now on, lets the running ones end until ctx does, then ends
// the rest. It returns when nothing is admitted any more, or when what is left waits for
// nothing but a caller that takes no answer: closing its connection ends it, and AwaitIdle
// waits for that. It must be called once.
func (l *Calls) Drain(ctx context.Context) {
	l.mu.Lock()
	l.draining = true
	l.idle = make(chan struct{})
	if l.admitted == 0 {
		close(l.idle)
	}
	l.mu.Unlock()
	l.End(drainingError(), func(c *Call) bool { return c.OnDrain == Ends })
	if by, isBounded := ctx.Deadline(); isBounded {
		l.announce(time.Until(by))
	}
	select {
	case <-l.idle:
		return
	case <-ctx.Done():
	}
	l.mu.Lock()
	l.over = drainingError()
	l.mu.Unlock()
	l.End(drainingError(), func(*Call) bool { return true })
	select {
	case <-l.idle:
	case <-time.After(limits.DrainEndTime):
	}
}

func (l *Calls) announce(left time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.calls {
		if c.OnDrain == Waits && c.Announce != nil {
			c.Announce(left)
		}
	}
}

// AwaitIdle waits, after Drain, until nothing is admitted any more.
func (l *Calls) AwaitIdle() { <-l.idle }

func drainingError() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeDraining, "the server is ending; try again in a moment")
}
