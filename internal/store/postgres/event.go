package postgres

import (
	"context"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// selectEvents has one statement for both events of a row, so that both are of one
// moment. Each half takes as many as are asked for: of the lowest that are in either
// half none is missing then.
const selectEvents = `
	SELECT * FROM (SELECT written_seq AS event` + activityColumns + `
		WHERE org_id = $1 AND written_seq > $2 ORDER BY written_seq LIMIT $3) AS written
	UNION ALL
	SELECT * FROM (SELECT seq AS event` + activityColumns + `
		WHERE org_id = $1 AND seq > $2 AND seq <> written_seq ORDER BY seq LIMIT $3) AS completed
	ORDER BY event LIMIT $3`

const selectLastSeq = `SELECT last_seq FROM activity_counters WHERE org_id = $1`

// Events returns the organisation's events with a seq above after, lowest first, limit
// of them at most, none left out. An event is a row as a change left it, and its Seq
// that of the change: one as the row was written, one as it was completed, but for rows
// that were written complete.
func (db *DB) Events(ctx context.Context, orgID string, after int64, limit int) ([]store.Activity, error) {
	found, err := ask(ctx, db.readers, tenantOrSystem(orgID), column.ScanActivity, selectEvents, orgID, after, max(limit, 0))
	if err != nil {
		return nil, wrap(err, "list events")
	}
	events := make([]store.Activity, len(found))
	for i, e := range found {
		events[i] = e.Record
		if e.Position != e.Record.Seq {
			events[i] = column.AsWritten(e.Record)
		}
	}
	return events, nil
}

// LastSeq returns the seq of the organisation's last change, 0 when there was none.
func (db *DB) LastSeq(ctx context.Context, orgID string) (int64, error) {
	found, err := ask(ctx, db.readers, tenantOrSystem(orgID), scanSeq, selectLastSeq, orgID)
	if err != nil || len(found) == 0 {
		return 0, wrap(err, "read last seq")
	}
	return found[0], nil
}

func scanSeq(row column.Scanner) (seq int64, err error) {
	err = row.Scan(&seq)
	return seq, err
}
