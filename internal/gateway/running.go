package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"sallyport"
	"sallyport/internal/identity"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/remote"
	"sallyport/internal/store"
)

// running is what runs now: who may come in, and how to end what did.
type running struct {
	mu       sync.Mutex // guards what follows
	draining bool
	admitted int
	idle     chan struct{} // closed when draining and nothing is admitted
	calls    map[*runningCall]struct{}
	// commands are those that have started and not ended, by the exec's id.
	commands map[string]remote.Process
	// streams counts the open event streams, by token and by organisation.
	streams map[string]int
	// recorded counts the execs whose rows are running, by organisation and by workspace.
	recorded map[string]int
	// over is why nothing may run any more, once the time of a drain is up.
	over    *sallyport.Error
	endings Endings
}

// Endings counts how often running calls were told to end: when a token was
// revoked, a workspace deleted.
type Endings uint64

// runningCall is an exec, or a stream of events, and what may end it.
type runningCall struct {
	// workspaceID is empty for what is about all of an organisation.
	orgID, workspaceID string
	// by is who called.
	by principal.Principal
	// follows is for streams, for which a drain doesn't wait.
	follows bool
	end     context.CancelCauseFunc
}

// Admit lets a call in that acts on a workspace, or returns draining. The caller
// calls done when it has answered.
func (g *Gateway) Admit() (done func(), err error) {
	r := &g.running
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return nil, drainingError()
	}
	r.admitted++
	return sync.OnceFunc(r.leave), nil
}

func (r *running) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted--
	if r.draining && r.admitted == 0 {
		close(r.idle)
	}
}

// started keeps the command of an exec, to be signalled.
func (r *running) started(execID string, p remote.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.commands == nil {
		r.commands = map[string]remote.Process{}
	}
	r.commands[execID] = p
}

func (r *running) forget(execID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.commands, execID)
}

func (r *running) command(execID string) (remote.Process, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.commands[execID]
	return p, ok
}

// Draining tells whether Drain was called.
func (g *Gateway) Draining() bool {
	g.running.mu.Lock()
	defer g.running.mu.Unlock()
	return g.running.draining
}

// Drain refuses new calls from now on, lets the running ones end until ctx does,
// then ends the rest, which is recorded. It returns when nothing runs any more, or
// when what is left waits for nothing but a caller that takes no answer: closing
// its connection ends it, and AwaitIdle waits for that. It must be called once.
func (g *Gateway) Drain(ctx context.Context) {
	r := &g.running
	r.mu.Lock()
	r.draining = true
	r.idle = make(chan struct{})
	if r.admitted == 0 {
		close(r.idle)
	}
	r.mu.Unlock()
	g.endCalls(drainingError(), func(c *runningCall) bool { return c.follows })
	select {
	case <-r.idle:
		return
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.over = drainingError()
	r.mu.Unlock()
	g.endCalls(drainingError(), func(*runningCall) bool { return true })
	select {
	case <-r.idle:
	case <-time.After(limits.DrainEndTime):
	}
}

// AwaitIdle waits, after Drain, until nothing runs any more.
func (g *Gateway) AwaitIdle() { <-g.running.idle }

// Endings is the count as it stands. It is read before a caller is proven, for
// Caller.Endings.
func (g *Gateway) Endings() Endings {
	g.running.mu.Lock()
	defer g.running.mu.Unlock()
	return g.running.endings
}

// endCalls ends the running calls that match, with cause. What it is about is on
// disk: a call that is tracked later finds it there.
func (g *Gateway) endCalls(cause *sallyport.Error, match func(*runningCall) bool) {
	r := &g.running
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endings++
	for c := range r.calls {
		if match(c) {
			c.end(cause)
		}
	}
}

// stillMay looks again at the token and the workspace, if there is one, of a call
// that was just tracked, if any were ended since its caller was proven: endCalls
// may have come in between and not seen it.
func (g *Gateway) stillMay(ctx context.Context, by Caller, ws *store.Workspace) error {
	if g.Endings() == by.Endings {
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
func (g *Gateway) track(ctx context.Context, c runningCall) (context.Context, func()) {
	ctx, c.end = context.WithCancelCause(ctx)
	r := &g.running
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[*runningCall]struct{}{}
	}
	r.calls[&c] = struct{}{}
	if r.over != nil {
		c.end(r.over)
	}
	return ctx, func() {
		c.end(nil)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.calls, &c)
	}
}

func drainingError() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeDraining, "the server is ending; try again in a moment")
}
