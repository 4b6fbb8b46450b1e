package gateway

import (
	"context"
	"errors"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/remote/detached"
	"sallyport/internal/store"
)

// OutputRead is what to read of a detached exec's output: see detached.Read. ID is filled in.
type OutputRead = detached.Read

// OutputFrame is a piece of output, or a gap in it.
type OutputFrame = detached.Frame

// ReadOutput hands the output of a detached exec to out, in frames. want.Begun is called before
// the first, once all has been checked. It returns how the reading ended, beside an error too:
// not_detached, output_gone, invalid_since, too_many_execs, exec_transport, draining, and the
// codes of reaching a machine.
func (g *Gateway) ReadOutput(ctx context.Context, by Caller, ref Ref, execID string, want OutputRead, out func(OutputFrame) error) (sallyport.OutputEnd, error) {
	ws, row, err := g.detachedRow(ctx, by, ref, execID, "read an exec's output")
	if err != nil {
		return sallyport.OutputEnd{}, err
	}
	if until := outputUntil(row.Activity); row.Reason == sallyport.ReasonNeverStarted || until != nil && g.Now().After(*until) {
		return sallyport.OutputEnd{}, outputGone(nil)
	}
	leave, err := g.detached.follow(ws.ID)
	if err != nil {
		return sallyport.OutputEnd{}, err
	}
	defer leave()
	if err := g.recordRead(ctx, by, ws, row); err != nil {
		return sallyport.OutputEnd{}, err
	}
	ctx, untrack := g.live.Track(ctx, &live.Call{OrgID: ws.OrgID, WorkspaceID: ws.ID, By: by.Principal, OnDrain: live.Ends})
	defer untrack()
	if _, err := g.stillMay(ctx, by, &ws); err != nil {
		return sallyport.OutputEnd{}, err
	}
	want.ID = row.ID
	result, err := g.readOnce(ctx, by, ws, row, want, out)
	return g.concludeRead(ctx, ws, row, want, result, err)
}

// detachedRow is the row of a detached exec, of a workspace with a machine.
func (g *Gateway) detachedRow(ctx context.Context, by Caller, ref Ref, execID, tried string) (store.Workspace, store.Activity, error) {
	ws, row, err := g.actRow(ctx, by, ref, g.execRecords(), execID, tried)
	switch {
	case err != nil:
		return ws, row, err
	case !row.Activity.Detached:
		return ws, row, sallyport.Errorf(sallyport.CodeNotDetached, "the exec is not detached: its output went to its caller, and is kept nowhere")
	}
	return ws, row, hasHost(ws)
}

func outputGone(cause error) *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeOutputGone, "the output is not on the machine any more").Because(cause)
}

// readOnce reads, and waits for an exec that is being started.
func (g *Gateway) readOnce(ctx context.Context, by Caller, ws store.Workspace, row store.Activity, want OutputRead, out func(OutputFrame) error) (detached.Result, error) {
	hasBegun, begun := false, want.Begun
	want.Begun = func(stdout, stderr int64) error {
		hasBegun = true
		return begun(stdout, stderr)
	}
	for {
		result, err := g.detachedOn(by, ws).Read(ctx, want, out)
		isStarting := !hasBegun && row.Status == sallyport.StatusRunning && g.Now().Before(row.CreatedAt.Add(g.ConnectTime))
		if !errors.Is(err, detached.ErrGone) || !isStarting {
			return result, err
		}
		pause := time.NewTimer(limits.DetachedFresh / 4)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return result, context.Cause(ctx)
		}
	}
}

