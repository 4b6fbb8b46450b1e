package audit

import (
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// Diagnosis is what the row of a diagnosis says before anything is looked up.
type Diagnosis struct{}

// Describe implements Detail.
func (Diagnosis) Describe(row *sallyport.Activity) {
	row.Type, row.Summary = sallyport.ActivityWorkspaceDiagnosed, "the way to the machine, step by step"
}

// DiagnosisOutcome is how a diagnosis ended.
type DiagnosisOutcome struct{ Duration time.Duration }

// Complete implements Outcome.
func (d DiagnosisOutcome) Complete(row *store.Activity) {
	ms := d.Duration.Milliseconds()
	row.DurationMS = &ms
}
