package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// CommitActivity makes all of the changes in one transaction, or none. Each
// takes its organisation's next seq, in the order given, but for a completion
// that finds no running row: it changes nothing and takes none. Once the commit
// has succeeded, the rows are given their seqs.
//
// Of a completion the status, CompletedAt and the outcome are stored (code,
// reason, exit code, signal, duration, bytes and truncation of the output,
// survivors); everything else stays as it was written.
//
// With durable, the changes are on disk when it returns. Without, they outlive
// this process, and are on disk once the next durable change is.
//
// The error of a commit that broke may leave it open whether the changes are
// kept: after a crash of the machine they can turn out to be.
func (db *DB) CommitActivity(ctx context.Context, changes []store.ActivityChange, durable bool) error {
	if len(changes) == 0 {
		return nil
	}
	b, err := newBatch(changes)
	if err != nil {
		return wrap(err, "commit activity")
	}
	err = db.writer.do(ctx, durable, func(ctx context.Context) error {
		return b.apply(ctx, &db.writer.activity)
	})
	if err != nil {
		return wrap(unwritable(err), "commit activity")
	}
	b.number()
	db.changed(b)
	return nil
}

// changed calls OnChange for the organisations whose log has changed.
func (db *DB) changed(b *batch) {
	if db.onChange == nil {
		return
	}
	told := make(map[string]bool, 1)
	for i, change := range b.changes {
		if org := change.Row.OrgID; b.columns[i].seq != 0 && !told[org] {
			told[org] = true
			db.onChange(org)
		}
	}
}

// change makes a durable change and adds its row to the activity log, in one
// transaction.
func (db *DB) change(
	ctx context.Context, activity store.ActivityChange, act func(context.Context, *sql.Conn) error,
) error {
	return db.update(ctx, func(ctx context.Context, w *sql.Conn) (store.ActivityChange, error) {
		return activity, act(ctx, w)
	})
}

// update is change for an act that tells the row only once it has looked.
func (db *DB) update(
	ctx context.Context, act func(context.Context, *sql.Conn) (store.ActivityChange, error),
) error {
	var b *batch
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		change, err := act(ctx, db.writer.conn)
		if err != nil {
			return err
		}
		if b, err = newBatch([]store.ActivityChange{change}); err != nil {
			return err
		}
		return b.apply(ctx, &db.writer.activity)
	})
	if err != nil {
		return err
	}
	b.number()
	db.changed(b)
	return nil
}

const selectLastSeq = `SELECT last_seq FROM activity_counters WHERE org_id = ?`

// activityStatements are the writer's, for changes of the log.
type activityStatements struct {
	lastSeq, saveSeq, write, complete *sql.Stmt
	claims                            claimStatements
	leased, runningOfOrg, runningOfWS *sql.Stmt
}

func (s *activityStatements) prepare(ctx context.Context, p *preparer) {
	s.claims.prepare(ctx, p)
	s.lastSeq = p.prepare(ctx, selectLastSeq)
	s.saveSeq = p.prepare(ctx, `
		INSERT INTO activity_counters (org_id, last_seq) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET last_seq = excluded.last_seq`)
	s.write = p.prepare(ctx, `
		INSERT INTO activity (id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at,
			written_seq, seq, detail, outcome, replica, class)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12, ?13, ?14)`)
	s.complete = p.prepare(ctx, `
		UPDATE activity SET status = ?, completed_at = ?, seq = ?, outcome = ?
		WHERE id = ? AND org_id = ? AND status = '`+sallyport.StatusRunning+`' AND replica IS ?`)
	s.leased = p.prepare(ctx, `SELECT EXISTS (SELECT 1 FROM leases WHERE replica = ?)`)
	const count = `SELECT count(*) FROM activity INDEXED BY activity_running_acts
		WHERE status = '` + sallyport.StatusRunning + `' AND org_id = ? AND class = ?`
	s.runningOfOrg = p.prepare(ctx, count)
	s.runningOfWS = p.prepare(ctx, count+` AND workspace_id = ?`)
}

// batch is the changes of one transaction, with what can be worked out before
// it begins: others wait for the writer meanwhile.
type batch struct {
	changes []store.ActivityChange
	columns []columns
}

// columns are the stored columns of a row besides its own fields.
type columns struct {
	detail  string
	outcome sql.NullString
	seq     int64 // 0 when nothing was changed
}

func newBatch(changes []store.ActivityChange) (*batch, error) {
	b := &batch{changes: changes, columns: make([]columns, len(changes))}
	for i, change := range changes {
		if change.Row == nil {
			return nil, errors.New("an activity change has no row")
		}
		var err error
		c := &b.columns[i]
		if c.outcome, err = column.Outcome(change.Row); err != nil {
			return nil, fmt.Errorf("%w: encode outcome: %w", store.ErrUnwritable, err)
		}
		if change.Complete {
			continue
		}
		if c.detail, err = column.Detail(change.Row); err != nil {
			return nil, fmt.Errorf("%w: encode detail: %w", store.ErrUnwritable, err)
		}
	}
	return b, nil
}

