package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/remote"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// Forward is one TCP connection to a port of a workspace's machine. Its host has been checked.
type Forward struct {
	Host string
	Port uint16
}

// ForwardCaller is the caller's side of a forward that is open.
type ForwardCaller interface {
	remote.ForwardCaller
	// End tells the caller how it ended, nil by both directions' ends, and closes its side:
	// Read, Write and AwaitGone return at once from then on. It is called once.
	End(why error)
}

// MayForward decides whether the caller may begin a forward, and does nothing else. It
// returns the codes of Forward, as far as they are known before its row.
func (g *Gateway) MayForward(ctx context.Context, by Caller, ref Ref, f Forward) error {
	a := &act{g: g, by: by, report: &ActReport{}}
	return a.decide(ctx, ref, g.forwardSpec(f).kind)
}

// Forward opens a connection from a workspace's machine to f, and leaves one row. opened is
// called with the row's id once the target has taken the connection, and returns the caller's
// side. Forward returns when both directions have ended and the row is complete, or what has
// kept the forward from that: workspace_not_found, scope_forbidden, workspace_has_no_host,
// exec_tier_forbidden, forward_forbidden, too_many_forwards, platform_unavailable, the codes
// of reaching a machine, forward_failed, opened's error, or what ended it.
func (g *Gateway) Forward(ctx context.Context, by Caller, ref Ref, f Forward, opened func(rowID string) (ForwardCaller, error)) (err error) {
	ctx, a, err := g.begin(ctx, by, ref, g.forwardSpec(f))
	if err != nil {
		return err
	}
	defer func() { a.close(ctx, err) }()
	run := &forwardRun{over: make(chan struct{})}
	defer close(run.over)
	ctx, run.end = context.WithCancelCause(ctx)
	defer run.end(nil)

	err = run.do(ctx, a, f, opened)
	if a.refused {
		return err
	}
	a.report.Ended = time.Now()
	end, err := concludeForward(ctx, run.outcome(), err)
	if notKept := a.finish(end); notKept != nil {
		err = notKept
	}
	if run.caller != nil {
		run.caller.End(err)
	}
	return err
}

func (g *Gateway) forwardSpec(f Forward) actSpec {
	return actSpec{
		kind: kind{
			rowType: sallyport.ActivityForward, class: store.ClassStream, tried: "forward", rules: []policy.Rule{g.Access.Rules.Forward}, drain: live.Waits,
			allowed: func(ws store.Workspace) error {
				if err := policy.HostExec(ws); err != nil {
					return err
				}
				return policy.Forward(ws, f.Host, f.Port)
			},
			endsBelowTier: true,
		},
		detail: audit.Forward{Host: f.Host, Port: f.Port},
	}
}

// forwardRun is a forward under way. It is the handle by which it is ended.
type forwardRun struct {
	end  context.CancelCauseFunc
	over chan struct{} // closed when its row is complete

	caller  ForwardCaller // nil until the target has taken the connection
	began   time.Time
	carried remote.Carried
}

// do opens the forward and carries what comes and goes.
func (r *forwardRun) do(ctx context.Context, a *act, f Forward, opened func(rowID string) (ForwardCaller, error)) error {
	if err := a.gate(); err != nil {
		return err
	}
	a.g.live.Handle(a.call, a.row.ID(), r)
	need := a.g.need(a.by, a.ws, a.row.ID(), 0)
	need.ConnectTime, need.ForwardOpenTime = a.g.ConnectTime, a.g.ForwardOpenTime
	ch, err := a.g.Pool.OpenForward(ctx, target(a.ws), need, f.Host, f.Port)
	if err != nil {
		return forwardFailed(err, a.ws)
	}
	defer func() { _ = ch.Close() }() // a channel that has gone is closed
	a.start.Release()
	r.began = time.Now()
	a.report.Reached, a.report.Started, a.report.Warm = r.began, r.began, ch.Warm
	if r.caller, err = opened(a.row.ID()); err != nil {
		r.caller = nil
		return err
	}
	return remote.Forward(ctx, ch, r.caller, &r.carried)
}

// Signal implements live.Handle: whatever the signal, the forward ends, and its row is
// complete when Signal returns.
func (r *forwardRun) Signal(ctx context.Context, _ string) (sent bool, err error) {
	r.end(sallyport.Errorf(sallyport.CodeKilled, "somebody ended the forward"))
	select {
	case <-r.over:
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// outcome is what the row says; nil of a forward that was never open.
func (r *forwardRun) outcome() audit.Outcome {
	if r.began.IsZero() {
		return nil
	}
	return audit.ForwardOutcome{InputBytes: r.carried.Input.Load(), OutputBytes: r.carried.Output.Load(), Duration: time.Since(r.began)}
}

// forwardFailed tells why a forward could not be opened.
func forwardFailed(err error, ws store.Workspace) error {
	failed := sallyport.Errorf(sallyport.CodeForwardFailed, "the machine could not connect to the target").WithStarted(false).Because(err)
	refused, isRefused := errors.AsType[*ssh.OpenChannelError](err)
	switch {
	case errors.Is(err, sshpool.ErrTargetSilent), isRefused && strings.Contains(refused.Message, "timed out"):
		failed.Message = "the target has not taken the connection in time"
		return failed.WithReason(sallyport.ReasonTimeout)
	case !isRefused:
		return fmt.Errorf("reach workspace %s: %w", ws.ID, err)
	case refused.Reason == ssh.Prohibited:
		failed.Message = "the machine's SSH server doesn't allow this forward: see its AllowTcpForwarding and PermitOpen"
		return failed.WithReason(sallyport.ReasonProhibited)
	case strings.Contains(refused.Message, "refused"):
		failed.Message = "the target refused the connection"
		return failed.WithReason(sallyport.ReasonRefused)
	}
	return failed
}

// concludeForward says what became of a forward: in its row, and to its caller.
func concludeForward(ctx context.Context, outcome audit.Outcome, err error) (audit.End, error) {
	end := audit.End{Status: sallyport.StatusOK, Outcome: outcome}
	if err == nil {
		return end, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // whatever broke along with it
	}
	known, isKnown := errors.AsType[*sallyport.Error](err)
	switch {
	case isKnown && endsForwards(known.Code):
		end.Status, end.Reason = sallyport.StatusCanceled, string(known.Code)
	case errors.Is(err, context.Canceled), isKnown && known.Code == sallyport.CodeCanceled:
		end.Status = sallyport.StatusCanceled
		err = sallyport.Errorf(sallyport.CodeCanceled, "the caller has gone").Because(err)
	case isKnown:
		end.Status, end.Code, end.Reason = sallyport.StatusError, known.Code, known.Reason
		if outcome == nil && known.Started == nil && known.Code != sallyport.CodeTooManyExecs {
			err = known.WithStarted(false)
		}
	default:
		end.Status, end.Code = sallyport.StatusError, sallyport.CodeInternal
	}
	return end, err
}

// endsForwards tells whether code is a reason of ours for ending a forward.
func endsForwards(code sallyport.Code) bool {
	return endsCalls(code) || code == sallyport.CodeKilled || code == sallyport.CodeExecTierForbidden
}
