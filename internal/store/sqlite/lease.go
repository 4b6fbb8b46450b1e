package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// TakeLease makes the replica one that is alive, for as long as life from now on. Others
// reach it at url; empty is nowhere.
func (db *DB) TakeLease(ctx context.Context, replica, url string, life time.Duration) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx,
			`INSERT OR REPLACE INTO leases (replica, url, expires_at) VALUES (?, ?, ?)`, replica, url, expiry(life))
		return err
	})
	return wrap(err, "take lease")
}

// RenewLease lets a lease last for life from now on, also one that is over if nobody has
// ended it yet. It returns ErrLeaseLost where somebody has.
func (db *DB) RenewLease(ctx context.Context, replica string, life time.Duration) error {
	err := db.writer.do(ctx, false, func(ctx context.Context) error {
		result, err := db.writer.conn.ExecContext(ctx,
			`UPDATE leases SET expires_at = ? WHERE replica = ?`, expiry(life), replica)
		return oneRow(result, err, store.ErrLeaseLost)
	})
	return wrap(err, "renew lease")
}

// EndLease ends a lease, if there is one.
func (db *DB) EndLease(ctx context.Context, replica string) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `DELETE FROM leases WHERE replica = ?`, replica)
		return err
	})
	return wrap(err, "end lease")
}

// Replicas returns the replicas with a lease that is not over, in the order of their names.
func (db *DB) Replicas(ctx context.Context) ([]string, error) {
	replicas, err := list(ctx, db.readers, scanText,
		`SELECT replica FROM leases WHERE expires_at > ? ORDER BY replica`, expiry(0))
	return replicas, wrap(err, "list replicas")
}

// ReplicaURL returns where others reach the replica, empty where nowhere. It returns
// store.ErrNotFound for one without a lease that is not over.
func (db *DB) ReplicaURL(ctx context.Context, replica string) (string, error) {
	var url string
	err := db.readers.QueryRowContext(ctx, `SELECT url FROM leases WHERE replica = ? AND expires_at > ?`, replica, expiry(0)).Scan(&url)
	return url, wrap(err, "find replica")
}

// AdoptActs ends every lease that is over, and makes running rows of replicas that have
// none the replica's, most of them at the most: it alone completes them from then on. It
// returns those that it has adopted, oldest first, without what their acts were begun
// with (the argv), or ErrLeaseLost where it has no lease itself.
func (db *DB) AdoptActs(ctx context.Context, replica string, most int) ([]store.Activity, error) {
	var adopted []store.Activity
	err := db.writer.do(ctx, true, func(ctx context.Context) (err error) {
		w := db.writer.conn
		if _, err := w.ExecContext(ctx, `DELETE FROM leases WHERE expires_at <= ?`, expiry(0)); err != nil {
			return err
		}
		var leased bool
		if err := db.writer.activity.leased.QueryRowContext(ctx, replica).Scan(&leased); err != nil {
			return err
		}
		if !leased {
			return fmt.Errorf("replica %s: %w", replica, store.ErrLeaseLost)
		}
		adopted, err = adopt(ctx, w, replica, most)
		return err
	})
	return adopted, wrap(err, "adopt what was left running")
}

func adopt(ctx context.Context, w *sql.Conn, replica string, most int) ([]store.Activity, error) {
	found, err := list(ctx, w, column.ScanActivity, selectAbandoned, most)
	if err != nil {
		return nil, err
	}
	adopted := make([]store.Activity, len(found))
	for i, row := range found {
		adopted[i] = row.Record
		adopted[i].Replica = replica
		if _, err := w.ExecContext(ctx, `UPDATE activity SET replica = ? WHERE position = ?`, replica, row.Position); err != nil {
			return nil, err
		}
	}
	return adopted, nil
}

// selectAbandoned names its index: by itself SQLite would rather read the whole log,
// which is in the right order. The status must stand in the text for the index to fit.
const selectAbandoned = `SELECT position, id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at,
	written_seq, seq, '{}', outcome, replica, class FROM activity INDEXED BY activity_running_acts
	WHERE status = '` + sallyport.StatusRunning + `' AND coalesce(replica, '') NOT IN (SELECT replica FROM leases) ORDER BY position LIMIT ?`

// expiry is the end of a lease, by this process's clock: no other has the file open.
func expiry(life time.Duration) int64 { return time.Now().Add(life).UnixMicro() }

func scanText(row column.Scanner) (string, error) {
	var s string
	err := row.Scan(&s)
	return s, err
}
