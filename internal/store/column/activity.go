package column

import (
	"cmp"
	"database/sql"
	"fmt"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// ScanActivity reads a row of the activity log behind its position: id, org_id,
// workspace_id, type, status, actor, summary, created_at, completed_at, written_seq, seq,
// detail, outcome, replica, class.
func ScanActivity(row Scanner) (store.Positioned[store.Activity], error) {
	var (
		a                  store.Positioned[store.Activity]
		created, completed sql.NullInt64
		detail             string
		outcome, replica   sql.NullString
	)
	r := &a.Record
	err := row.Scan(&a.Position, &r.ID, &r.OrgID, &r.WorkspaceID, &r.Type, &r.Status, &r.Actor, &r.Summary,
		&created, &completed, &r.WrittenSeq, &r.Seq, &detail, &outcome, &replica, &r.Class)
	if err != nil {
		return a, err
	}
	r.CreatedAt, r.Replica = Loaded(created), replica.String
	a.Size = size(detail, outcome.String)
	if completed.Valid {
		at := Loaded(completed)
		r.CompletedAt = &at
	}
	if err := ReadDetail(detail, r); err != nil {
		return a, fmt.Errorf("decode detail of row %s: %w", r.ID, err)
	}
	if err := ReadOutcome(outcome, r); err != nil {
		return a, fmt.Errorf("decode outcome of row %s: %w", r.ID, err)
	}
	return a, nil
}

// ScanEvent is ScanActivity for a row behind the seq of an event of it, which it returns
// as that event shows it.
func ScanEvent(row Scanner) (store.Positioned[store.Activity], error) {
	e, err := ScanActivity(row)
	if err == nil && e.Position != e.Record.Seq {
		e.Record = AsWritten(e.Record)
	}
	return e, err
}

// AsWritten is a completed row as it was before.
func AsWritten(row store.Activity) store.Activity {
	row.Seq, row.Status, row.CompletedAt = row.WrittenSeq, sallyport.StatusRunning, nil
	outcome{}.applyTo(&row)
	return row
}

// detail is what a row says of its act from the start, and outcome what the end of the
// act adds: they are kept as JSON, by the names that the API has for them. Each has the
// parts of sallyport.Activity that are of its kind.
type (
	detail struct {
		sallyport.ActBegun
		sallyport.ExecBegun
		sallyport.DenialBegun
		sallyport.FileBegun
		sallyport.ForwardBegun
		sallyport.TerminalBegun
		Kept *store.Detached `json:"detached_kept,omitempty"`
	}
	outcome struct {
		sallyport.ActEnded
		sallyport.ExecEnded
		sallyport.FileEnded
		sallyport.ForwardEnded
		sallyport.TerminalEnded
		StreamedStdin *int64 `json:"streamed_stdin,omitempty"`
	}
)

// Detail is what a row says of its act from the start, as JSON.
func Detail(row *store.Activity) (string, error) {
	return JSON(detail{row.ActBegun, row.ExecBegun, row.DenialBegun, row.FileBegun, row.ForwardBegun, row.TerminalBegun, row.Detached})
}

// ReadDetail puts what Detail wrote into the row.
func ReadDetail(s string, row *store.Activity) error {
	var d detail
	if err := ReadJSON(s, &d); err != nil {
		return err
	}
	row.ActBegun, row.ExecBegun, row.DenialBegun = d.ActBegun, d.ExecBegun, d.DenialBegun
	row.FileBegun, row.ForwardBegun, row.TerminalBegun = d.FileBegun, d.ForwardBegun, d.TerminalBegun
	row.Detached = d.Kept
	return nil
}

// Outcome is what the end of the act adds, as JSON; NULL for a row that has none yet.
func Outcome(row *store.Activity) (sql.NullString, error) {
	o := outcome{row.ActEnded, row.ExecEnded, row.FileEnded, row.ForwardEnded, row.TerminalEnded, row.StreamedStdin}
	if o == (outcome{}) {
		return sql.NullString{}, nil
	}
	s, err := JSON(o)
	return Text(s), err
}

// ReadOutcome puts what Outcome wrote into the row.
func ReadOutcome(s sql.NullString, row *store.Activity) error {
	if !s.Valid {
		return nil
	}
	var o outcome
	if err := ReadJSON(s.String, &o); err != nil {
		return err
	}
	o.applyTo(row)
	return nil
}

// applyTo makes o all that the row says of its end.
func (o outcome) applyTo(row *store.Activity) {
	row.ActEnded, row.ExecEnded = o.ActEnded, o.ExecEnded
	row.FileEnded, row.ForwardEnded, row.TerminalEnded = o.FileEnded, o.ForwardEnded, o.TerminalEnded
	if row.StreamedStdin != nil || o.StreamedStdin != nil {
		row.StdinBytes = cmp.Or(o.StreamedStdin, new(int64))
	}
	row.StreamedStdin = o.StreamedStdin
}
