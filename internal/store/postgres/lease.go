package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// afterLife is when a lease ends that lasts for $2 microseconds from now on, by the
// database's clock, which goes on within a transaction.
const afterLife = `clock_timestamp() + $2::bigint * interval '1 microsecond'`

// TakeLease makes the replica one that is alive, for as long as life from now on. Others
// reach it at url; empty is nowhere.
func (db *DB) TakeLease(ctx context.Context, replica, url string, life time.Duration) error {
	err := db.own.run(ctx, system, func(s *statements) {
		s.add(`INSERT INTO leases (replica, expires_at, url) VALUES ($1, `+afterLife+`, $3)
			ON CONFLICT (replica) DO UPDATE SET expires_at = excluded.expires_at, url = excluded.url`, replica, life.Microseconds(), url)
	})
	return wrap(err, "take lease")
}

// RenewLease lets a lease last for life from now on, also one that is over if nobody has
// ended it yet. It returns ErrLeaseLost where somebody has.
func (db *DB) RenewLease(ctx context.Context, replica string, life time.Duration) error {
	err := db.own.run(ctx, system, func(s *statements) {
		s.oneRow(store.ErrLeaseLost, `UPDATE leases SET expires_at = `+afterLife+` WHERE replica = $1`,
			replica, life.Microseconds())
	})
	return wrap(err, "renew lease")
}

// EndLease ends a lease, if there is one.
func (db *DB) EndLease(ctx context.Context, replica string) error {
	err := db.own.run(ctx, system, func(s *statements) {
		s.add(`DELETE FROM leases WHERE replica = $1`, replica)
	})
	return wrap(err, "end lease")
}

// Replicas returns the replicas with a lease that is not over, in the order of their names.
func (db *DB) Replicas(ctx context.Context) ([]string, error) {
	replicas, err := ask(ctx, db.readers, system, scanText,
		`SELECT replica FROM leases WHERE expires_at > clock_timestamp() ORDER BY replica`)
	return replicas, wrap(err, "list replicas")
}

// ReplicaURL returns where others reach the replica, empty where nowhere. It returns
// store.ErrNotFound for one without a lease that is not over.
func (db *DB) ReplicaURL(ctx context.Context, replica string) (string, error) {
	url, err := askOne(ctx, db.readers, system, scanText,
		`SELECT url FROM leases WHERE replica = $1 AND expires_at > clock_timestamp()`, replica)
	return url, wrap(err, "find replica")
}

// errLeaseOver is of a replica that has a lease still, but didn't renew it in time: until
// it does, others may end it at any moment.
var errLeaseOver = errors.New("its lease is over")

// abandoned is the condition of a running row whose act no live replica runs.
const abandoned = `status = '` + sallyport.StatusRunning + `' AND coalesce(replica, '') NOT IN (SELECT replica FROM leases)`

// AdoptActs ends every lease that is over, and makes running rows of replicas that have
// none the replica's, some most of them: it alone completes them from then on. It returns
// those that it has adopted, oldest first, without what their acts were begun with (the
// argv), or ErrLeaseLost where it has no lease itself.
func (db *DB) AdoptActs(ctx context.Context, replica string, most int) ([]store.Activity, error) {
	var found []store.Positioned[store.Activity]
	var left map[string]string
	ids, orgsUnsure := db.unsure.rows()
	err := db.own.transact(ctx, true, func(t *tx) error {
		leased := false
		left = map[string]string{}
		if err := t.send(func(s *statements) { endLeases(s, replica, most, &leased, left) }); err != nil {
			return err
		}
		if !leased {
			return fmt.Errorf("replica %s: %w", replica, store.ErrLeaseLost)
		}
		orgs := slices.AppendSeq(slices.Clone(orgsUnsure), maps.Values(left))
		db.unsure.add(left) // until the commit is known to be made
		found = nil
		return t.commit(func(s *statements) {
			// A row isn't completed while it is adopted: its log is locked.
			lockLogs(s, orgs...)
			s.query(func(row column.Scanner) error {
				a, err := column.ScanActivity(row)
				found = append(found, a)
				return err
			}, adoptThese, replica, slices.AppendSeq([]string{}, maps.Keys(left)), ids)
		})
	})
	if err != nil {
		return nil, wrap(err, "adopt what was left running")
	}
	db.unsure.drop(ids, left)
	slices.SortFunc(found, func(a, b store.Positioned[store.Activity]) int { return cmp.Compare(a.Position, b.Position) })
	adopted := make([]store.Activity, len(found))
	for i, a := range found {
		adopted[i] = a.Record
	}
	return adopted, nil
}

const adoptThese = `UPDATE activity SET replica = $1
	WHERE id = ANY($2) AND ` + abandoned + ` OR id = ANY($3) AND status = '` + sallyport.StatusRunning + `' AND replica = $1
	RETURNING position, id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at,
		written_seq, seq, '{}', outcome, replica, class`

// endLeases adds the statements that end the leases that are over, and tell whether the
// replica has one, and which rows nobody alive runs, most at the most, with their
// organisations. Leases are locked in their order, so that two who do this don't wait for
// each other.
func endLeases(s *statements, replica string, most int, leased *bool, left map[string]string) {
	system.enter(s)
	s.add(`SELECT FROM leases WHERE expires_at <= now() ORDER BY replica FOR UPDATE`)
	s.add(`DELETE FROM leases WHERE expires_at <= now()`)
	s.query(func(row column.Scanner) (err error) {
		*leased, err = scanBool(row)
		return err
	}, `SELECT EXISTS (SELECT FROM leases WHERE replica = $1)`, replica)
	s.query(func(row column.Scanner) error {
		var id, org string
		err := row.Scan(&id, &org)
		left[id] = org
		return err
	}, selectAbandoned, most)
}

const selectAbandoned = `SELECT id, org_id FROM activity WHERE ` + abandoned + ` ORDER BY position LIMIT $1`

// unsure are the rows, with their organisations, of which this replica doesn't know
// whether it has adopted them: the connection was lost during the commit. Nobody else
// would complete them. It is safe for concurrent use.
type unsure struct {
	mu   sync.Mutex // guards what follows
	orgs map[string]string
}

func (u *unsure) rows() (ids, orgs []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.AppendSeq([]string{}, maps.Keys(u.orgs)), slices.AppendSeq([]string{}, maps.Values(u.orgs))
}

func (u *unsure) add(left map[string]string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.orgs == nil {
		u.orgs = map[string]string{}
	}
	maps.Copy(u.orgs, left)
}

func (u *unsure) drop(ids []string, left map[string]string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.orgs, func(id, _ string) bool { return left[id] != "" || slices.Contains(ids, id) })
}

func scanText(row column.Scanner) (text string, err error) {
	err = row.Scan(&text)
	return text, err
}
