// Package sqlite keeps Sallyport's records in one SQLite file: a single
// connection that writes, and a pool that reads beside it.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	driver "modernc.org/sqlite"

	"sallyport/internal/limits"
)

const (
	// busyTime bounds the wait for a lock that another process holds.
	busyTime = 2 * time.Second
	// pingTime bounds Ping, so that a store too busy to write is told as such.
	pingTime = time.Second
	// probeEvery is how often a Ping writes at the most.
	probeEvery = time.Second
	// checkBytesMax is the size up to which a file is checked when it is
	// opened: that reads all of it, about a second for this much.
	checkBytesMax = 256 << 20
	// checkpointPages is how much the write-ahead log holds (16 MiB) before it
	// is copied into the database. Fewer would copy the same hot pages more
	// often, more would make the commit that copies them wait longer.
	checkpointPages = 1000
	// walBytesKept is the size to which a log is cut back that a long reader made grow.
	walBytesKept = 64 << 20
	// writerCacheKiB and readerCacheKiB bound the pages that a connection keeps.
	writerCacheKiB = 8 << 10
	readerCacheKiB = 2 << 10
	// connsListing and connsEvents are how many listings, and readings of events, are
	// made at a time. Each holds a page of limits.PageBytesMax at the most.
	connsListing = 3
	connsEvents  = limits.EventReadsAtOnce
)

// Options say how Open treats a database. The zero value opens one that is
// there already and has the schema of this program.
type Options struct {
	// Migrate makes a missing database, and brings the schema of an older one
	// up to date. Without it, both are refused.
	Migrate bool
	// OnChange is called after each commit that changed the activity log, for each
	// organisation whose log it was. It must not block. It may be nil.
	OnChange func(orgID string)
}

// DB is an open database. Its methods may be called from any goroutine.
//
// A change runs in one transaction. Its context counts while the change waits
// for its turn and until it commits; one that ends before that changes
// nothing. Once a method that changes something has returned nil, the change
// is on disk, unless the method says otherwise.
type DB struct {
	writer *writer
	// readers are for look-ups and Ping, which wait for nobody's listings, nor for the
	// events that others read again.
	readers, listings, events *sql.DB
	lookups                   lookups

	onChange func(orgID string)
}

// Open opens the database in the file path, checks it, and makes or migrates it
// if opts says so; the file of a new one has mode 0600. The caller closes it.
//
// It refuses, with a sentence that names the file, what is not a database, is
// corrupt, can't be written, or has a schema that this program doesn't know.
func Open(ctx context.Context, path string, opts Options) (*DB, error) {
	db, err := open(ctx, absolute(path), opts)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, explain(err, filepath.Dir(absolute(path))))
	}
	return db, nil
}

func open(ctx context.Context, path string, opts Options) (_ *DB, err error) {
	pool, err := openChecked(ctx, path, opts.Migrate)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, pool.Close())
		}
	}()
	if _, err := bringUpToDate(ctx, pool, opts.Migrate); err != nil {
		return nil, err
	}
	w, err := newWriter(ctx, pool, path)
	if err != nil {
		return nil, err
	}
	db := &DB{writer: w, onChange: opts.OnChange}
	for pool, conns := range map[**sql.DB]int{
		&db.readers: min(max(4, runtime.GOMAXPROCS(0)), 8), &db.listings: connsListing, &db.events: connsEvents,
	} {
		if *pool, err = openPool(readerDSN(path), conns); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	if err := db.lookups.prepare(ctx, db.readers); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// closeReaders closes the pools that are open.
func (db *DB) closeReaders() error {
	err := db.lookups.prepared.close()
	for _, pool := range []*sql.DB{db.readers, db.listings, db.events} {
		if pool != nil {
			err = errors.Join(err, pool.Close())
		}
	}
	return err
}

// Close waits for the change that is under way, copies the write-ahead log into
// the database and closes it. Later calls of any method fail, but for Close,
// which may be called again.
func (db *DB) Close() error {
	w := db.writer
	w.turn <- struct{}{}
	defer w.release()
	if w.closed {
		return nil
	}
	w.closed = true
	if err := errors.Join(db.closeReaders(), w.close()); err != nil {
		return fmt.Errorf("close database %s: %w", w.path, err)
	}
	return nil
}

// Ping tells whether the store can answer and write. It waits for neither
// longer than a second, and may tell of the last second where nothing could be
// wrong.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	var tables int
	if err := db.readers.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return fmt.Errorf("ping database: read: %w", err)
	}
	if err := db.writer.probe(ctx); err != nil {
		return fmt.Errorf("ping database: write: %w", err)
	}
	return nil
}

// openChecked opens a pool of one connection that may write, to a database that
// is sound. With create, a missing file is made.
func openChecked(ctx context.Context, path string, create bool) (_ *sql.DB, err error) {
	size, err := prepareFile(path, create)
	if err != nil {
		return nil, err
	}
	// Syncing a file's times along with its data makes a commit no more durable
	// but twice as slow. The switch is the whole process's.
	// Its only error is that the platform has no such call.
	_, _ = driver.Fdatasync(true)
	pool, err := openPool(writerDSN(path), 1)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, pool.Close())
		}
	}()
	if err := checkWritable(ctx, pool); err != nil {
		return nil, err
	}
	if size < checkBytesMax {
		err = checkSound(ctx, pool, quickCheck)
	}
	return pool, err
}

// prepareFile returns the size of the file, which it makes if it is missing and
// create is set. It never opens a file that exists: closing it again would drop
// the locks that this process may hold on it (POSIX locks go by process).
func prepareFile(path string, create bool) (size int64, err error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return 0, errors.New("it is a directory")
	case err == nil:
		return info.Size(), nil
	case !errors.Is(err, os.ErrNotExist):
		return 0, cause(err)
	case !create:
		return 0, errors.New("there is no such file, `sallyport migrate` makes it")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return 0, fmt.Errorf("the file can't be made: %w", cause(err))
	}
	return 0, f.Close()
}

// cause takes from a file error the path, which the caller names already.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

func openPool(dsn string, conns int) (*sql.DB, error) {
	connector, err := driver.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool, nil
}

func writerDSN(path string) string {
	return dsn(path, url.Values{
		"mode":          {"rw"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
		"_pragma": {
			fmt.Sprintf("cache_size(%d)", -writerCacheKiB),
			fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
			fmt.Sprintf("journal_size_limit(%d)", walBytesKept),
		},
	})
}

func readerDSN(path string) string {
	return dsn(path, url.Values{
		"mode":        {"ro"},
		"_query_only": {"on"},
		"_pragma":     {fmt.Sprintf("cache_size(%d)", -readerCacheKiB)},
	})
}

// dsn returns the address of the database in the file path, with what every
// connection has in common and more.
func dsn(path string, more url.Values) string {
	more.Set("_busy_timeout", strconv.FormatInt(busyTime.Milliseconds(), 10))
	more.Set("_foreign_keys", "on")
	more.Set("_dqs", "0")
	more.Set("_defensive", "1")
	more.Set("_error_rc", "1")
	more["_pragma"] = append(more["_pragma"], "mmap_size(0)", "temp_store(MEMORY)")
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: more.Encode()}).String()
}

// absolute keeps a path true when the process changes its directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
