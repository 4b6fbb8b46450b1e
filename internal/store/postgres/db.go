// Package postgres keeps Sallyport's records in a PostgreSQL database that several
// replicas share. Row-level security stands behind what the statements themselves ask
// for: what asks for one organisation can't see another's rows.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// pingTime bounds how long Ping waits for a connection, so that a store too busy to write is told as such.
const pingTime = time.Second

// Options say how Open treats a database. The zero value opens one that has a schema
// that this program can work with.
type Options struct {
	// Migrate makes the tables of an empty database, and brings the schema of an older
	// one up to date. Without it, both are refused.
	Migrate bool
	// OnChange is called after each commit of this DB that changed the activity log, for
	// each organisation whose log it was. It must not block. It may be nil.
	OnChange func(orgID string)
}

// DB is an open database. Its methods may be called from any goroutine, and several
// replicas may have the same database open.
//
// Each method answers within two seconds, whether the database does or not, and works
// again once it does. A change runs in one transaction. Its context counts until the
// commit is sent; one that ends before that changes nothing. Once a method that changes
// something has returned nil, the change is on disk, unless the method says otherwise.
// When the connection is lost during a commit the method fails, and it is left open
// whether the change was made.
type DB struct {
	pools

	onChange func(orgID string)

	unsure unsure
}

// Open opens the database that the URL names, and makes or migrates its tables if opts
// says so. Several may do so at the same time. The caller closes it.
//
// It refuses, with a sentence that names host and database but no password, what can't
// be reached, a schema that this program can't work with, and a login role that can't
// become the roles that keep organisations apart.
func Open(ctx context.Context, url string, opts Options) (*DB, error) {
	d, err := parse(url)
	if err != nil {
		return nil, err
	}
	if _, err := d.bringUpToDate(ctx, opts.Migrate); err != nil {
		return nil, fmt.Errorf("open database %s: %w", d.name, oneLine(err))
	}
	db := &DB{onChange: opts.OnChange}
	if db.pools, err = d.open(ctx); err != nil {
		return nil, fmt.Errorf("open database %s: %w", d.name, oneLine(err))
	}
	return db, nil
}

// Close waits for what is under way and closes all connections. Later calls of any
// method fail, but for Close, which may be called again.
func (db *DB) Close() error {
	db.close()
	return nil
}

// Ping tells whether the store can answer and take writes. It waits for a connection no
// longer than a second, and for the answer no longer than other methods do: to break off
// a question would cost the connection, when there may be none to be had for it.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	var group errgroup.Group
	for what, p := range map[string]*pool{"read": db.readers, "write": db.own} {
		group.Go(func() error {
			if err := p.probe(ctx); err != nil {
				return fmt.Errorf("ping database: %s: %w", what, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// probe fails unless a change could be made.
func (p *pool) probe(ctx context.Context) error {
	return p.do(ctx, func(ctx context.Context, conn *pgx.Conn) (again bool, err error) {
		var readOnly bool
		err = conn.QueryRow(ctx, `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool`).Scan(&readOnly)
		if err == nil && readOnly {
			err = errReadOnly
		}
		return !errors.Is(err, errReadOnly), err
	})
}
