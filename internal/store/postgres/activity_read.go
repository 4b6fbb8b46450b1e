package postgres

import (
	"context"
	"strconv"
	"strings"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// returned are the columns that column.ScanActivity reads, behind a position, which a
// listing calls place.
const returned = `, id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at,
	written_seq, seq, detail, outcome, replica, class`

const activityColumns = returned + ` FROM activity `

// Activities returns a page of the rows that filter lets through, newest written first:
// completing a row doesn't move it. A row's position is its WrittenSeq if filter names
// an organisation, else its place in the order in which all were written, so the
// position of one kind of listing means nothing to the other.
func (db *DB) Activities(
	ctx context.Context, filter store.ActivityFilter, page store.Page,
) ([]store.Positioned[store.Activity], error) {
	position := "position"
	if filter.OrgID != "" {
		position = "written_seq"
	}
	where, args := conditions(filter, position, page.After)
	args = append(args, limit(page))
	rows, err := ask(ctx, db.listings, tenantOrSystem(filter.OrgID), column.ScanActivity, activityListing(
		`SELECT `+position+` AS place`+activityColumns+where+` ORDER BY `+position+` DESC LIMIT `+placeholder(len(args)), ` DESC`).within(page), args...)
	return rows, wrap(err, "list activity")
}

func activityListing(page, order string) listing {
	return listing{columns: `place` + returned, position: `place`, order: order, parts: []string{`detail`, `outcome`}, page: page}
}

func placeholder(n int) string { return "$" + strconv.Itoa(n) }

// conditions returns the filter in SQL, of literals alone, and its arguments.
func conditions(f store.ActivityFilter, position string, after int64) (string, []any) {
	where := []string{"WHERE true"}
	var args []any
	add := func(wanted bool, condition string, arg any) {
		if wanted {
			args = append(args, arg)
			where = append(where, strings.Replace(condition, "?", placeholder(len(args)), 1))
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
	add(f.Query != "", "strpos(summary, ?) > 0", f.Query)
	add(after > 0, position+" < ?", after)
	return strings.Join(where, " AND "), args
}

// Activity returns the organisation's row with this id; with orgID empty it is any
// organisation's, which is the admin's alone to ask. ErrNotFound if there is none.
func (db *DB) Activity(ctx context.Context, orgID, rowID string) (store.Activity, error) {
	where, args := `WHERE id = $1`, []any{rowID}
	if orgID != "" {
		where, args = `WHERE id = $1 AND org_id = $2`, []any{rowID, orgID}
	}
	row, err := askOne(ctx, db.readers, tenantOrSystem(orgID), column.ScanActivity, `SELECT position`+activityColumns+where, args...)
	return row.Record, wrap(err, "find activity")
}
