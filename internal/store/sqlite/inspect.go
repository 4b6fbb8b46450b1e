package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// newestRows is how many of the newest rows are looked at for the latest time: all
// would be a scan of the table, and one may be an older than its neighbour.
const newestRows = 1000

// InspectOptions say how Inspect looks.
type InspectOptions struct {
	// Deep reads all of the database, however large, its indexes too.
	Deep bool
	// Still says that no process has the database open and no write-ahead log is
	// left of one: it is then read without leaving anything beside it.
	Still bool
}

// Inspection is the result of Inspect.
type Inspection struct {
	Contents
	// WantedVersion is the schema that this program wants.
	WantedVersion int64
	// WALBytes is the size of the write-ahead log.
	WALBytes int64
	// Checked tells whether all of the database was read, and is sound. Where it
	// was not, being large, Contents has its version, its size and the newest time
	// alone.
	Checked bool
	// CAKeys are the newest keys of the organisations' CAs, sealed as they are.
	CAKeys []keys.CAKey
	// StaleMachines are the first of those that trust the SSH CA that all organisations
	// shared, and may not know their own organisation's.
	StaleMachines []store.StaleMachine
}

const (
	// sharedCAVersion is the first schema with an SSH CA, which all organisations shared,
	// and orgCAVersion the first in which each organisation has its own.
	sharedCAVersion = 3
	orgCAVersion    = 10
	// caKeysInspected bounds the keys that are tried: what sealed a thousand has sealed
	// all of them.
	caKeysInspected = 1000
)

// Inspect looks at the database in the file path, while others may use it, and
// changes none of it. Its error says what is wrong with the database, in a
// sentence.
func Inspect(ctx context.Context, path string, o InspectOptions) (Inspection, error) {
	found, err := inspect(ctx, absolute(path), o)
	if err != nil {
		return found, fmt.Errorf("database %s: %w", path, explain(err, filepath.Dir(absolute(path))))
	}
	return found, nil
}

func inspect(ctx context.Context, path string, o InspectOptions) (found Inspection, err error) {
	if err := mustBeFile(path); err != nil {
		return found, err
	}
	if info, err := os.Stat(path + "-wal"); err == nil {
		found.WALBytes = info.Size()
	}
	address := readerDSN(path)
	if o.Still {
		address += "&immutable=1"
	}
	pool, err := openPool(address, 1)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	provider, err := newProvider(pool)
	if err != nil {
		return found, err
	}
	v, err := versionsOf(ctx, pool, provider)
	found.SchemaVersion, found.WantedVersion = v.current, v.wanted
	if err != nil {
		return found, err
	}
	if found.Bytes, err = sizeOf(ctx, pool); err != nil {
		return found, err
	}
	return found, found.look(ctx, pool, o.Deep)
}

func (found *Inspection) look(ctx context.Context, pool *sql.DB, deep bool) error {
	pragma := quickCheck
	if deep {
		pragma = integrityCheck
	}
	if deep || found.Bytes < checkBytesMax {
		if err := checkSound(ctx, pool, pragma); err != nil {
			return err
		}
		found.Checked = true
	}
	if found.SchemaVersion == 0 || found.SchemaVersion > found.WantedVersion {
		return nil // its tables are not there, or may mean something else
	}
	var err error
	if found.Checked {
		found.Contents, err = contentsOf(ctx, pool)
	} else {
		found.NewestAt, err = newestAt(ctx, pool)
	}
	if err != nil {
		return err
	}
	return found.lookAtCA(ctx, pool)
}

// lookAtCA reads the keys of the CAs, and the machines that trust the shared one.
func (found *Inspection) lookAtCA(ctx context.Context, pool *sql.DB) (err error) {
	retired := sql.NullInt64{}
	switch {
	case found.SchemaVersion < sharedCAVersion:
		return nil
	case found.SchemaVersion < orgCAVersion: // the next start retires the shared CA
		retired = sql.NullInt64{Int64: never, Valid: true}
	default:
		found.CAKeys, err = list(ctx, pool, column.ScanCAKey, `SELECT `+caKeyColumns+` FROM org_ca_keys ORDER BY position DESC LIMIT ?`, caKeysInspected)
		if err == nil {
			err = pool.QueryRowContext(ctx, selectRetiredAt).Scan(&retired)
		}
	}
	if err == nil && retired.Valid {
		found.StaleMachines, err = list(ctx, pool, column.ScanStaleMachine, selectStaleMachines, retired.Int64, limits.StaleMachinesTold+1)
	}
	return err
}

// contentsOf counts what the database holds, which reads an index of each table.
func contentsOf(ctx context.Context, pool *sql.DB) (c Contents, err error) {
	if c.Bytes, err = sizeOf(ctx, pool); err != nil {
		return c, err
	}
	provider, err := newProvider(pool)
	if err != nil {
		return c, err
	}
	v, err := versionsOf(ctx, pool, provider)
	if err != nil {
		return c, err
	}
	c.SchemaVersion = v.current
	err = pool.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM orgs), (SELECT count(*) FROM workspaces), (SELECT count(*) FROM tokens),
		(SELECT count(*) FROM activity), (SELECT count(*) FROM activity WHERE status = 'running')`).
		Scan(&c.Orgs, &c.Workspaces, &c.Tokens, &c.Rows, &c.Running)
	if err != nil {
		return c, err
	}
	if c.NewestAt, err = newestAt(ctx, pool); err != nil {
		return c, err
	}
	c.LastSeqs, err = lastSeqs(ctx, pool)
	return c, err
}

func lastSeqs(ctx context.Context, pool *sql.DB) (_ map[string]int64, err error) {
	rows, err := pool.QueryContext(ctx, `SELECT org_id, last_seq FROM activity_counters`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	last := map[string]int64{}
	for rows.Next() {
		var org string
		var seq int64
		if err := rows.Scan(&org, &seq); err != nil {
			return nil, err
		}
		last[org] = seq
	}
	return last, rows.Err()
}

func newestAt(ctx context.Context, pool *sql.DB) (time.Time, error) {
	var latest sql.NullInt64
	err := pool.QueryRowContext(ctx, `SELECT max(max(created_at, coalesce(completed_at, 0))) FROM
		(SELECT created_at, completed_at FROM activity ORDER BY position DESC LIMIT ?)`, newestRows).Scan(&latest)
	if err != nil || !latest.Valid {
		return time.Time{}, err
	}
	return time.UnixMicro(latest.Int64).UTC(), nil
}

func sizeOf(ctx context.Context, pool *sql.DB) (bytes int64, err error) {
	err = pool.QueryRowContext(ctx, `SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`).Scan(&bytes)
	return bytes, err
}
