package gateway

import (
	"context"
	"errors"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/connector"
	"sallyport/internal/diagnosis"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/store"
)

// Diagnose walks the way to a workspace's machine, step by step, and says what it
// finds: on a connection of its own, that is not kept. It pins no host key, and runs
// nothing but a shell that says that it is there. It is an act like others: it leaves a
// row, and counts as a running exec. It returns workspace_not_found, scope_forbidden,
// workspace_has_no_host, too_many_execs or platform_unavailable.
func (g *Gateway) Diagnose(ctx context.Context, by Caller, ref Ref) (found sallyport.Diagnosis, err error) {
	ctx, a, err := g.begin(ctx, by, ref, actSpec{
		kind: kind{
			rowType: sallyport.ActivityWorkspaceDiagnosed, class: store.ClassExec, tried: "diagnose the workspace",
			rules: []policy.Rule{g.Access.Rules.WriteWorkspaces}, drain: live.Ends,
		},
		detail: audit.Diagnosis{},
	})
	if err != nil {
		return found, err
	}
	defer func() { a.close(ctx, err) }()
	began := time.Now()
	var failure error
	if err = a.gate(); err == nil { // nothing is looked up or dialled before the row is on disk
		found, failure, err = diagnosis.Walk(ctx, diagnosis.Way{
			Pool: g.Pool, To: target(a.ws), Connector: *a.ws.Connector, By: g.Connectors[a.ws.Connector.Type],
			Target: func(ctx context.Context) (connector.Target, error) { return g.connectorTarget(ctx, a.ws) },
			Dial:   func(ctx context.Context) (*connector.Link, error) { return g.dial(ctx, a.ws, "") },
			Time:   g.ConnectTime, WorkspaceID: a.ws.ID, Log: g.Log,
		})
	}
	if a.refused {
		return found, err
	}
	if ctx.Err() != nil {
		err = canceledBy(context.Cause(ctx))
	}
	if notKept := a.finish(concludeDiagnosis(time.Since(began), found, failure, err)); notKept != nil {
		return sallyport.Diagnosis{}, notKept
	}
	return found, err
}

// concludeDiagnosis is how the row of a diagnosis ends: failure is why the machine can't
// be used, where that has a code, and err what kept us from finding out.
func concludeDiagnosis(took time.Duration, found sallyport.Diagnosis, failure, err error) audit.End {
	var end audit.End
	known, isKnown := errors.AsType[*sallyport.Error](failure)
	switch {
	case err != nil:
		end, _, _ = concludeFailed(err)
	case found.OK:
		end.Status = sallyport.StatusOK
	case isKnown:
		end = audit.End{Status: sallyport.StatusError, Code: known.Code, Reason: known.Reason}
	default:
		end.Status = sallyport.StatusError
	}
	end.Outcome = audit.DiagnosisOutcome{Duration: took}
	return end
}
