package gateway

import (
	"context"
	"errors"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/store"
)

func (g *Gateway) terminalRecords() recordsOf {
	return recordsOf{rowType: sallyport.ActivityTerminal, rule: g.Access.Rules.Terminal, one: "terminal", many: "terminals"}
}

// ListTerminals lists a workspace's terminals, running and ended, newest first; status, if it
// isn't empty, is that of all. It returns workspace_not_found, scope_forbidden or
// invalid_status.
func (g *Gateway) ListTerminals(ctx context.Context, by Caller, ref Ref, status string, page PageRequest) (ActivityPage, error) {
	return g.listActs(ctx, by, ref, g.terminalRecords(), status, page)
}

// TerminalRow shows one of a workspace's terminals. It returns workspace_not_found,
// scope_forbidden or not_found.
func (g *Gateway) TerminalRow(ctx context.Context, by Caller, ref Ref, terminalID string) (sallyport.Activity, error) {
	_, row, err := g.actRow(ctx, by, ref, g.terminalRecords(), terminalID, "see a terminal")
	return row.Activity, err
}

// EndTerminal ends a terminal by force, on whichever replica it runs, and returns when its row
// is complete. Its errors are those of EndForward.
func (g *Gateway) EndTerminal(ctx context.Context, by Caller, ref Ref, terminalID string) error {
	return g.endAct(ctx, by, ref, g.terminalRecords(), terminalID, func(sallyport.Activity) audit.Event {
		return audit.Event{Type: sallyport.ActivityTerminalKilled, Summary: "terminal " + terminalID + " ended"}
	})
}

// TerminalResume is the wish of a client that comes again.
type TerminalResume struct {
	ID string
	// Received is how much of the output has been dealt with; nil asks for all that is kept.
	Received *int64
	// Cols and Rows are the size; a side of 0 stays as it is.
	Cols, Rows int
}

// ResumeTerminal connects a client anew to its terminal, and takes over from the connection
// that it has. It ends client when it returns: when the terminal is over, or the client has
// gone or was taken over from. Its error, for the log, is why, or terminal_not_found or
// invalid_frame.
func (g *Gateway) ResumeTerminal(ctx context.Context, by Caller, ref Ref, t TerminalResume, client TerminalClient) error {
	r, ws, err := g.findTerminal(ctx, by, ref, t.ID)
	if err == nil && r == nil {
		return g.passOn(ctx, by, ws, PassedTerminal{ID: t.ID, Received: t.Received, Cols: t.Cols, Rows: t.Rows}, client)
	}
	if err == nil && !r.isOf(by) {
		err = terminalNotFound()
	}
	a := &attachment{run: r, client: client}
	if err == nil {
		err = r.resume(a, t)
	}
	if err != nil {
		client.End(nil, err)
		return err
	}
	defer g.attend(ctx, by, r.act.ws, r.end)()
	if _, err := g.stillMay(ctx, by, &r.act.ws); err != nil {
		r.end(sallyport.Errorf(sallyport.CodeRevoked, "the token or the session has ended").Because(err))
	}
	r.resize(t.Cols, t.Rows)
	a.serve()
	return nil
}

func terminalNotFound() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeTerminalNotFound, "no such terminal, or it is over")
}

// findTerminal finds a terminal of a workspace: nil is one that doesn't run on this server.
func (g *Gateway) findTerminal(ctx context.Context, by Caller, ref Ref, terminalID string) (*terminalRun, store.Workspace, error) {
	ws, err := g.Access.CachedWorkspace(ctx, by, ref)
	if err != nil {
		return nil, ws, err
	}
	if !id.Is(terminalID) {
		return nil, ws, terminalNotFound()
	}
	h, _ := g.live.Find(terminalID)
	r, ok := h.(*terminalRun)
	if !ok {
		return nil, ws, nil
	}
	if r.act.ws.ID != ws.ID {
		return nil, ws, terminalNotFound()
	}
	return r, ws, nil
}

// attend has end called when somebody may not be at a terminal any more, with the cause: ctx has
// ended, the token, the workspace. The caller calls leave when it is over.
func (g *Gateway) attend(ctx context.Context, by Caller, ws store.Workspace, end func(cause error)) (leave func()) {
	acting, untrack := g.live.Track(ctx, &live.Call{OrgID: ws.OrgID, WorkspaceID: ws.ID, By: by.Principal, EndsBelowTier: true})
	stop := context.AfterFunc(acting, func() { end(context.Cause(acting)) })
	return func() {
		stop()
		untrack()
	}
}

// isOf tells whether a caller is the one who started the terminal: the same token, or a session
// of it.
func (r *terminalRun) isOf(by Caller) bool {
	own := r.act.by
	return own.Kind == by.Kind && own.OrgID == by.OrgID && own.WorkspaceID == by.WorkspaceID && own.TokenID == by.TokenID
}

