package gateway

import (
	"context"
	"errors"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/remote/detached"
	"sallyport/internal/store"
)

// settle completes the row of a watched exec, if what its machine tells is an end. A state
// without a phase is of a machine that is given up.
func (g *Gateway) settle(ctx context.Context, ws store.Workspace, e watchedExec, s detached.State) error {
	overdue := g.Now().After(e.created.Add(e.timeout + limits.DetachedOverdue))
	if s.Phase == detached.Running && !overdue && e.ruled == nil {
		g.detached.began(ws.ID, e.id)
		g.detached.saw(ws.ID, e.id)
		return nil
	}
	row, err := g.Activities.Activity(ctx, ws.OrgID, e.id)
	if errors.Is(err, store.ErrNotFound) {
		g.detached.forget(ws.ID, e.id)
		return nil
	}
	if err != nil {
		return err
	}
	if s.Phase == detached.Running && !overdue && row.Status == sallyport.StatusRunning {
		_, err := g.endDetached(ctx, ws, row, e.ruled)
		return err
	}
	return g.settleRow(ctx, ws, row, s)
}

// settleRow is settle for a row that was read.
func (g *Gateway) settleRow(ctx context.Context, ws store.Workspace, row store.Activity, s detached.State) error {
	if row.Status == sallyport.StatusRunning {
		if s.Ending && g.detached.isEnding(row.ID) {
			return nil // who ends it tells why
		}
		end, hasEnded := g.detachedEnd(ctx, ws, row, s)
		if !hasEnded {
			g.detached.saw(ws.ID, row.ID)
			return nil
		}
		if _, err := g.Audit.Conclude(row, end); err != nil {
			return err
		}
		var err error
		if row, err = g.Activities.Activity(ctx, row.OrgID, row.ID); err != nil {
			return err
		}
	}
	if until := outputUntil(row.Activity); until != nil {
		g.detached.ended(ws.ID, row.ID, *until)
	}
	return nil
}

// outputUntil is when the output of a detached exec goes; nil of one that runs, or has none.
func outputUntil(row sallyport.Activity) *time.Time {
	if !row.Detached || row.CompletedAt == nil || row.Reason == sallyport.ReasonNeverStarted {
		return nil
	}
	until := row.CompletedAt.Add(time.Duration(row.KeepS) * time.Second)
	return &until
}

// detachedEnd says how an exec has ended, by what its machine tells.
func (g *Gateway) detachedEnd(ctx context.Context, ws store.Workspace, row store.Activity, s detached.State) (end audit.End, hasEnded bool) {
	timeout := time.Duration(row.TimeoutS) * time.Second
	switch s.Phase {
	case detached.Running:
		if g.Now().Before(row.CreatedAt.Add(timeout + limits.DetachedOverdue)) {
			return end, false
		}
		return audit.End{Status: sallyport.StatusTimeout, Code: sallyport.CodeExecTimeout, Outcome: g.endProcessesOf(ctx, ws, row)}, true
	case detached.Ended:
		if s.TimedOut && s.Duration < timeout {
			return endUnknown(sallyport.ReasonSpoolInvalid, audit.DetachedOutcome{}), true
		}
		return endTold(s), true
	case detached.NeverStarted:
		end = endUnknown(sallyport.ReasonNeverStarted, audit.DetachedOutcome{})
		end.NothingRan = true
		return end, true
	case detached.SupervisorLost:
		return endUnknown(sallyport.ReasonSupervisorLost, g.endProcessesOf(ctx, ws, row)), true
	case detached.MachineRestarted:
		return endUnknown(sallyport.ReasonMachineRestarted, audit.DetachedOutcome{}), true
	case detached.SpoolLost:
		return endUnknown(sallyport.ReasonSpoolLost, g.endProcessesOf(ctx, ws, row)), true
	case detached.SpoolInvalid:
		return endUnknown(sallyport.ReasonSpoolInvalid, g.endProcessesOf(ctx, ws, row)), true
	}
	return endUnknown(sallyport.ReasonUnreachable, audit.DetachedOutcome{SurvivorsUnknown: true}), true
}

func endUnknown(reason string, outcome audit.DetachedOutcome) audit.End {
	return audit.End{Status: sallyport.StatusInterrupted, Reason: reason, Outcome: outcome}
}

