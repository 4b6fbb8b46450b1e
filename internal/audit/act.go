package audit

import (
	"sallyport/client/sallyport"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// Act is what is known of an act on a machine before it is done, whatever its kind.
type Act struct {
	By          principal.Principal
	ClientAddr  string
	OrgID       string
	WorkspaceID string
	// Replica is the server that does it, and Class what it is counted as; see
	// store.Activity.
	Replica string
	Class   store.Class
	// Claim takes an idempotency key along with the row; nil is none.
	Claim *store.Claim
	// Quota bounds how many acts of the same class run with this one; nil is no bound.
	Quota *store.Quota
	// Detail is what the row says of this kind of act.
	Detail Detail
	// Detached is what is kept of a detached exec; nil is any other act.
	Detached *store.Detached
}

// Detail is what the row of one kind of act says from its begin on.
type Detail interface {
	// Describe sets the row's type, its summary and the fields of the kind. A caller's
	// words stand in them masked.
	Describe(row *sallyport.Activity)
}

// End is how an act ended, whatever its kind. Status is one of sallyport's but running.
type End struct {
	Status string
	Code   sallyport.Code
	Reason string
	// NothingRan frees the act's idempotency key.
	NothingRan bool
	// Outcome is what the row says of this kind of act's end; nil where there is nothing
	// to say, as of an act that was never begun on the machine.
	Outcome Outcome
}

// Outcome is what the row of one kind of act says once it is complete.
type Outcome interface {
	// Complete sets the fields of the kind.
	Complete(row *store.Activity)
}

func (l *Log) actRow(a Act) store.Activity {
	row := l.newRow("", a.By, a.ClientAddr)
	row.Status, row.CompletedAt = sallyport.StatusRunning, nil
	row.OrgID, row.WorkspaceID, row.Replica, row.Class = a.OrgID, a.WorkspaceID, a.Replica, a.Class
	row.Detached = a.Detached
	a.Detail.Describe(&row.Activity)
	return row
}

func (e End) apply(row *store.Activity) {
	row.Status, row.Code, row.Reason = e.Status, e.Code, e.Reason
	if e.Outcome != nil {
		e.Outcome.Complete(row)
	}
}