// resume makes a the terminal's client.
func (r *terminalRun) resume(a *attachment, t TerminalResume) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := r.output.start()
	switch {
	case isDone(r.taken), r.ctx.Err() != nil, r.final != nil && r.final.why != nil:
		return terminalNotFound()
	case t.Received == nil:
		r.acks = false // who has forgotten what came may have forgotten how to ack
	case *t.Received > r.output.end:
		return sallyport.Errorf(sallyport.CodeInvalidFrame, "received is more than was printed")
	default:
		from = max(from, *t.Received)
		r.acked = max(r.acked, from)
	}
	if was := r.client; was != nil {
		was.gone = sallyport.Errorf(sallyport.CodeTakenOver, "another connection has taken the terminal over")
		was.abortLater()
	}
	a.sent = from
	r.client = a
	r.resumes++
	r.g.resumes.Add(1)
	a.hello = sallyport.TerminalResumed{
		Type: sallyport.FrameResumed, ID: r.act.row.ID(), From: from, InputReceived: r.input, Cols: sizeOr(t.Cols, r.spec.Cols), Rows: sizeOr(t.Rows, r.spec.Rows),
		TimeoutS: r.spec.TimeoutS, IdleTimeoutS: r.spec.IdleTimeoutS, Recorded: r.recorded != nil,
	}
	r.line()
	r.wake()
	return nil
}

func sizeOr(side, is int) int {
	if side == 0 {
		return is
	}
	return side
}

// WatchTerminal shows a terminal's output to client until the terminal is over, or the client
// has gone or is too slow, and ends client. A row of its own is on disk before the first byte.
// Its error, for the log, is why, or scope_forbidden, terminal_not_found, too_many_watchers or
// platform_unavailable.
func (g *Gateway) WatchTerminal(ctx context.Context, by Caller, ref Ref, terminalID string, client TerminalClient) error {
	a := &attachment{client: client, watch: true}
	ws, err := g.beginWatch(ctx, by, ref, terminalID, a)
	if err == nil && a.run == nil {
		return g.passOn(ctx, by, ws, PassedTerminal{ID: terminalID, Watch: true}, client)
	}
	if err != nil {
		client.End(nil, err)
		return err
	}
	r := a.run
	defer g.attend(ctx, by, r.act.ws, a.leave)()
	if _, err := g.stillMay(ctx, by, &r.act.ws); err != nil {
		a.leave(sallyport.Errorf(sallyport.CodeRevoked, "the token or the session has ended").Because(err))
	}
	a.serve()
	return nil
}

// beginWatch lets a watch a terminal of this server. The run stays nil for one that another
// holds.
func (g *Gateway) beginWatch(ctx context.Context, by Caller, ref Ref, terminalID string, a *attachment) (store.Workspace, error) {
	ws, err := g.Access.CachedWorkspace(ctx, by, ref)
	if err != nil {
		return ws, err
	}
	if err := g.Access.Check(ctx, by, g.Access.Rules.WatchTerminal, &ws, "watch a terminal"); err != nil {
		return ws, err
	}
	r, _, err := g.findTerminal(ctx, by, ref, terminalID)
	if err == nil && r != nil {
		err = r.mayWatch()
	} else if err == nil {
		_, err = g.holder(ctx, ws, terminalID)
	}
	if err != nil {
		return ws, err
	}
	err = g.Audit.Record(ctx, audit.Event{
		Type: sallyport.ActivityTerminalWatched, By: by.Principal, ClientAddr: by.Addr, OrgID: ws.OrgID, WorkspaceID: ws.ID,
		Summary: "terminal " + terminalID + " watched",
	})
	if err != nil || r == nil {
		return ws, err
	}
	return ws, r.watch(a)
}

func (r *terminalRun) mayWatch() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.checkWatch()
}

// checkWatch tells why nobody may watch now. r.mu is held.
func (r *terminalRun) checkWatch() error {
	switch {
	case r.final != nil, r.ctx.Err() != nil:
		return terminalNotFound()
	case len(r.watchers) >= limits.TerminalWatchersMax:
		return sallyport.Errorf(sallyport.CodeTooManyWatchers, "the terminal is watched by as many as may, %d", limits.TerminalWatchersMax)
	}
	return nil
}

// watch lets a watch.
func (r *terminalRun) watch(a *attachment) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkWatch(); err != nil {
		return err
	}
	a.run, a.sent = r, r.output.start()
	a.toldCols, a.toldRows = r.spec.Cols, r.spec.Rows
	a.hello = sallyport.TerminalWatching{
		Type: sallyport.FrameWatching, ID: r.act.row.ID(), Actor: r.act.by.Actor(), Cols: r.spec.Cols, Rows: r.spec.Rows, From: a.sent,
	}
	r.watchers[a] = struct{}{}
	r.g.watchers.Add(1)
	r.wake()
	return nil
}

// leave ends the connection with a reason.
func (a *attachment) leave(why error) {
	a.run.mu.Lock()
	defer a.run.mu.Unlock()
	if a.gone == nil && !errors.Is(why, context.Canceled) {
		a.gone = why
	}
	a.abortLater()
	a.run.wake()
}