// endTold is the end that the machine tells.
func endTold(s detached.State) audit.End {
	ms := s.Duration.Milliseconds()
	outcome := audit.DetachedOutcome{
		Signal: s.Signal, DurationMS: &ms, StdoutBytes: s.StdoutBytes, StderrBytes: s.StderrBytes,
		StdoutTruncated: &s.StdoutTruncated, StderrTruncated: &s.StderrTruncated, OutputOpen: s.OutputOpen,
	}
	if s.UserCPU != nil && s.SystemCPU != nil {
		outcome.Usage = &sallyport.Usage{CPUUserMS: s.UserCPU.Milliseconds(), CPUSystemMS: s.SystemCPU.Milliseconds()}
	}
	end := audit.End{Status: sallyport.StatusOK, Outcome: outcome}
	switch {
	case s.TimedOut:
		end.Status, end.Code = sallyport.StatusTimeout, sallyport.CodeExecTimeout
	case s.Ending:
		end.Status = sallyport.StatusCanceled
	default:
		outcome.ExitCode = &s.ExitCode
		end.Outcome = outcome
		if s.ExitCode != 0 {
			end.Status = sallyport.StatusError
		}
	}
	return end
}

// endProcessesOf ends what is left of an exec on its machine.
func (g *Gateway) endProcessesOf(ctx context.Context, ws store.Workspace, row store.Activity) audit.DetachedOutcome {
	ctx, cancel := g.lasting(ctx)
	defer cancel()
	left, err := g.detachedOn(Caller{}, ws).End(ctx, row.ID)
	if err != nil || !left.Known {
		return audit.DetachedOutcome{SurvivorsUnknown: true}
	}
	return audit.DetachedOutcome{Survivors: &left.Count}
}

// endDetached ends an exec that runs, and completes its row. Where the machine can't be reached
// it returns why, and nothing has changed. One that is being started never starts: buried tells that
// its tombstone is needed still.
func (g *Gateway) endDetached(ctx context.Context, ws store.Workspace, row store.Activity, why *sallyport.Error) (buried bool, err error) {
	defer g.detached.ends(row.ID)()
	execs := g.detachedOn(Caller{}, ws)
	left, state, err := endAndAsk(ctx, execs, row.ID)
	if err != nil {
		return false, err
	}
	end := audit.End{Status: sallyport.StatusCanceled}
	if why != nil {
		end.Reason = string(why.Code)
	}
	outcome := audit.DetachedOutcome{SurvivorsUnknown: !left.Known}
	if state.Phase == detached.Ended {
		told := endTold(state)
		if isOwn := told.Status == sallyport.StatusOK || told.Status == sallyport.StatusError; isOwn && !state.Ending {
			end = told // it had ended by itself
		}
		outcome, _ = told.Outcome.(audit.DetachedOutcome)
		outcome.SurvivorsUnknown = !left.Known
		if end.Status == sallyport.StatusCanceled {
			outcome.ExitCode = nil
		}
	}
	if left.Known {
		outcome.Survivors = &left.Count
	}
	end.Outcome = outcome
	if _, err := g.Audit.Conclude(row, end); err != nil {
		return false, err
	}
	if done, err := g.Activities.Activity(ctx, row.OrgID, row.ID); err == nil {
		if until := outputUntil(done.Activity); until != nil {
			g.detached.ended(ws.ID, row.ID, *until)
		}
	}
	return state.Phase == detached.NeverStarted, nil
}

// endAndAsk ends an exec, and asks how it ended. One that has started in between is ended again.
func endAndAsk(ctx context.Context, execs detached.Execs, execID string) (left detached.Survivors, s detached.State, err error) {
	for range 2 {
		if left, err = execs.End(ctx, execID); err != nil {
			return left, s, err
		}
		states, err := execs.Ask(ctx, []detached.Asked{{ID: execID, Bury: !left.Known}})
		if s = states[execID]; left.Known || err == nil && s.Phase != detached.Running {
			return left, s, nil
		}
	}
	return left, s, sallyport.Errorf(sallyport.CodeExecTransport, "the machine doesn't tell that the exec has ended")
}
