package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// CommitActivity makes all of the changes in one transaction, or none. Each takes its
// organisation's next seq, in the order given, but for a completion that finds no
// running row: it changes nothing and takes none. Once the commit has succeeded, the
// rows are given their seqs. It takes two round trips, however many changes there are.
//
// Of a completion the status, CompletedAt and the outcome are stored (code, reason, exit
// code, signal, duration, bytes and truncation of the output, survivors); everything
// else stays as it was written.
//
// With durable, the changes are on disk when it returns. Without, they outlive this
// process, but a crash of the database may lose those of its last second.
//
// The error of a commit whose connection was lost leaves it open whether the changes
// are kept.
func (db *DB) CommitActivity(ctx context.Context, changes []store.ActivityChange, durable bool) error {
	if len(changes) == 0 {
		return nil
	}
	b, err := newBatch(changes)
	if err != nil {
		return wrap(err, "commit activity")
	}
	err = db.own.transact(ctx, durable, func(t *tx) error {
		b.reset()
		if err := t.send(func(s *statements) { b.look(s) }); err != nil {
			return err
		}
		if err := b.decide(); err != nil {
			return err
		}
		return t.commit(b.write)
	})
	if err != nil {
		return wrap(unwritable(err), "commit activity")
	}
	db.committed(b)
	return nil
}

// change makes a durable change of what is an organisation's and adds its row to the
// activity log, in one transaction.
func (db *DB) change(
	ctx context.Context, orgID string, as viewer, activity store.ActivityChange, act func(*statements),
) error {
	b, err := newBatch([]store.ActivityChange{activity})
	if err != nil {
		return err
	}
	err = db.transact(ctx, true, func(t *tx) error {
		b.reset()
		err := t.send(func(s *statements) {
			b.look(s, orgID)
			as.enter(s)
			act(s)
		})
		if err != nil {
			return err
		}
		if err := b.decide(); err != nil {
			return err
		}
		return t.commit(b.write)
	})
	if err != nil {
		return err
	}
	db.committed(b)
	return nil
}

// update is change for an act that tells the row only once it has looked: find adds the
// statements that look and lock, and act those that change.
func (db *DB) update(
	ctx context.Context, orgID string, as viewer,
	find func(*statements), act func(*statements) (store.ActivityChange, error),
) error {
	var b *batch
	err := db.transact(ctx, true, func(t *tx) error {
		locked := counters{}
		err := t.send(func(s *statements) {
			system.enter(s)
			locked.lock(s, orgID)
			as.enter(s)
			find(s)
		})
		if err != nil {
			return err
		}
		acts := &statements{}
		change, err := act(acts)
		if err != nil {
			return err
		}
		if b, err = newBatch([]store.ActivityChange{change}); err != nil {
			return err
		}
		b.counters = locked
		if _, ok := locked[change.Row.OrgID]; !ok || !isPlain(change) {
			if err := t.send(func(s *statements) { b.look(s) }); err != nil {
				return err
			}
		}
		if err := b.decide(); err != nil {
			return err
		}
		return t.commit(func(s *statements) {
			as.enter(s)
			s.QueuedQueries = append(s.QueuedQueries, acts.QueuedQueries...)
			b.write(s)
		})
	})
	if err != nil {
		return err
	}
	db.committed(b)
	return nil
}

// isPlain tells whether a change takes its organisation's lock and nothing else to decide.
func isPlain(c store.ActivityChange) bool {
	return !c.Complete && c.Claim == nil && c.Quota == nil && c.Row.Replica == ""
}

// committed gives the rows the seqs that they have taken, and tells whoever wants to
// know of which organisations the log has changed.
func (db *DB) committed(b *batch) {
	told := make(map[string]bool, 1)
	for i, change := range b.changes {
		seq := b.columns[i].seq
		change.Row.Seq = seq
		if !change.Complete {
			change.Row.WrittenSeq = seq
		}
		if org := change.Row.OrgID; db.onChange != nil && seq != 0 && !told[org] {
			told[org] = true
			db.onChange(org)
		}
	}
}

// batch is the changes of one transaction. look asks the database what it takes to
// decide them, decide gives out the seqs, and write stores what was decided.
type batch struct {
	changes []store.ActivityChange
	columns []columns

	counters counters
	// running are the rows that a completion finds.
	running map[rowKey]act
	leases  leases
	quotas  quotas
	claims  claims
}

// act is the state of a running row.
type act struct {
	workspaceID, replica string
	class                store.Class
}

// columns are the stored columns of a row besides its own fields.
type columns struct {
	detail  string
	outcome sql.NullString
	seq     int64 // 0 when nothing was changed
}

// rowKey names a row of an organisation.
type rowKey struct{ org, id string }

