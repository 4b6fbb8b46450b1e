package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// The roles as which all statements run (row-level security knows them).
const (
	tenantRole = "sallyport_tenant"
	systemRole = "sallyport_system"
)

// viewer is on whose behalf statements run, which decides the rows that there are for
// them. Where none was named there are none.
type viewer struct{ role, orgID string }

// system sees every row.
var system = viewer{role: systemRole}

// tenant sees the rows of one organisation; of none if orgID is empty.
func tenant(orgID string) viewer { return viewer{role: tenantRole, orgID: orgID} }

// tenantOrSystem is for listings that are of all organisations when none is named.
func tenantOrSystem(orgID string) viewer {
	if orgID == "" {
		return system
	}
	return tenant(orgID)
}

// enter makes the statements that follow in the same transaction the viewer's.
func (v viewer) enter(b *statements) {
	b.add(`SELECT set_config('role', $1, true), set_config('sallyport.org_id', $2, true)`, v.role, v.orgID)
}

// statements are sent in one round trip. If one of them fails, those behind it aren't
// run.
type statements struct{ pgx.Batch }

// add adds a statement whose result doesn't matter.
func (b *statements) add(query string, args ...any) { b.Queue(query, holdableAll(args)...) }

// query adds one whose rows scan reads.
func (b *statements) query(scan func(column.Scanner) error, query string, args ...any) {
	b.Queue(query, holdableAll(args)...).Query(func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// oneRow adds one that fails with missed if it changes nothing.
func (b *statements) oneRow(missed error, query string, args ...any) {
	b.Queue(query, holdableAll(args)...).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return missed
		}
		return nil
	})
}

// checkRoom adds a statement that fails with ErrTooMany if what it counts is most already;
// most 0 is no bound. The caller has locked the organisation's log, so that nobody else
// adds one before the commit.
func (b *statements) checkRoom(most int, count string, args ...any) {
	if most == 0 {
		return
	}
	b.Queue(count, holdableAll(args)...).QueryRow(func(row pgx.Row) error {
		var have int
		err := row.Scan(&have)
		if err == nil && have >= most {
			err = store.ErrTooMany
		}
		return err
	})
}

// ask runs one query on behalf of the viewer and scans its rows, in one round trip.
func ask[T any](
	ctx context.Context, from *pool, v viewer, scan func(column.Scanner) (T, error), query string, args ...any,
) ([]T, error) {
	var records []T
	err := from.do(ctx, func(ctx context.Context, conn *pgx.Conn) (again bool, err error) {
		records = []T{}
		b := &statements{}
		v.enter(b)
		b.query(func(row column.Scanner) error {
			record, err := scan(row)
			records = append(records, record)
			return err
		}, query, args...)
		return true, conn.SendBatch(ctx, &b.Batch).Close()
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// askOne is ask for a query that has one row at the most; pgx.ErrNoRows if it has none.
func askOne[T any](
	ctx context.Context, from *pool, v viewer, scan func(column.Scanner) (T, error), query string, args ...any,
) (T, error) {
	records, err := ask(ctx, from, v, scan, query, args...)
	if err == nil && len(records) == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		var none T
		return none, err
	}
	return records[0], nil
}

// tx is a transaction that is under way.
type tx struct {
	caller context.Context // ends the transaction between two trips
	ctx    context.Context // bounds a trip
	conn   *pgx.Conn
	// durable says whether the commit is on disk when it returns.
	durable bool
	begun   bool
	trips   int
}

// transact runs body in one transaction, which body commits: all of it is committed, or
// nothing. Its context counts until the commit is sent. If the connection is lost then,
// it is left open whether the changes are kept.
func (db *DB) transact(ctx context.Context, durable bool, body func(*tx) error) error {
	return db.writers.transact(ctx, durable, body)
}

func (p *pool) transact(ctx context.Context, durable bool, body func(*tx) error) error {
	return p.do(ctx, func(inside context.Context, conn *pgx.Conn) (again bool, err error) {
		t := &tx{caller: ctx, ctx: inside, conn: conn, durable: durable}
		if err := body(t); err != nil {
			t.rollback()
			// A failure in the first trip has no commit behind it.
			return t.trips <= 1, err
		}
		return false, nil
	})
}

// send sends statements. The first trip begins the transaction.
func (t *tx) send(add func(b *statements)) error {
	if err := t.caller.Err(); err != nil {
		return err
	}
	b := &statements{}
	if !t.begun {
		t.begun = true
		b.add(`BEGIN ISOLATION LEVEL READ COMMITTED`)
		if !t.durable {
			b.add(relaxDurability)
		}
	}
	t.trips++
	add(b)
	return t.conn.SendBatch(t.ctx, &b.Batch).Close()
}

// commit sends the last statements, and the commit behind them.
func (t *tx) commit(add func(b *statements)) error {
	t.trips++ // a commit is never sent twice
	return t.send(func(b *statements) {
		add(b)
		b.Queue(`COMMIT`).Exec(func(tag pgconn.CommandTag) error {
			if tag.String() != "COMMIT" {
				return errUndone
			}
			return nil
		})
	})
}

// rollback undoes what was not committed. A connection with which that can't be done
// doesn't come back to its pool.
func (t *tx) rollback() {
	if !t.begun || t.conn.IsClosed() || t.conn.PgConn().TxStatus() == 'I' {
		return
	}
	_, _ = t.conn.Exec(t.ctx, `ROLLBACK`)
}

// relaxDurability lets the transaction be committed before it is on disk.
const relaxDurability = `SELECT set_config('synchronous_commit', 'off', true)`

// run makes a durable change on behalf of the viewer, in one round trip. It must be one
// that may be made twice.
func (db *DB) run(ctx context.Context, v viewer, add func(*statements)) error {
	return db.writers.run(ctx, v, add)
}

func (p *pool) run(ctx context.Context, v viewer, add func(*statements)) error {
	return p.do(ctx, func(ctx context.Context, conn *pgx.Conn) (again bool, err error) {
		b := &statements{}
		v.enter(b)
		add(b)
		return true, conn.SendBatch(ctx, &b.Batch).Close()
	})
}

// found is the one record that a transaction looks for.
type found[T any] struct{ one T }

// find adds the query for it, which fails with pgx.ErrNoRows if there is none.
func (f *found[T]) find(b *statements, scan func(column.Scanner) (T, error), query string, args ...any) {
	b.Queue(query, holdableAll(args)...).QueryRow(func(row pgx.Row) (err error) {
		f.one, err = scan(row)
		return err
	})
}
