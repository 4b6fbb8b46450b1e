package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/principal"
	"sallyport/internal/remote/detached"
	"sallyport/internal/store"
)

// watchedExec is a detached exec that this server looks after until its output is gone.
type watchedExec struct {
	id      string
	ws      store.Workspace
	by      principal.Principal
	created time.Time
	timeout time.Duration
	// started tells that its machine has said that it has started: without a spool it is lost then,
	// and else it never starts any more.
	started bool
	// seen is when the machine last said that it runs.
	seen time.Time
	// until is when its output goes; zero as long as it runs.
	until   time.Time
	untrack func()
	// ruled is why it was to be ended, in vain so far; nil is that it may run.
	ruled *sallyport.Error
}

// watchedMachine are the detached execs of one workspace, which are asked for together.
type watchedMachine struct {
	execs map[string]*watchedExec
	// next is when to ask, and failed how often in a row that was in vain.
	next    time.Time
	failed  int
	isAsked bool
}

// detachedWatch holds what this server watches. The zero value watches nothing.
type detachedWatch struct {
	mu       sync.Mutex // guards the fields below
	machines map[string]*watchedMachine
	over     bool
	// followers counts the readers of outputs, by workspace; read is who has read which.
	followers map[string]int
	read      map[string]time.Time
	// ending counts, by id, how often an exec is being ended here.
	ending map[string]int

	wg sync.WaitGroup
}

// watchDetached looks after an exec from now on: asks its machine how it is, ends it when its
// token is revoked or its workspace deleted, and removes its output in the end.
func (g *Gateway) watchDetached(ctx context.Context, e watchedExec) {
	by := e.by
	by.ExpiresAt, by.Session = time.Time{}, [32]byte{} // the exec outlives both
	ctx, untrack := g.live.Track(context.WithoutCancel(ctx), &live.Call{OrgID: e.ws.OrgID, WorkspaceID: e.ws.ID, By: by, Class: store.ClassDetached})
	e.untrack = untrack
	w := &g.detached
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		untrack()
		return
	}
	if w.machines == nil {
		w.machines = map[string]*watchedMachine{}
	}
	m := w.machines[e.ws.ID]
	if m == nil {
		m = &watchedMachine{execs: map[string]*watchedExec{}}
		w.machines[e.ws.ID] = m
	}
	kept := e // e is read without mu when the exec is to end
	m.execs[e.id] = &kept
	if soon := time.Now().Add(limits.DetachedFresh); len(m.execs) == 1 || m.next.After(soon) {
		m.next = soon
	}
	context.AfterFunc(ctx, func() { g.endRuled(ctx, e) })
}

// recheckDetached ends the execs of a token that was revoked, or of a workspace that was deleted,
// before they were watched. Where the store doesn't answer, Recheck tells the next time.
func (g *Gateway) recheckDetached(ctx context.Context, by principal.Principal, ws store.Workspace) {
	for _, e := range []live.PossibleEnding{
		{Ending: live.Ending{Of: live.EndingOfToken, ID: by.TokenID}, OrgID: by.OrgID, WorkspaceID: by.WorkspaceID},
		{Ending: live.Ending{Of: live.EndingOfWorkspace, ID: ws.ID}, OrgID: ws.OrgID},
	} {
		if e.ID == "" {
			continue
		}
		if gone, err := g.isGone(ctx, e); err == nil && gone {
			g.End(e.Ending)
		}
	}
}

// endRuled ends an exec whose token was revoked, or whose workspace was deleted. The end of the
// server, and that of the watch, end nothing.
func (g *Gateway) endRuled(ctx context.Context, e watchedExec) {
	cause, isKnown := errors.AsType[*sallyport.Error](context.Cause(ctx))
	if !isKnown || cause.Code != sallyport.CodeRevoked && cause.Code != sallyport.CodeWorkspaceDeleted {
		return
	}
	w := &g.detached
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.DetachedAskTime)
		defer cancel()
		row, err := g.Activities.Activity(ctx, e.ws.OrgID, e.id)
		if err == nil && row.Status == sallyport.StatusRunning {
			_, err = g.endDetached(ctx, e.ws, row, cause)
		}
		if err == nil && cause.Code == sallyport.CodeWorkspaceDeleted {
			err = g.detachedOn(Caller{}, e.ws).Remove(ctx, []string{e.id})
		}
		if err != nil {
			g.Log.Warn("a detached exec that was to end could not be ended yet", "exec_id", e.id, "error", err)
			w.endLater(e, cause)
		}
	})
}

// endLater has an exec ended as soon as its machine is reached.
func (w *detachedWatch) endLater(e watchedExec, why *sallyport.Error) {
	w.with(e.ws.ID, e.id, func(watched *watchedExec) { watched.ruled = why })
}

// WatchDetached asks machines how their detached execs are, until ctx ends, and completes the
// rows of those that have ended. The execs go on without it.
func (g *Gateway) WatchDetached(ctx context.Context) {
	tick := time.NewTicker(limits.DetachedFresh / 2)
	defer tick.Stop()
	slots := make(chan struct{}, limits.DetachedAsksMax)
	for {
		select {
		case <-ctx.Done():
			g.detached.end()
			return
		case <-tick.C:
			g.askDue(ctx, slots)
		}
	}
}

// end forgets all that is watched, and waits for what is asked.
func (w *detachedWatch) end() {
	w.mu.Lock()
	w.over = true
	for _, m := range w.machines {
		for _, e := range m.execs {
			e.untrack()
		}
	}
	w.machines = nil
	w.mu.Unlock()
	w.wg.Wait()
}

