package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

var (
	errClosed = errors.New("the database is closed")
	errGone   = errors.New("the database's file is no longer where it was")
)

// writer is the one connection that writes.
//
// SQLite never sees a caller's context through it: a statement that can't be
// interrupted can't leave a transaction in a state of which nobody knows. A
// context counts between statements.
type writer struct {
	// probed is when probe last wrote, Unix nanoseconds.
	probed atomic.Int64
	// turn holds an element while somebody owns the writer, which guards all of
	// the fields below.
	turn   chan struct{}
	closed bool

	path string
	// file is the database's file as it was found when it was opened.
	file os.FileInfo
	pool *sql.DB
	conn *sql.Conn
	// durable tells whether a commit is on disk when it returns. A new
	// connection's is.
	durable bool

	prepared                preparer
	begin, commit, rollback *sql.Stmt
	activity                activityStatements
}

// newWriter takes the only connection of pool, and closes both when it is closed.
func newWriter(ctx context.Context, pool *sql.DB, path string) (*writer, error) {
	file, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{
		turn: make(chan struct{}, 1), path: path, file: file, pool: pool, conn: conn, durable: true,
		prepared: preparer{conn: conn},
	}
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(err, w.prepared.close(), conn.Close())
	}
	return w, nil
}

func (w *writer) prepare(ctx context.Context) error {
	// From here on start waits for locks, which obeys a context.
	if _, err := w.conn.ExecContext(ctx, `PRAGMA busy_timeout = 0`); err != nil {
		return err
	}
	p := &w.prepared
	w.begin = p.prepare(ctx, `BEGIN IMMEDIATE`)
	w.commit = p.prepare(ctx, `COMMIT`)
	w.rollback = p.prepare(ctx, `ROLLBACK`)
	w.activity.prepare(ctx, p)
	return p.err
}

// acquire waits for the caller's turn, until ctx ends. The caller releases it.
func (w *writer) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if w.closed {
		w.release()
		return errClosed
	}
	return nil
}

func (w *writer) release() { <-w.turn }

// do runs change in one transaction: all of it is committed, or nothing. Durable
// says whether the commit is on disk when do returns; if not, it outlives the
// process, and the next durable commit takes it to the disk.
func (w *writer) do(ctx context.Context, durable bool, change func(context.Context) error) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	defer w.release()
	inside := context.WithoutCancel(ctx)
	if err := w.setDurable(inside, durable); err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	committed := false
	defer func() {
		// Also when change panics, or when SQLite has rolled back by itself: it
		// says so with an error then, and a rollback has no other.
		if !committed {
			_, _ = w.rollback.ExecContext(inside)
		}
	}()
	if err := change(inside); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := w.commit.ExecContext(inside); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return nil
}

// setDurable must be called outside a transaction.
func (w *writer) setDurable(ctx context.Context, durable bool) error {
	if w.durable == durable {
		return nil
	}
	level := `PRAGMA synchronous = NORMAL`
	if durable {
		level = `PRAGMA synchronous = FULL`
	}
	if _, err := w.conn.ExecContext(ctx, level); err != nil {
		return fmt.Errorf("set durability: %w", err)
	}
	w.durable = durable
	return nil
}

// start begins a transaction. It waits for another process that writes, until
// busyTime has passed or ctx ends.
func (w *writer) start(ctx context.Context) error {
	if err := w.checkFile(); err != nil {
		return err
	}
	deadline := time.Now().Add(busyTime)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		_, err := w.begin.ExecContext(context.WithoutCancel(ctx))
		if err == nil {
			return nil
		}
		if !isBusy(err) || time.Now().After(deadline) {
			return fmt.Errorf("begin: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// checkFile fails when the database's file has been removed or replaced: SQLite
// would go on writing to the file that nobody can find any more.
func (w *writer) checkFile() error {
	file, err := os.Stat(w.path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(file, w.file) {
		return errGone
	}
	return err
}

// probe commits a change that changes nothing: a full disk, for one, shows only
// then. Anybody may ask for it, so what was proven within probeEvery stands.
func (w *writer) probe(ctx context.Context) error {
	began := time.Now()
	proven := began.Sub(time.Unix(0, w.probed.Load())) < probeEvery
	err := w.do(ctx, false, func(ctx context.Context) error {
		if proven {
			return nil
		}
		_, err := w.conn.ExecContext(ctx, `PRAGMA user_version = 0`) // a number of ours that means nothing
		return err
	})
	if err == nil && !proven {
		w.probed.Store(began.UnixNano())
	}
	return err
}

// close must be called by the owner, and after the readers are closed: what
// they still read can't be copied.
func (w *writer) close() error {
	_, err := w.conn.ExecContext(context.Background(), `PRAGMA wal_checkpoint(TRUNCATE)`)
	return errors.Join(err, w.prepared.close(), w.conn.Close(), w.pool.Close())
}

// preparer prepares statements until one fails.
type preparer struct {
	conn interface {
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
	stmts []*sql.Stmt
	err   error
}

func (p *preparer) prepare(ctx context.Context, query string) *sql.Stmt {
	if p.err != nil {
		return nil
	}
	stmt, err := p.conn.PrepareContext(ctx, query)
	if err != nil {
		p.err = fmt.Errorf("prepare %q: %w", query, err)
		return nil
	}
	p.stmts = append(p.stmts, stmt)
	return stmt
}

// close closes the statements. While one is open SQLite keeps its connection
// open, whatever closes that.
func (p *preparer) close() error {
	var errs []error
	for _, stmt := range p.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}
