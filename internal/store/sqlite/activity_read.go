package sqlite

import (
	"context"
	"strings"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const activityColumns = `, id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at,
	written_seq, seq, detail, outcome, replica, class FROM activity `

// Activities returns a page of the rows that filter lets through, newest written
// first: completing a row doesn't move it. A row's position is its WrittenSeq if
// filter names an organisation, else its place in the order of all commits, so
// the position of one kind of listing means nothing to the other.
func (db *DB) Activities(
	ctx context.Context, filter store.ActivityFilter, page store.Page,
) ([]store.Positioned[store.Activity], error) {
	position := "position"
	if filter.OrgID != "" {
		position = "written_seq"
	}
	where, args := conditions(filter, position, page.After)
	rows, err := listPage(ctx, db.listings, page, column.ScanActivity,
		`SELECT `+position+activityColumns+where+` ORDER BY `+position+` DESC LIMIT ?`, append(args, limit(page))...)
	return rows, wrap(err, "list activity")
}

// conditions returns the filter in SQL, of literals alone, and its arguments.
func conditions(f store.ActivityFilter, position string, after int64) (string, []any) {
	where := []string{"WHERE true"}
	var args []any
	add := func(wanted bool, condition string, arg any) {
		if wanted {
			where, args = append(where, condition), append(args, arg)
		}
	}
	add(f.OrgID != "", "org_id = ?", f.OrgID)
	add(f.WorkspaceID != "", "workspace_id = ?", f.WorkspaceID)
	add(f.Type != "", "type = ?", f.Type)
	add(f.Status != "", "status = ?", f.Status)
	add(f.Class != store.ClassNone, "class = ?", f.Class)
	add(f.Actor != "", "actor = ?", f.Actor)
	add(!f.Since.IsZero(), "created_at >= ?", column.Time(f.Since))
	add(!f.Until.IsZero(), "created_at < ?", column.Time(f.Until))
	add(f.Query != "", "instr(summary, ?) > 0", f.Query)
	add(after > 0, position+" < ?", after)
	return strings.Join(where, " AND "), args
}

// Activity returns the organisation's row with this id; with orgID empty it is
// any organisation's, which is the admin's alone to ask. ErrNotFound if there is
// none.
func (db *DB) Activity(ctx context.Context, orgID, rowID string) (store.Activity, error) {
	where, args := `WHERE id = ?`, []any{rowID}
	if orgID != "" {
		where, args = `WHERE id = ? AND org_id = ?`, []any{rowID, orgID}
	}
	row, err := column.ScanActivity(db.readers.QueryRowContext(ctx, `SELECT position`+activityColumns+where, args...))
	return row.Record, wrap(err, "find activity")
}
