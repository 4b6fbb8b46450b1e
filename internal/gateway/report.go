package gateway

import (
	"context"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/store"
)

// ActReport describes an act for metrics and traces: once, when it is over. It
// holds no word of a caller's or a machine's: no argv, no environment, no output.
type ActReport struct {
	// Type is the kind of the act: the type of its row.
	Type string
	// OrgID and WorkspaceID are empty when the caller may not know of the workspace,
	// RowID when no row was begun.
	OrgID, WorkspaceID, RowID string
	// Connector is the connector's type.
	Connector string

	// Status is that of the row; empty for an act that was refused: Code says why.
	Status string
	Code   sallyport.Code
	Reason string
	// Exec holds the fields of an exec; zero for other kinds.
	Exec ExecReport
	// InputBytes and OutputBytes are what a terminal or a forward has carried.
	InputBytes, OutputBytes int64
	// Warm: see sshpool.Session.
	Warm bool

	// When each step was done; zero for one that was not. The machine is reached
	// while the row goes to disk: Recorded may come before Reached or behind it.
	Began, Authorized, Recorded, Reached, Started, Ended, Finished time.Time
}

// ExecReport holds the fields of an exec's report.
type ExecReport struct {
	// ExitCode is nil unless the command exited.
	ExitCode *int
	// StdoutBytes and StderrBytes count the command's output.
	StdoutBytes, StderrBytes int64
}

// Outcome is one word for how the act ended: the row's status, or for one that is
// more telling the code or reason that the row holds. It is of a closed list.
func (r *ActReport) Outcome() string {
	switch {
	case r.Status == sallyport.StatusError && r.Code != "":
		return string(r.Code)
	case r.Status == sallyport.StatusCanceled && r.Reason != "":
		return r.Reason
	}
	return r.Status
}

// authorized notes that the act may go on, on ws.
func (r *ActReport) authorized(ws store.Workspace) {
	r.Authorized, r.Connector = time.Now(), ws.Connector.Type
}

// ended takes the row's outcome.
func (r *ActReport) ended(end audit.End) {
	r.Status, r.Code, r.Reason = end.Status, end.Code, end.Reason
	switch o := end.Outcome.(type) {
	case audit.ExecOutcome:
		r.Exec = ExecReport{ExitCode: o.ExitCode, StdoutBytes: o.StdoutBytes, StderrBytes: o.StderrBytes}
	case audit.TerminalOutcome:
		r.InputBytes, r.OutputBytes = o.InputBytes, o.OutputBytes
	case audit.ForwardOutcome:
		r.InputBytes, r.OutputBytes = o.InputBytes, o.OutputBytes
	}
}

// tell reports an act that is over, if there is a receiver. err is the caller's answer.
func (g *Gateway) tell(ctx context.Context, r *ActReport, err error) {
	if g.Watch == nil {
		return
	}
	r.Finished = time.Now()
	if r.Status == "" {
		r.Code = sallyport.CodeOf(err)
	}
	if r.Status == "" && err == nil {
		r.Code = sallyport.CodeInternal // a panic
	}
	g.Watch(ctx, r)
}
