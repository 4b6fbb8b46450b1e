package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	engine "modernc.org/sqlite"
)

// backupPages is how many pages (4 MiB) are copied between two looks at whether
// the copy is still wanted.
const backupPages = 1024

// Contents counts the records of a database.
type Contents struct {
	SchemaVersion int64
	// Bytes is the size of its pages, whether they are in its file or still in
	// the write-ahead log.
	Bytes int64

	Orgs, Workspaces, Tokens int64
	// Rows are those of the activity log, Running those of them that are open.
	Rows, Running int64
	// LastSeqs is the seq of each organisation's last change, by its id; also of
	// organisations that were deleted.
	LastSeqs map[string]int64
	// NewestAt is the latest time in the newest rows; zero when there are none.
	NewestAt time.Time
}

// Backup copies the database in the file path into the file to, which is there and
// empty, checks the copy and tells what it holds. The copy is one moment of the
// database: every commit up to it and none after, while any process may go on
// writing. It is complete in itself, without a write-ahead log; that it is on disk
// is for its caller to see to.
//
// Progress, which may be nil, is called before the first page and after each few
// megabytes, with the bytes that are copied and those that are to be; its error
// ends the backup, and so does the end of ctx. What the file holds after an error
// is of no use.
func Backup(ctx context.Context, path, to string, progress func(done, total int64) error) (Contents, error) {
	if progress == nil {
		progress = func(int64, int64) error { return nil }
	}
	if err := backup(ctx, absolute(path), absolute(to), progress); err != nil {
		return Contents{}, fmt.Errorf("back up database %s: %w", path, err)
	}
	return CheckCopy(ctx, to)
}

func backup(ctx context.Context, path, to string, progress func(done, total int64) error) (err error) {
	if err := mustBeFile(path); err != nil {
		return err
	}
	fromDir := filepath.Dir(path)
	pool, err := openPool(readerDSN(path), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if err := refuseForeign(ctx, pool); err != nil {
		return explain(err, fromDir)
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return explain(err, fromDir)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	pageBytes, err := pin(ctx, conn)
	if err != nil {
		return explain(err, fromDir)
	}
	defer func() {
		// Whatever happened to the copy: a connection that closes ends its reading.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
	}()
	return copyPages(ctx, conn, to, pageBytes, progress)
}

// pin begins a transaction that reads: what conn sees from now on is one moment.
// A backup that found each step's own moment would begin anew with every commit
// of another process, and under load never end.
func pin(ctx context.Context, conn *sql.Conn) (pageBytes int64, err error) {
	if _, err := conn.ExecContext(ctx, `BEGIN`); err != nil {
		return 0, err
	}
	var tables int
	// It is the first read that takes the snapshot.
	if err := conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return 0, err
	}
	return pageBytes, conn.QueryRowContext(ctx, `PRAGMA page_size`).Scan(&pageBytes)
}

// backuper is a connection of the driver.
type backuper interface {
	NewBackup(to string) (*engine.Backup, error)
}

func copyPages(ctx context.Context, conn *sql.Conn, to string, pageBytes int64, progress func(done, total int64) error) error {
	var pages int64
	if err := conn.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages); err != nil {
		return err
	}
	if err := progress(0, pages*pageBytes); err != nil {
		return err
	}
	return conn.Raw(func(driverConn any) error {
		copying, err := driverConn.(backuper).NewBackup(scratchDSN(to, "MEMORY"))
		if err != nil {
			return explain(err, filepath.Dir(to))
		}
		for more := true; more && err == nil; {
			if err = ctx.Err(); err != nil {
				break
			}
			if more, err = copying.Step(backupPages); err == nil {
				total := int64(copying.PageCount()) * pageBytes
				err = progress(total-int64(copying.Remaining())*pageBytes, total)
			}
		}
		copied, finishErr := copying.Commit()
		return explain(errors.Join(err, finishErr, closeCopy(copied)), filepath.Dir(to))
	})
}

// closeCopy closes the connection to the copy, which is nil after a failure.
func closeCopy(conn driver.Conn) error {
	if conn == nil {
		return nil
	}
	return conn.Close()
}

// CheckCopy checks the database in the file path, of which no other connection
// knows, and tells what it holds. It makes one file of it: no write-ahead log is
// needed beside it from then on. It refuses what Open would refuse, and what holds
// no schema of ours.
func CheckCopy(ctx context.Context, path string) (Contents, error) {
	c, err := checkCopy(ctx, absolute(path))
	if err != nil {
		return Contents{}, fmt.Errorf("check the copy: %w", explain(err, filepath.Dir(absolute(path))))
	}
	return c, nil
}

func checkCopy(ctx context.Context, path string) (_ Contents, err error) {
	pool, err := openPool(scratchDSN(path, "DELETE"), 1)
	if err != nil {
		return Contents{}, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if err := checkSound(ctx, pool, quickCheck); err != nil {
		return Contents{}, err
	}
	if err := refuseForeign(ctx, pool); err != nil {
		return Contents{}, err
	}
	return contentsOf(ctx, pool)
}

// refuseForeign fails for what holds another program's tables, none at all, or a
// schema that this program doesn't know.
func refuseForeign(ctx context.Context, pool *sql.DB) error {
	provider, err := newProvider(pool)
	if err != nil {
		return err
	}
	v, err := versionsOf(ctx, pool, provider)
	switch {
	case err != nil:
		return err
	case v.current == 0:
		return errors.New("it holds no records of sallyport")
	case v.current > v.wanted:
		return v.tooNew()
	}
	return nil
}

// scratchDSN is the address of a file that is thrown away when anything fails: it
// is spared what makes a change safe.
func scratchDSN(path, journal string) string {
	return dsn(path, url.Values{"mode": {"rw"}, "_journal_mode": {journal}, "_synchronous": {"OFF"}})
}

// mustBeFile fails unless path is a regular file. It doesn't open it: see
// prepareFile.
func mustBeFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("there is no such file")
	case err != nil:
		return cause(err)
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	}
	return nil
}
