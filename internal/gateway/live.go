package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/identity"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// live is what runs now: which calls may come in, and how to end those that did.
type live struct {
	mu       sync.Mutex // guards what follows
	draining bool
	admitted int
	idle     chan struct{} // closed when draining and nothing is admitted
	calls    map[*call]struct{}
	// handles are those of the acts that run on their machine, by the row's id.
	handles map[string]handle
	// streams counts the open event streams, by token and by organisation.
	streams map[string]int
	// recorded counts the acts whose rows are running, by organisation and by workspace,
	// those of each class apart.
	recorded map[counted]int
	// over is why nothing may run any more, once the time of a drain is up.
	over  *sallyport.Error
	epoch RevocationEpoch
}

// RevocationEpoch counts how often running calls were told to end: when a token was
// revoked, a workspace deleted.
type RevocationEpoch uint64

// call is an act on a machine, or a stream of events, and what may end it.
type call struct {
	// workspaceID is empty for a call about all of an organisation.
	orgID, workspaceID string
	// by is the caller.
	by principal.Principal
	// class is what an act is counted as.
	class store.Class
	drain drain
	// acts is set for acts, which have a row that this server alone completes.
	acts bool
	end  context.CancelCauseFunc
	// rowID is set once the act has a handle.
	rowID string
}

// drain is how a call takes the end of the server.
type drain int

const (
	// drainWaits: the drain waits for the call, as long as it may, and then ends it.
	drainWaits drain = iota
	// drainEnds: the call is ended at once.
	drainEnds
)

// handle is what runs on a machine for an act.
type handle interface {
	// Signal sends a signal by its name without SIG, and tells whether anything was there
	// to take it.
	Signal(ctx context.Context, name string) (sent bool, err error)
}

// Admit lets a call in that acts on a workspace, or returns draining. The caller
// calls done when it has answered.
func (g *Gateway) Admit() (done func(), err error) {
	l := &g.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return nil, drainingError()
	}
	l.admitted++
	return sync.OnceFunc(l.leave), nil
}

func (l *live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.admitted--
	if l.draining && l.admitted == 0 {
		close(l.idle)
	}
}

// handle keeps what runs for an act, until the call is untracked.
func (l *live) handle(c *call, rowID string, h handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handles == nil {
		l.handles = map[string]handle{}
	}
	c.rowID = rowID
	l.handles[rowID] = h
}

// find returns the handle of the act with this row.
func (l *live) find(rowID string) (handle, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.handles[rowID]
	return h, ok
}

// Draining tells whether Drain was called.
func (g *Gateway) Draining() bool {
	g.live.mu.Lock()
	defer g.live.mu.Unlock()
	return g.live.draining
}

// Drain refuses new calls from now on, lets the running ones end until ctx does,
// then ends the rest, which is recorded. It returns when nothing runs any more, or
// when what is left waits for nothing but a caller that takes no answer: closing
// its connection ends it, and AwaitIdle waits for that. It must be called once.
func (g *Gateway) Drain(ctx context.Context) {
	l := &g.live
	l.mu.Lock()
	l.draining = true
	l.idle = make(chan struct{})
	if l.admitted == 0 {
		close(l.idle)
	}
	l.mu.Unlock()
	g.endCalls(drainingError(), func(c *call) bool { return c.drain == drainEnds })
	select {
	case <-l.idle:
		return
	case <-ctx.Done():
	}
	l.mu.Lock()
	l.over = drainingError()
	l.mu.Unlock()
	g.endCalls(drainingError(), func(*call) bool { return true })
	select {
	case <-l.idle:
	case <-time.After(limits.DrainEndTime):
	}
}

// AwaitIdle waits, after Drain, until nothing runs any more.
func (g *Gateway) AwaitIdle() { <-g.live.idle }

// RevocationEpoch returns the count as it stands. It is read before authentication, for
// Caller.RevocationEpoch.
func (g *Gateway) RevocationEpoch() RevocationEpoch {
	g.live.mu.Lock()
	defer g.live.mu.Unlock()
	return g.live.epoch
}

// any tells whether a running call matches.
func (l *live) any(match func(*call) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.calls {
		if match(c) {
			return true
		}
	}
	return false
}

// endCalls ends the running calls that match, with cause. What it is about is on
// disk: a call that is tracked later finds it there.
func (g *Gateway) endCalls(cause *sallyport.Error, match func(*call) bool) {
	l := &g.live
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
	for c := range l.calls {
		if match(c) {
			c.end(cause)
		}
	}
}

// stillMay looks again at the token and the workspace, if there is one, of a call
// that was just tracked, if any were ended since its caller was proven: endCalls
// may have come in between and not seen it.
func (g *Gateway) stillMay(ctx context.Context, by Caller, ws *store.Workspace) error {
	if g.RevocationEpoch() == by.RevocationEpoch {
		return nil
	}
	if by.TokenID != "" {
		switch _, err := g.Tokens.Token(ctx, by.OrgID, by.WorkspaceID, by.TokenID); {
		case errors.Is(err, store.ErrNotFound):
			return identity.Unauthenticated()
		case err != nil:
			return unavailable(err)
		}
	}
	if by.Session != ([32]byte{}) {
		switch _, err := g.Sessions.SessionByHash(ctx, by.Session); {
		case errors.Is(err, store.ErrNotFound):
			return identity.Unauthenticated()
		case err != nil:
			return unavailable(err)
		}
	}
	if ws == nil {
		return nil
	}
	switch _, err := g.Workspaces.Workspace(ctx, ws.OrgID, ws.ID); {
	case errors.Is(err, store.ErrNotFound):
		return workspaceNotFound()
	case err != nil:
		return unavailable(err)
	}
	return nil
}

// track makes a call known as running until the returned function is called.
// The returned context ends when endCalls ends it.
func (g *Gateway) track(ctx context.Context, c *call) (context.Context, func()) {
	ctx, c.end = context.WithCancelCause(ctx)
	l := &g.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		l.calls = map[*call]struct{}{}
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

func drainingError() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeDraining, "the server is ending; try again in a moment")
}
