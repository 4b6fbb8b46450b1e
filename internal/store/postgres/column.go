package postgres

import (
	"database/sql"
	"strings"

	"sallyport/internal/store"
)

// limit keeps a negative limit from being an error.
func limit(page store.Page) int { return max(page.Limit, 0) }

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
