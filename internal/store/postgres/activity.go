package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sallyport/internal/store"
)

// CommitActivity makes all of the changes in one transaction, or none. Each takes its
// organisation's next seq, in the order given, but for a completion that finds no
// running row: it changes nothing and takes none. Once the commit has succeeded, the
// rows are given their seqs. It takes one round trip, however many changes there are.
//
// Of a completion the status, CompletedAt and the outcome are stored (code, reason, exit
// code, signal, duration, bytes and truncation of the output, survivors); everything
// else stays as it was written.
//
// With durable, the changes are on disk when it returns. Without, they outlive this
// process, but a crash of the database may lose those of its last second.
//
// Where the connection is lost during the commit it is tried once more, and finds what was
// made of it. If that fails too, it is left open whether the changes are kept.
func (db *DB) CommitActivity(ctx context.Context, changes []store.ActivityChange, durable bool) error {
	if len(changes) == 0 {
		return nil
	}
	b, err := newBatch(changes)
	if err != nil {
		return wrap(err, "commit activity")
	}
	again := false
	err = db.own.do(ctx, func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		s := &statements{}
		if !durable {
			s.add(relaxDurability)
		}
		b.commit(s, again)
		again = true
		return true, conn.SendBatch(ctx, &s.Batch).Close()
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
		err := t.send(func(s *statements) {
			system.enter(s)
			lockLogs(s, orgID, activity.Row.OrgID)
			as.enter(s)
			act(s)
		})
		if err != nil {
			return err
		}
		return t.commit(func(s *statements) { b.commit(s, false) })
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
		err := t.send(func(s *statements) {
			system.enter(s)
			lockLogs(s, orgID)
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
		return t.commit(func(s *statements) {
			as.enter(s)
			s.QueuedQueries = append(s.QueuedQueries, acts.QueuedQueries...)
			b.commit(s, false)
		})
	})
	if err != nil {
		return err
	}
	db.committed(b)
	return nil
}

// committed tells of each change what has become of it, and whoever wants to know of
// which organisations the log has changed.
func (db *DB) committed(b *batch) {
	told := make(map[string]bool, 1)
	for i, change := range b.changes {
		made := b.made[i]
		change.Row.Seq = made.seq
		if !change.Complete {
			change.Row.WrittenSeq = made.seq
		}
		if change.Quota != nil {
			change.Quota.Verdict = made.verdict
		}
		if change.Claim != nil {
			change.Claim.Taken = made.taken(change.Claim)
		}
		if org := change.Row.OrgID; db.onChange != nil && made.seq != 0 && !told[org] {
			told[org] = true
			db.onChange(org)
		}
	}
}