// concludeRead is the last frame of a reading, or its error.
func (g *Gateway) concludeRead(ctx context.Context, ws store.Workspace, row store.Activity, want OutputRead, result detached.Result, err error) (sallyport.OutputEnd, error) {
	var last sallyport.OutputEnd
	if want.Stdout {
		last.Next.Stdout = &result.NextStdout
	}
	if want.Stderr {
		last.Next.Stderr = &result.NextStderr
	}
	known, isKnown := errors.AsType[*sallyport.Error](err)
	switch {
	case err != nil && ctx.Err() != nil:
		return last, canceledBy(context.Cause(ctx))
	case errors.Is(err, detached.ErrBeyond):
		return last, sallyport.Errorf(sallyport.CodeInvalidSince, "since is beyond what has been written")
	case errors.Is(err, detached.ErrGone):
		return last, outputGone(err)
	case isKnown:
		return last, known
	case err != nil:
		return last, err
	}
	last.Status = sallyport.StatusRunning
	if !result.Ended {
		return last, nil
	}
	settling := context.WithoutCancel(ctx)
	if err := g.settleRow(settling, ws, row, result.State); err != nil {
		return last, err
	}
	now, err := g.Activities.Activity(settling, row.OrgID, row.ID)
	if err != nil {
		return last, access.Unavailable(err)
	}
	fillEnd(&last, now.Activity)
	return last, nil
}

// fillEnd tells how an exec has ended.
func fillEnd(last *sallyport.OutputEnd, row sallyport.Activity) {
	last.Status = row.Status
	last.ExitCode, last.DurationMS, last.Signal = row.ExitCode, row.DurationMS, row.Signal
	last.OutputOpen, last.StdoutBytes, last.StderrBytes, last.Usage = row.OutputOpen, row.StdoutBytes, row.StderrBytes, row.Usage
	if row.ExitCode != nil || row.Status == sallyport.StatusRunning {
		return
	}
	last.Reason = row.Reason
	switch row.Status {
	case sallyport.StatusTimeout:
		last.Code, last.Message = sallyport.CodeExecTimeout, "the command was ended: it took longer than its time-out"
	case sallyport.StatusInterrupted:
		last.Code, last.Message = sallyport.CodeInterrupted, "how the command ended can't be known"
	default:
		last.Code, last.Message = sallyport.CodeCanceled, "the command was ended"
		if row.Reason == string(sallyport.CodeRevoked) || row.Reason == string(sallyport.CodeWorkspaceDeleted) {
			last.Code, last.Reason = sallyport.Code(row.Reason), ""
		}
		if row.Code != "" {
			last.Code = row.Code
		}
	}
}

// follow counts one reader more of a workspace's outputs.
func (w *detachedWatch) follow(workspaceID string) (leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.followers == nil {
		w.followers = map[string]int{}
	}
	if w.followers[workspaceID] >= limits.OutputFollowersPerWorkspace {
		return nil, sallyport.Errorf(sallyport.CodeTooManyExecs, "as many read the outputs of the workspace's execs as may at once, %d; try again when one has ended", limits.OutputFollowersPerWorkspace).WithReason(sallyport.ReasonFollowers)
	}
	w.followers[workspaceID]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.followers[workspaceID]--; w.followers[workspaceID] == 0 {
			delete(w.followers, workspaceID)
		}
	}, nil
}

// recordRead leaves a row of another's reading, one an hour for each exec and actor.
func (g *Gateway) recordRead(ctx context.Context, by Caller, ws store.Workspace, row store.Activity) error {
	who := row.ID + " " + by.Actor()
	if by.Actor() == row.Actor || !g.detached.isFirstRead(who) {
		return nil
	}
	err := g.Audit.Record(ctx, audit.Event{
		Type: sallyport.ActivityExecOutputRead, By: by.Principal, ClientAddr: by.Addr, OrgID: ws.OrgID, WorkspaceID: ws.ID,
		Summary: "output of exec " + row.ID + " read",
	})
	if err != nil {
		g.detached.forgetRead(who)
	}
	return err
}

// forgetRead takes back what isFirstRead has noted: there is no row.
func (w *detachedWatch) forgetRead(who string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.read, who)
}

// isFirstRead notes who reads what, and tells whether it is the first time in an hour.
func (w *detachedWatch) isFirstRead(who string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for key, at := range w.read {
		if now.Sub(at) > limits.OutputReadEvery {
			delete(w.read, key)
		}
	}
	if _, isKnown := w.read[who]; isKnown {
		return false
	}
	if w.read == nil {
		w.read = map[string]time.Time{}
	}
	if len(w.read) < limits.OutputReadersMax {
		w.read[who] = now
	}
	return true
}

