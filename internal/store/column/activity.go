package column

import (
	"database/sql"
	"fmt"

	"sallyport"
	"sallyport/internal/store"
)

// ScanActivity reads a row of the activity log behind its position: id, org_id,
// workspace_id, type, status, actor, summary, created_at, completed_at, written_seq, seq,
// detail, outcome, replica.
func ScanActivity(row Scanner) (store.Positioned[store.Activity], error) {
	var (
		a                  store.Positioned[store.Activity]
		created, completed sql.NullInt64
		detail             string
		outcome, replica   sql.NullString
	)
	r := &a.Record
	err := row.Scan(&a.Position, &r.ID, &r.OrgID, &r.WorkspaceID, &r.Type, &r.Status, &r.Actor, &r.Summary,
		&created, &completed, &r.WrittenSeq, &r.Seq, &detail, &outcome, &replica)
	if err != nil {
		return a, err
	}
	r.CreatedAt, r.Replica = Loaded(created), replica.String
	if completed.Valid {
		at := Loaded(completed)
		r.CompletedAt = &at
	}
	if err := decodeDetail(detail, r); err != nil {
		return a, fmt.Errorf("decode detail of row %s: %w", r.ID, err)
	}
	if err := ReadOutcome(outcome, r); err != nil {
		return a, fmt.Errorf("decode outcome of row %s: %w", r.ID, err)
	}
	return a, nil
}

// AsWritten is a completed row as it was before.
func AsWritten(row store.Activity) store.Activity {
	row.Seq, row.Status, row.CompletedAt = row.WrittenSeq, sallyport.StatusRunning, nil
	outcome{}.applyTo(&row)
	return row
}

// detail is what a row says of its act from the start.
type detail struct {
	ClientAddr string   `json:"client_addr,omitempty"`
	Argv       []string `json:"argv,omitempty"`
	Cwd        string   `json:"cwd,omitempty"`
	EnvNames   []string `json:"env_names,omitempty"`
	StdinBytes *int64   `json:"stdin_bytes,omitempty"`
	TimeoutS   int      `json:"timeout_s,omitempty"`
}

// outcome is what the end of the act adds.
type outcome struct {
	Code             sallyport.Code `json:"code,omitempty"`
	Reason           string         `json:"reason,omitempty"`
	ExitCode         *int           `json:"exit_code,omitempty"`
	Signal           string         `json:"signal,omitempty"`
	DurationMS       *int64         `json:"duration_ms,omitempty"`
	StdoutBytes      *int64         `json:"stdout_bytes,omitempty"`
	StderrBytes      *int64         `json:"stderr_bytes,omitempty"`
	StdoutTruncated  *bool          `json:"stdout_truncated,omitempty"`
	StderrTruncated  *bool          `json:"stderr_truncated,omitempty"`
	Survivors        *int           `json:"survivors,omitempty"`
	SurvivorsUnknown bool           `json:"survivors_unknown,omitempty"`
}

// Detail is what a row says of its act from the start, as JSON.
func Detail(row *store.Activity) (string, error) {
	return JSON(detail{
		ClientAddr: row.ClientAddr,
		Argv:       row.Argv,
		Cwd:        row.Cwd,
		EnvNames:   row.EnvNames,
		StdinBytes: row.StdinBytes,
		TimeoutS:   row.TimeoutS,
	})
}

func decodeDetail(s string, row *store.Activity) error {
	var d detail
	if err := ReadJSON(s, &d); err != nil {
		return err
	}
	row.ClientAddr = d.ClientAddr
	row.Argv = d.Argv
	row.Cwd = d.Cwd
	row.EnvNames = d.EnvNames
	row.StdinBytes = d.StdinBytes
	row.TimeoutS = d.TimeoutS
	return nil
}

// Outcome is what the end of the act adds, as JSON; NULL for a row that has none yet.
func Outcome(row *store.Activity) (sql.NullString, error) {
	o := outcome{
		Code:             row.Code,
		Reason:           row.Reason,
		ExitCode:         row.ExitCode,
		Signal:           row.Signal,
		DurationMS:       row.DurationMS,
		StdoutBytes:      row.StdoutBytes,
		StderrBytes:      row.StderrBytes,
		StdoutTruncated:  row.StdoutTruncated,
		StderrTruncated:  row.StderrTruncated,
		Survivors:        row.Survivors,
		SurvivorsUnknown: row.SurvivorsUnknown,
	}
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
	row.Code = o.Code
	row.Reason = o.Reason
	row.ExitCode = o.ExitCode
	row.Signal = o.Signal
	row.DurationMS = o.DurationMS
	row.StdoutBytes = o.StdoutBytes
	row.StderrBytes = o.StderrBytes
	row.StdoutTruncated = o.StdoutTruncated
	row.StderrTruncated = o.StderrTruncated
	row.Survivors = o.Survivors
	row.SurvivorsUnknown = o.SurvivorsUnknown
}