// askDue asks the machines whose turn it is, as many at once as slots has room for.
func (g *Gateway) askDue(ctx context.Context, slots chan struct{}) {
	w := &g.detached
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.machines {
		if m.isAsked || time.Now().Before(m.next) {
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			return
		}
		m.isAsked = true
		w.wg.Go(func() {
			defer func() { <-slots }()
			g.askMachine(ctx, m)
		})
	}
}

// askMachine asks one machine for all of its execs.
func (g *Gateway) askMachine(ctx context.Context, m *watchedMachine) {
	ctx, cancel := context.WithTimeout(ctx, limits.DetachedAskTime)
	defer cancel()
	running, gone := m.due(&g.detached)
	err := errors.Join(g.askAll(ctx, running), g.removeOutputs(ctx, gone))
	w := &g.detached
	w.mu.Lock()
	defer w.mu.Unlock()
	m.isAsked = false
	every := limits.DetachedAskEvery
	if len(running) > 0 && running[0].ws.Connector != nil && running[0].ws.Connector.Type == sallyport.ConnectorEIC {
		every = limits.DetachedAskEveryEIC
	}
	if m.failed++; err == nil {
		m.failed = 0
	}
	m.next = time.Now().Add(min(every<<min(m.failed, 8), max(every, limits.DetachedAskAgainMax)))
	if len(m.execs) == 0 {
		for id, other := range w.machines {
			if other == m {
				delete(w.machines, id)
			}
		}
	}
}

// due are the execs that run, and those whose output is to go.
func (m *watchedMachine) due(w *detachedWatch) (running, gone []watchedExec) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range m.execs {
		switch {
		case e.until.IsZero():
			running = append(running, *e)
		case !time.Now().Before(e.until):
			gone = append(gone, *e)
		}
	}
	return running, gone
}

// askAll asks for execs of one machine, and completes the rows of those that have ended.
func (g *Gateway) askAll(ctx context.Context, running []watchedExec) error {
	if len(running) == 0 {
		return nil
	}
	ws, err := g.Workspaces.Workspace(ctx, running[0].ws.OrgID, running[0].ws.ID)
	if err != nil || ws.Connector == nil {
		ws = running[0].ws // deleted: what watches for that ends them
	}
	asked := make([]detached.Asked, len(running))
	for i, e := range running {
		asked[i] = detached.Asked{ID: e.id, Bury: !e.started}
	}
	states, err := g.detachedOn(Caller{}, ws).Ask(ctx, asked)
	var failed []error
	for _, e := range running {
		s, isTold := states[e.id]
		if err != nil || !isTold {
			s = detached.State{}
			if !g.isGivenUp(e) {
				continue
			}
		}
		failed = append(failed, g.settle(ctx, ws, e, s))
	}
	return errors.Join(append(failed, err)...)
}

// isGivenUp tells of an exec whose machine can't be asked whether it is asked no more.
func (g *Gateway) isGivenUp(e watchedExec) bool {
	return g.Now().After(e.created.Add(e.timeout + limits.DetachedGiveUp))
}

// removeOutputs removes outputs that have been kept long enough, as many as one script can.
func (g *Gateway) removeOutputs(ctx context.Context, gone []watchedExec) error {
	if len(gone) == 0 {
		return nil
	}
	ids := make([]string, 0, min(len(gone), limits.DetachedRemoveMax))
	for _, e := range gone[:cap(ids)] {
		ids = append(ids, e.id)
	}
	ws, err := g.Workspaces.Workspace(ctx, gone[0].ws.OrgID, gone[0].ws.ID)
	if err != nil || ws.Connector == nil {
		ws = gone[0].ws // as it was when they began
	}
	if err := g.detachedOn(Caller{}, ws).Remove(ctx, ids); err != nil {
		return err
	}
	for _, id := range ids {
		g.detached.forget(ws.ID, id)
	}
	return nil
}

// forget ends the watch of an exec.
func (w *detachedWatch) forget(workspaceID, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.machines[workspaceID]; m != nil && m.execs[id] != nil {
		m.execs[id].untrack()
		delete(m.execs, id)
	}
}

// with calls f with a watched exec, under mu, if it is watched.
func (w *detachedWatch) with(workspaceID, id string, f func(e *watchedExec)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.machines[workspaceID]; m != nil && m.execs[id] != nil {
		f(m.execs[id])
	}
}

// ended has the output of an exec removed at until.
func (w *detachedWatch) ended(workspaceID, id string, until time.Time) {
	w.with(workspaceID, id, func(e *watchedExec) {
		e.until = until
		e.untrack()
	})
}

// saw notes that the machine has said that an exec runs.
func (w *detachedWatch) saw(workspaceID, id string) {
	w.with(workspaceID, id, func(e *watchedExec) { e.seen = time.Now() })
}

// began notes that a machine which was to bury what hasn't started has said that an exec runs.
func (w *detachedWatch) began(workspaceID, id string) {
	w.with(workspaceID, id, func(e *watchedExec) { e.started = true })
}

// seenAt is when the machine has last said so; zero is never.
func (w *detachedWatch) seenAt(workspaceID, id string) (at time.Time) {
	w.with(workspaceID, id, func(e *watchedExec) { at = e.seen })
	return at
}

// ends notes that an exec is being ended here, until done is called: whoever learns its end
// meanwhile doesn't know why, nor what is left of it.
func (w *detachedWatch) ends(id string) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending == nil {
		w.ending = map[string]int{}
	}
	w.ending[id]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.ending[id]--; w.ending[id] == 0 {
			delete(w.ending, id)
		}
	}
}

func (w *detachedWatch) isEnding(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ending[id] > 0
}
