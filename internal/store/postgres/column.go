package postgres

import (
	"database/sql"
	"strconv"
	"strings"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// limit keeps a negative limit from being an error.
func limit(page store.Page) int { return max(page.Limit, 0) }

// listing is a query for a page of records.
type listing struct {
	// columns are those that are scanned; the first is the record's position, and orders
	// the page, as order says.
	columns, position, order string
	// parts are the columns whose size differs from record to record.
	parts []string
	// page is the query for these columns, in this order, with the page's limit.
	page string
}

// within returns the listing's query, ended as page.Bytes demands. What is beyond is not
// read: the size of a text stands beside it.
func (l listing) within(page store.Page) string {
	if page.Bytes == 0 {
		return l.page
	}
	most := strconv.Itoa(page.Bytes)
	size := strconv.Itoa(column.RecordBytes)
	for _, part := range l.parts {
		size += ` + coalesce(octet_length(` + part + `), 0)`
	}
	size = `least(` + size + `, ` + most + `)`
	return `SELECT ` + l.columns + ` FROM (SELECT *, sum(` + size + `) OVER (ORDER BY ` + l.position + l.order + ` ROWS UNBOUNDED PRECEDING) - ` + size + ` AS before
		FROM (` + l.page + `) AS page) AS page WHERE before <= ` + most + ` ORDER BY ` + l.position + l.order
}

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
