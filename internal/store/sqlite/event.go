package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// selectEvents has one statement for both events of a row, so that both are of one
// moment. Each half takes as many as are asked for: of the lowest that are in
// either half none is missing then.
const selectEvents = `
	SELECT * FROM (SELECT written_seq AS event` + activityColumns + `
		WHERE org_id = ?1 AND written_seq > ?2 ORDER BY written_seq LIMIT ?3)
	UNION ALL
	SELECT * FROM (SELECT seq AS event` + activityColumns + `INDEXED BY activity_completed
		WHERE org_id = ?1 AND seq > ?2 AND seq <> written_seq ORDER BY seq LIMIT ?3)
	ORDER BY 1 LIMIT ?3`

// Events returns a page of the organisation's events, lowest seq first, none left out.
// An event is a row as a change left it, and its Seq, which is its position, that of the
// change: one as the row was written, one as it was completed, but for rows that were
// written complete.
func (db *DB) Events(ctx context.Context, orgID string, page store.Page) ([]store.Positioned[store.Activity], error) {
	events, err := listPage(ctx, db.events, page, column.ScanEvent, selectEvents, orgID, page.After, limit(page))
	return events, wrap(err, "list events")
}

// LastSeq returns the seq of the organisation's last change, 0 when there was none.
func (db *DB) LastSeq(ctx context.Context, orgID string) (int64, error) {
	var last int64
	err := db.lookups.lastSeq.QueryRowContext(ctx, orgID).Scan(&last)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return last, wrap(err, "read last seq")
}