// counter is an organisation's last seq, before the batch and by now.
type counter struct{ before, now int64 }

// apply makes the changes in the writer's transaction. It reads the counters
// there and not from memory: another process may have counted.
func (b *batch) apply(ctx context.Context, s *activityStatements) error {
	if err := b.checkLeases(ctx, s); err != nil {
		return err
	}
	counters := make(map[string]counter, 1)
	for i, change := range b.changes {
		org := change.Row.OrgID
		c, ok := counters[org]
		if !ok {
			last, err := s.last(ctx, org)
			if err != nil {
				return err
			}
			c = counter{before: last, now: last}
		}
		changed, err := s.apply(ctx, change, &b.columns[i], c.now+1)
		if err != nil {
			return err
		}
		if changed {
			c.now++
		}
		counters[org] = c
	}
	for org, c := range counters {
		if c.now == c.before {
			continue
		}
		if _, err := s.saveSeq.ExecContext(ctx, org, c.now); err != nil {
			return fmt.Errorf("save seq: %w", err)
		}
	}
	return nil
}

// checkLeases refuses rows of replicas whose lease has been ended.
func (b *batch) checkLeases(ctx context.Context, s *activityStatements) error {
	checked := ""
	for _, change := range b.changes {
		replica := change.Row.Replica
		if change.Complete || replica == "" || replica == checked {
			continue
		}
		var leased bool
		if err := s.leased.QueryRowContext(ctx, replica).Scan(&leased); err != nil {
			return fmt.Errorf("look for the lease of %s: %w", replica, err)
		}
		if !leased {
			return fmt.Errorf("replica %s: %w", replica, store.ErrLeaseLost)
		}
		checked = replica
	}
	return nil
}

// number gives the rows the seqs that they have taken.
func (b *batch) number() {
	for i, change := range b.changes {
		change.Row.Seq = b.columns[i].seq
		if !change.Complete {
			change.Row.WrittenSeq = b.columns[i].seq
		}
	}
}

func (s *activityStatements) last(ctx context.Context, org string) (int64, error) {
	var last int64
	err := s.lastSeq.QueryRowContext(ctx, org).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read last seq: %w", err)
	}
	return last, nil
}

// apply makes one change under the number seq, and tells whether there was
// anything to change.
func (s *activityStatements) apply(ctx context.Context, change store.ActivityChange, c *columns, seq int64) (bool, error) {
	row := change.Row
	if !change.Complete {
		if change.Quota != nil {
			if err := s.count(ctx, row, change.Quota); err != nil || change.Quota.Verdict != store.WithinQuota {
				return false, err
			}
		}
		if change.Claim != nil {
			if err := s.claims.claim(ctx, row, change.Claim); err != nil || change.Claim.Taken != nil {
				return false, err
			}
		}
		_, err := s.write.ExecContext(ctx, row.ID, row.OrgID, row.WorkspaceID, row.Type, row.Status, row.Actor,
			row.Summary, column.Time(row.CreatedAt), column.TimePointer(row.CompletedAt), seq, c.detail, c.outcome, column.Text(row.Replica), row.Class)
		if err != nil {
			return false, fmt.Errorf("write row %s: %w", row.ID, err)
		}
		c.seq = seq
		return true, nil
	}
	if change.FreeKey {
		if err := s.claims.release(ctx, row); err != nil {
			return false, err
		}
	}
	result, err := s.complete.ExecContext(ctx, row.Status, column.TimePointer(row.CompletedAt), seq, c.outcome,
		row.ID, row.OrgID, column.Text(row.Replica))
	if err != nil {
		return false, fmt.Errorf("complete row %s: %w", row.ID, err)
	}
	n, err := result.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	c.seq = seq
	return true, nil
}

// count fills in the verdict of q: whether one more row of row's class fits.
func (s *activityStatements) count(ctx context.Context, row *store.Activity, q *store.Quota) error {
	q.Verdict = store.WithinQuota
	var ofOrg, ofWorkspace int
	if err := s.runningOfOrg.QueryRowContext(ctx, row.OrgID, row.Class).Scan(&ofOrg); err != nil {
		return fmt.Errorf("count what runs: %w", err)
	}
	if ofOrg >= q.OfWorkspace { // else no workspace of it has so many
		if err := s.runningOfWS.QueryRowContext(ctx, row.OrgID, row.Class, row.WorkspaceID).Scan(&ofWorkspace); err != nil {
			return fmt.Errorf("count what runs: %w", err)
		}
	}
	switch {
	case ofWorkspace >= q.OfWorkspace:
		q.Verdict = store.WorkspaceFull
	case ofOrg >= q.OfOrg:
		q.Verdict = store.OrgFull
	}
	return nil
}