// DeleteExec ends a detached exec, if it runs, and removes its output unless keepOutput is set.
// Its row stays. It may be called again. It returns not_detached, and the codes of reaching a
// machine: nothing has changed then.
func (g *Gateway) DeleteExec(ctx context.Context, by Caller, ref Ref, execID string, keepOutput bool) error {
	ws, row, err := g.detachedRow(ctx, by, ref, execID, "end an exec")
	if err != nil {
		return err
	}
	lasting, cancel := g.lasting(ctx)
	defer cancel()
	if row.Status == sallyport.StatusRunning {
		err := g.Audit.Record(ctx, audit.Event{
			Type: sallyport.ActivityExecSignal, By: by.Principal, ClientAddr: by.Addr, OrgID: ws.OrgID, WorkspaceID: ws.ID,
			Summary: "TERM sent to exec " + execID,
		})
		if err != nil {
			return err
		}
		buried, err := g.endDetached(lasting, ws, row, nil)
		if err != nil || buried {
			return err
		}
	}
	if keepOutput {
		return nil
	}
	if err := g.detachedOn(by, ws).Remove(lasting, []string{row.ID}); err != nil {
		return err
	}
	g.detached.forget(ws.ID, row.ID)
	return nil
}

// AwaitExec is ExecRow of an exec that has ended, or that runs after wait still. A machine is
// asked for a detached one, unless it was within the last second. A server that drains answers
// at once.
func (g *Gateway) AwaitExec(ctx context.Context, by Caller, ref Ref, execID string, wait time.Duration) (sallyport.Activity, error) {
	until := time.Now().Add(wait)
	for {
		ws, row, err := g.actRow(ctx, by, ref, g.execRecords(), execID, "see an exec")
		if err != nil {
			return sallyport.Activity{}, err
		}
		if row.Status == sallyport.StatusRunning && row.Activity.Detached {
			if row, err = g.refresh(ctx, by, ws, row); err != nil {
				return sallyport.Activity{}, err
			}
		}
		left := time.Until(until)
		if row.Status != sallyport.StatusRunning || left <= 0 || g.live.Draining() {
			return g.seen(row), nil
		}
		pause := time.NewTimer(min(left, limits.DetachedFresh/4))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return sallyport.Activity{}, canceledBy(context.Cause(ctx))
		}
	}
}

// refresh asks the machine of an exec that runs how it is, unless it has said so just now. A
// machine that can't be reached is no error.
func (g *Gateway) refresh(ctx context.Context, by Caller, ws store.Workspace, row store.Activity) (store.Activity, error) {
	isFresh := time.Since(g.detached.seenAt(ws.ID, row.ID)) < limits.DetachedFresh
	if isFresh || ws.Connector == nil {
		return row, nil
	}
	asking, cancel := context.WithTimeout(ctx, g.ConnectTime)
	defer cancel()
	states, err := g.detachedOn(by, ws).Ask(asking, []detached.Asked{{ID: row.ID}})
	s, isTold := states[row.ID]
	if err != nil || !isTold || s.Phase == detached.SpoolLost {
		return row, nil // the watch knows whether it had started
	}
	if err := g.settleRow(context.WithoutCancel(ctx), ws, row, s); err != nil {
		return row, err
	}
	now, err := g.Activities.Activity(ctx, row.OrgID, row.ID)
	if err != nil {
		return row, access.Unavailable(err)
	}
	return now, nil
}

// seen is a row with what is known of its exec now.
func (g *Gateway) seen(row store.Activity) sallyport.Activity {
	shown := row.Activity
	shown.OutputUntil = outputUntil(shown)
	if shown.Detached && shown.Status == sallyport.StatusRunning {
		shown.SeenAt = wireTime(g.detached.seenAt(shown.WorkspaceID, shown.ID))
	}
	return shown
}
