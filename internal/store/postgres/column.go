package postgres

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"sallyport/internal/store"
)

// limit keeps a negative limit from being an error.
func limit(page store.Page) int { return max(page.Limit, 0) }

// stored is how a time is kept: Unix microseconds, NULL for the zero time.
func stored(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

// storedPointer is stored for a time that may be missing.
func storedPointer(t *time.Time) sql.NullInt64 {
	if t == nil {
		return sql.NullInt64{}
	}
	return stored(*t)
}

// loaded is the inverse of stored.
func loaded(micros sql.NullInt64) time.Time {
	if !micros.Valid {
		return time.Time{}
	}
	return time.UnixMicro(micros.Int64).UTC()
}

// text is NULL for the empty string.
func text(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// replacement stands for what PostgreSQL's text can't hold.
const replacement = "\uFFFD"

// holdable is s with what PostgreSQL's text can't hold replaced: bytes that are no
// UTF-8, and NUL. What names something is free of them, so a name that isn't is found
// nowhere; what describes something is better kept so than refused.
func holdable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", replacement), replacement)
}

// holdableAll makes all text among a statement's arguments holdable.
func holdableAll(args []any) []any {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			args[i] = holdable(v)
		case sql.NullString:
			v.String = holdable(v.String)
			args[i] = v
		case []sql.NullString:
			texts := make([]sql.NullString, len(v))
			for j, s := range v {
				texts[j] = sql.NullString{String: holdable(s.String), Valid: s.Valid}
			}
			args[i] = texts
		case []string:
			texts := make([]string, len(v))
			for j, s := range v {
				texts[j] = holdable(s)
			}
			args[i] = texts
		}
	}
	return args
}

// encode returns v as JSON that a person can read in the database: argvs are full of
// <, > and &.
func encode(v any) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// decode reads what encode wrote.
func decode(s string, v any) error { return json.Unmarshal([]byte(s), v) }
