package postgres

import (
	"database/sql"

	"sallyport"
	"sallyport/internal/store"
)

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

func encodeDetail(row *store.Activity) (string, error) {
	return encode(detail{
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
	if err := decode(s, &d); err != nil {
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

// encodeOutcome is NULL for a row that has none yet.
func encodeOutcome(row *store.Activity) (sql.NullString, error) {
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
	s, err := encode(o)
	return text(s), err
}

func decodeOutcome(s sql.NullString, row *store.Activity) error {
	if !s.Valid {
		return nil
	}
	var o outcome
	if err := decode(s.String, &o); err != nil {
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
