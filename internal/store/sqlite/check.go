package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// checkWritable fails unless a change could be made: SQLite opens a file that
// it may not write all the same.
func checkWritable(ctx context.Context, pool *sql.DB) error {
	var mode string
	if err := pool.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("its file system can't hold a write-ahead log (journal mode %s)", mode)
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	err = conn.Raw(func(driverConn any) error {
		// A transaction of a connection that may only read begins all the same.
		only, err := driverConn.(readOnlyReporter).IsReadOnly("main")
		if err == nil && only {
			err = errors.New("the file can't be written")
		}
		return err
	})
	if err == nil {
		_, err = conn.ExecContext(ctx, `BEGIN IMMEDIATE; ROLLBACK`)
	}
	return errors.Join(err, conn.Close())
}

// readOnlyReporter is a connection of the driver.
type readOnlyReporter interface {
	IsReadOnly(schema string) (bool, error)
}

// Both read the whole file. The quick one tells whether its pages fit together, the
// other, at several times the cost, whether its indexes fit its tables too.
const (
	quickCheck     = `PRAGMA quick_check(1)`
	integrityCheck = `PRAGMA integrity_check(1)`
)

// checkSound fails if the database doesn't pass check.
func checkSound(ctx context.Context, pool *sql.DB, check string) error {
	var verdict string
	if err := pool.QueryRowContext(ctx, check).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("it is corrupt, restore it from a backup: %s", strings.ReplaceAll(verdict, "\n", " "))
	}
	return nil
}