func newBatch(changes []store.ActivityChange) (*batch, error) {
	b := &batch{changes: changes, columns: make([]columns, len(changes))}
	b.reset()
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

// reset drops the results of look.
func (b *batch) reset() {
	b.counters, b.running, b.leases = counters{}, map[rowKey]act{}, leases{}
	b.quotas, b.claims = quotas{}, newClaims()
}

// look adds the statements that lock the logs, those of more organisations too, and
// find what the changes depend on. Since all changes of a log have its lock, nothing
// of it changes until the transaction ends. Leases are locked before logs.
func (b *batch) look(s *statements, more ...string) {
	system.enter(s)
	orgs, completed, counted, replicas := more, []string{}, []string{}, []string{}
	for _, change := range b.changes {
		row := change.Row
		orgs = append(orgs, row.OrgID)
		switch {
		case change.Complete:
			completed = append(completed, row.ID)
		case row.Replica != "":
			replicas = append(replicas, row.Replica)
		}
		if change.Quota != nil {
			counted = append(counted, row.OrgID)
		}
	}
	if len(replicas) > 0 {
		b.leases.lock(s, replicas)
	}
	b.counters.lock(s, orgs...)
	if len(completed) > 0 {
		s.query(b.scanRunning, selectCompleted, completed)
	}
	if len(counted) > 0 {
		b.quotas.look(s, counted)
	}
	b.claims.look(s, b.changes)
}

// selectCompleted asks for no status: that would invite a plan that reads all that runs.
const selectCompleted = `SELECT id, org_id, workspace_id, coalesce(replica, ''), class, status FROM activity WHERE id = ANY($1)`

func (b *batch) scanRunning(row column.Scanner) error {
	var key rowKey
	var a act
	var status string
	err := row.Scan(&key.id, &key.org, &a.workspaceID, &a.replica, &a.class, &status)
	if err == nil && status == sallyport.StatusRunning {
		b.running[key] = a
	}
	return err
}

// decide goes through the changes in their order and gives each its seq.
func (b *batch) decide() error {
	for i, change := range b.changes {
		row := change.Row
		if !change.Complete && row.Replica != "" {
			if err := b.leases.check(row.Replica); err != nil {
				return err
			}
		}
		decide := b.begins
		if change.Complete {
			decide = b.completes
		}
		b.columns[i].seq = 0
		if decide(change) {
			b.counters[row.OrgID]++
			b.columns[i].seq = b.counters[row.OrgID]
			b.claims.changed(row)
		}
	}
	return nil
}

// begins tells whether a new row is written.
func (b *batch) begins(change store.ActivityChange) bool {
	row := change.Row
	if change.Quota != nil && !b.quotas.admits(row, change.Quota) {
		return false
	}
	if change.Claim != nil {
		if b.claims.claim(row, change.Claim); change.Claim.Taken != nil {
			return false
		}
	}
	if row.Status == sallyport.StatusRunning {
		a := act{row.WorkspaceID, row.Replica, row.Class}
		b.running[rowKey{row.OrgID, row.ID}] = a
		b.quotas.add(row.OrgID, a.class, a.workspaceID, 1)
	}
	return true
}

// completes tells whether a completion finds its row.
func (b *batch) completes(change store.ActivityChange) bool {
	row := change.Row
	if change.FreeKey {
		b.claims.free(row)
	}
	key := rowKey{row.OrgID, row.ID}
	a, ok := b.running[key]
	if !ok || a.replica != row.Replica {
		return false
	}
	delete(b.running, key)
	b.quotas.add(row.OrgID, a.class, a.workspaceID, -1)
	return true
}

// write adds the statements that store the decisions.
func (b *batch) write(s *statements) {
	system.enter(s)
	b.insert(s)
	b.complete(s)
	b.claims.write(s)
	b.counters.save(s)
	b.claims.prune(s) // the last that waits for a lock, since others' keys have no order
}

func (b *batch) insert(s *statements) {
	var (
		ids, orgs, workspaces, types, statuses, actors, summaries, details []string
		created, completed                                                 []sql.NullInt64
		seqs                                                               []int64
		outcomes, replicas                                                 []sql.NullString
		classes                                                            []int16
	)
	for i, change := range b.changes {
		row, c := change.Row, b.columns[i]
		if change.Complete || c.seq == 0 {
			continue
		}
		ids, orgs, workspaces = append(ids, row.ID), append(orgs, row.OrgID), append(workspaces, row.WorkspaceID)
		types, statuses, actors = append(types, row.Type), append(statuses, row.Status), append(actors, row.Actor)
		summaries, details, outcomes = append(summaries, row.Summary), append(details, c.detail), append(outcomes, c.outcome)
		created, completed = append(created, column.Time(row.CreatedAt)), append(completed, column.TimePointer(row.CompletedAt))
		seqs, replicas = append(seqs, c.seq), append(replicas, column.Text(row.Replica))
		classes = append(classes, int16(row.Class))
	}
	if len(ids) == 0 {
		return
	}
	s.add(`INSERT INTO activity (id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at,
			written_seq, seq, detail, outcome, replica, class)
		SELECT id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at, seq, seq, detail, outcome, replica, class
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
			$8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::smallint[]) WITH ORDINALITY
			AS new (id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at, seq, detail, outcome, replica, class, place)
		ORDER BY place`,
		ids, orgs, workspaces, types, statuses, actors, summaries, created, completed, seqs, details, outcomes, replicas, classes)
}

// complete names the rows by their ids alone: whose they are, and that they are running,
// was decided, and whatever else is asked for invites a plan that reads a whole log.
func (b *batch) complete(s *statements) {
	var (
		ids, statuses []string
		completed     []sql.NullInt64
		seqs          []int64
		outcomes      []sql.NullString
	)
	for i, change := range b.changes {
		row, c := change.Row, b.columns[i]
		if !change.Complete || c.seq == 0 {
			continue
		}
		ids, statuses = append(ids, row.ID), append(statuses, row.Status)
		completed, outcomes = append(completed, column.TimePointer(row.CompletedAt)), append(outcomes, c.outcome)
		seqs = append(seqs, c.seq)
	}
	if len(ids) == 0 {
		return
	}
	s.add(`UPDATE activity AS a SET status = done.status, completed_at = done.completed_at, seq = done.seq, outcome = done.outcome
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
			AS done (id, status, completed_at, seq, outcome)
		WHERE a.id = done.id`,
		ids, statuses, completed, seqs, outcomes)
}
