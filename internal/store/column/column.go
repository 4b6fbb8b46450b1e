// Package column is how records stand in the columns of a table, whichever engine keeps
// it: times as Unix microseconds, what has parts as JSON.
package column

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"time"
)

// Scanner is a row of a result.
type Scanner interface {
	Scan(dest ...any) error
}

// Time is how a time is kept: Unix microseconds, NULL for the zero time.
func Time(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

// TimePointer is Time for a time that may be missing.
func TimePointer(t *time.Time) sql.NullInt64 {
	if t == nil {
		return sql.NullInt64{}
	}
	return Time(*t)
}

// Loaded is the inverse of Time.
func Loaded(micros sql.NullInt64) time.Time {
	if !micros.Valid {
		return time.Time{}
	}
	return time.UnixMicro(micros.Int64).UTC()
}

// Text is NULL for the empty string.
func Text(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// RecordBytes is more than a record takes as JSON besides what its JSON columns hold:
// ids, names, times and a summary, with the members' names.
const RecordBytes = 1536

// size is at least what a record takes as JSON: what stands in its columns is JSON as the
// API shows it.
func size(columns ...string) int {
	n := RecordBytes
	for _, text := range columns {
		n += len(text)
	}
	return n
}

// JSON returns v as JSON that a person can read in the database: argvs are
// full of <, > and &.
func JSON(v any) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// ReadJSON reads what JSON wrote.
func ReadJSON(s string, v any) error { return json.Unmarshal([]byte(s), v) }
