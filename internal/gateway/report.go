package gateway

import (
	"context"
	"time"

	"sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/store"
)

// ExecReport is how an exec went, for who watches the server: once, when it is
// over. It holds no word of a caller's or a machine's: no argv, no environment, no
// output.
type ExecReport struct {
	// OrgID and WorkspaceID are empty when the caller may not know of the workspace,
	// ExecID when no row was begun.
	OrgID, WorkspaceID, ExecID string
	// Connector is the connector's type.
	Connector string

	// Status is that of the row; empty for an exec that was refused, whose Code says
	// why.
	Status string
	Code   sallyport.Code
	Reason string
	// ExitCode is nil unless the command ended by itself.
	ExitCode *int
	// StdoutBytes and StderrBytes are what the command wrote.
	StdoutBytes, StderrBytes int64
	// Warm: see sshpool.Session.
	Warm bool

	// When each step was done; zero for one that was not. The machine is reached
	// while the row goes to disk: Recorded may come before Reached or behind it.
	Began, Authorized, Recorded, Reached, Started, Ended, Finished time.Time
}

// Outcome is one word for how the exec ended: the row's status, or for one that is
// more telling the code or reason that the row holds. It is of a closed list.
func (r *ExecReport) Outcome() string {
	switch {
	case r.Status == sallyport.StatusError && r.Code != "":
		return string(r.Code)
	case r.Status == sallyport.StatusCanceled && r.Reason != "":
		return r.Reason
	}
	return r.Status
}

// authorized notes that the exec may go on, on ws.
func (r *ExecReport) authorized(ws store.Workspace) {
	r.Authorized, r.Connector = time.Now(), ws.Connector.Type
}

// ended takes what the row is told.
func (r *ExecReport) ended(end audit.ExecEnd) {
	r.Status, r.Code, r.Reason, r.ExitCode = end.Status, end.Code, end.Reason, end.ExitCode
	r.StdoutBytes, r.StderrBytes = end.StdoutBytes, end.StderrBytes
}

// report tells who watches, if anybody does. err is what the caller is told.
func (g *Gateway) report(ctx context.Context, r *ExecReport, err error) {
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
