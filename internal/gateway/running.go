package gateway

import (
	"context"
	"errors"
	"sync"

	"sallyport"
	"sallyport/internal/identity"
	"sallyport/internal/store"
)

// running is what runs now: who may come in, and how to end what did.
type running struct {
	mu       sync.Mutex // guards what follows
	draining bool
	admitted int
	idle     chan struct{} // closed when draining and nothing is admitted
	execs    map[*runningExec]struct{}
	endings  Endings
}

// Endings counts how often running execs were told to end: when a token was
// revoked, a workspace deleted.
type Endings uint64

// runningExec is one exec, and why it may have to end.
type runningExec struct {
	workspaceID, tokenID string
	end                  context.CancelCauseFunc
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

// Draining tells whether Drain was called.
func (g *Gateway) Draining() bool {
	g.running.mu.Lock()
	defer g.running.mu.Unlock()
	return g.running.draining
}

// Drain refuses new calls from now on, lets the running ones end until ctx does,
// then ends the rest, which is recorded. It returns when nothing runs any more.
// It must be called once.
func (g *Gateway) Drain(ctx context.Context) {
	r := &g.running
	r.mu.Lock()
	r.draining = true
	r.idle = make(chan struct{})
	if r.admitted == 0 {
		close(r.idle)
	}
	r.mu.Unlock()
	select {
	case <-r.idle:
		return
	case <-ctx.Done():
	}
	g.endExecs(drainingError(), func(*runningExec) bool { return true })
	<-r.idle
}

// Endings is the count as it stands. It is read before a caller is proven, for
// Caller.Endings.
func (g *Gateway) Endings() Endings {
	g.running.mu.Lock()
	defer g.running.mu.Unlock()
	return g.running.endings
}

// endExecs ends the running execs that match, with cause. What it is about is on
// disk: an exec that is tracked later finds it there.
func (g *Gateway) endExecs(cause *sallyport.Error, match func(*runningExec) bool) {
	r := &g.running
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endings++
	for e := range r.execs {
		if match(e) {
			e.end(cause)
		}
	}
}

// stillMay looks again at the token and the workspace of an exec that was just
// tracked, if any were ended since its caller was proven: endExecs may have come
// in between and not seen it.
func (g *Gateway) stillMay(ctx context.Context, by Caller, ws store.Workspace) error {
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
	switch _, err := g.Workspaces.Workspace(ctx, ws.OrgID, ws.ID); {
	case errors.Is(err, store.ErrNotFound):
		return workspaceNotFound()
	case err != nil:
		return unavailable(err)
	}
	return nil
}

// track makes an exec known as running until the returned function is called.
// The returned context ends when endExecs ends it.
func (g *Gateway) track(ctx context.Context, workspaceID, tokenID string) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	e := &runningExec{workspaceID: workspaceID, tokenID: tokenID, end: end}
	r := &g.running
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.execs == nil {
		r.execs = map[*runningExec]struct{}{}
	}
	r.execs[e] = struct{}{}
	return ctx, func() {
		end(nil)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.execs, e)
	}
}

func drainingError() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeDraining, "the server is ending; try again in a moment")
}
