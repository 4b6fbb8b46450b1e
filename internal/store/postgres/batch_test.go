package postgres

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
	"sallyport/test/pg"
)

// wire is the way to a database, which counts round trips, and may lose an answer.
type wire struct {
	trips atomic.Int64
	lose  atomic.Bool
}

// wireConn is a connection on a wire.
type wireConn struct {
	net.Conn
	wire  *wire
	asked atomic.Bool
}

func (c *wireConn) Write(b []byte) (int, error) {
	c.asked.Store(true)
	return c.Conn.Write(b)
}

func (c *wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.asked.Swap(false) {
		c.wire.trips.Add(1)
		if c.wire.lose.Swap(false) {
			return 0, io.EOF
		}
	}
	return n, err
}

// openOver opens a new database by way of w.
func openOver(t *testing.T, w *wire) *DB {
	t.Helper()
	d, err := parse(migrated(t))
	must(t, err)
	dial := d.config.ConnConfig.DialFunc
	d.config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &wireConn{Conn: conn, wire: w}, nil
	}
	db := &DB{}
	db.pools, err = d.open(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// keyed is a new exec of the replica, with a quota and an idempotency key.
func keyed(org, replica string) store.ActivityChange {
	row := newExec(org)
	row.Replica, row.Class, row.CreatedAt = replica, store.ClassExec, time.Now().UTC().Truncate(time.Microsecond)
	hash := [32]byte{}
	copy(hash[:], row.ID)
	return store.ActivityChange{
		Row: row, Quota: &store.Quota{OfWorkspace: 1, OfOrg: 1},
		Claim: &store.Claim{Hash: hash, Bodies: [][]byte{[]byte("body")}, At: row.CreatedAt, Life: time.Hour},
	}
}

// completed is the completion of what a change began.
func completed(begun store.ActivityChange) store.ActivityChange {
	row := *begun.Row
	end := row.CreatedAt.Add(time.Second)
	row.Status, row.ExitCode, row.CompletedAt = sallyport.StatusError, new(int), &end
	return store.ActivityChange{Complete: true, Row: &row, FreeKey: true}
}

// TestCommitTakesOneTrip: an exec's row is begun in one round trip and completed in one,
// with a lease, a quota and a key, and so are the rows of many.
func TestCommitTakesOneTrip(t *testing.T) {
	var w wire
	db, org := openOver(t, &w), id.New()
	must(t, db.TakeLease(t.Context(), "me", "", time.Hour))
	for round := range 3 {
		for _, n := range []int{1, 40} {
			var begun, ends []store.ActivityChange
			for range n {
				change := keyed(org, "me")
				change.Quota = &store.Quota{OfWorkspace: n, OfOrg: n}
				begun, ends = append(begun, change), append(ends, completed(change))
			}
			for what, commit := range []func() error{
				func() error { return db.CommitActivity(t.Context(), begun, true) },
				func() error { return db.CommitActivity(t.Context(), ends, false) },
			} {
				before := w.trips.Load()
				must(t, commit())
				if took := w.trips.Load() - before; took != 1 && round > 0 { // at first the statement is prepared
					t.Errorf("round %d: commit %d of %d rows took %d round trips", round, what, n, took)
				}
			}
			for _, change := range append(begun, ends...) {
				if change.Row.Seq == 0 {
					t.Fatalf("a change took no seq: %+v", change)
				}
			}
		}
	}
}

// TestCommitWithoutAnswer: a commit that was made, and whose answer is lost, is found, and
// is not made twice.
func TestCommitWithoutAnswer(t *testing.T) {
	var w wire
	db, org := openOver(t, &w), id.New()
	must(t, db.TakeLease(t.Context(), "me", "", time.Hour))
	lastSeq := func() int64 {
		last, err := db.LastSeq(t.Context(), org)
		must(t, err)
		return last
	}
	warm := keyed(org, "me")
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{warm}, true))
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{completed(warm)}, true))

	begun := keyed(org, "me")
	w.lose.Store(true)
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{begun}, true))
	if begun.Row.Seq != 3 || begun.Row.WrittenSeq != 3 || begun.Quota.Verdict != store.WithinQuota || begun.Claim.Taken != nil {
		t.Errorf("begun as %+v, %+v, %+v", begun.Row, begun.Quota, begun.Claim)
	}
	end := completed(begun)
	w.lose.Store(true)
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{end}, true))
	if end.Row.Seq != 4 || lastSeq() != 4 || w.lose.Load() {
		t.Errorf("completed as %d, and the log ends with %d", end.Row.Seq, lastSeq())
	}
	// What another has closed is not found as one's own.
	late := *end.Row
	late.Status = sallyport.StatusInterrupted
	w.lose.Store(true)
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Complete: true, Row: &late}}, true))
	if late.Seq != 0 || lastSeq() != 4 {
		t.Errorf("a row that was complete was completed as %d", late.Seq)
	}
}

// TestCommitGoesByIndexes: however large the log, a change finds what it depends on by the
// index for it, also where the plan was made when the tables were empty.
func TestCommitGoesByIndexes(t *testing.T) {
	s := pg.StartOwn(t)
	url := s.Database(t)
	db := openURL(t, url)
	must(t, db.TakeLease(t.Context(), "me", "", time.Hour))
	conn := raw(t, url)
	commit := func(change store.ActivityChange) {
		t.Helper()
		b, err := newBatch([]store.ActivityChange{change})
		must(t, err)
		s := &statements{}
		b.commit(s, false)
		must(t, conn.SendBatch(t.Context(), &s.Batch).Close())
		if len(b.made) != 1 || b.made[0].seq == 0 {
			t.Fatalf("a change came to %+v", b.made)
		}
	}
	turn := func() {
		for range 10 { // more often than a plan of one's own is tried
			change := keyed("o0", "me") // whose log is filled, but for its counter
			change.Quota = &store.Quota{OfWorkspace: 1000, OfOrg: 1000}
			commit(change)
			commit(completed(change))
		}
	}
	turn()
	fillTables(t, s, url)
	before := scans(t, conn)
	turn()
	after := scans(t, conn)
	for _, index := range []string{"activity_id", "activity_running_acts", "idempotency_keys_of_exec", "idempotency_keys_pkey", "activity_counters_pkey"} {
		if after[index] == before[index] {
			t.Errorf("%s was not used", index)
		}
	}
	for _, read := range []string{"activity", "idempotency_keys", "activity_counters", "activity_of_org", "activity_of_workspace", "activity_completed"} {
		if n := after[read] - before[read]; n > 0 {
			t.Errorf("%s was read through %d times", read, n)
		}
	}
}

// scans tells how often the connection has gone by each index, and read through each table.
func scans(t *testing.T, conn *pgx.Conn) map[string]int64 {
	t.Helper()
	_, err := conn.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`)
	must(t, err)
	rows, err := conn.Query(t.Context(),
		`SELECT indexrelname, idx_scan FROM pg_stat_user_indexes UNION ALL SELECT relname, seq_scan FROM pg_stat_user_tables`)
	must(t, err)
	found := map[string]int64{}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		found[name] = n
		return nil
	})
	must(t, err)
	return found
}

// Changes that are committed together become what they become one by one, in their order:
// seqs, verdicts, and rows.
func TestCommitTogetherAsAlone(t *testing.T) {
	db := openTest(t)
	must(t, db.TakeLease(t.Context(), "me", "", time.Hour))
	must(t, db.TakeLease(t.Context(), "other", "", time.Hour))
	chance := rand.New(rand.NewPCG(1, 2))
	orgs, workspaces := [2]string{id.New(), id.New()}, [3]string{id.New(), id.New(), id.New()}
	var begun [2][]store.ActivityChange // of either organisation
	refused, made := 0, 0
	for range 60 {
		var together [2][]store.ActivityChange
		for range 1 + chance.IntN(12) {
			var change [2]store.ActivityChange
			kind, ws, of, replica := chance.IntN(8), workspaces[chance.IntN(3)], chance.IntN(max(1, len(begun[0]))), []string{"me", "me", "me", "other"}[chance.IntN(4)]
			most := []int{3, 1000}[chance.IntN(2)]
			for i, org := range orgs {
				switch {
				case kind < 4 || len(begun[i]) == 0:
					change[i] = keyed(org, replica)
					change[i].Row.WorkspaceID, change[i].Quota = ws, &store.Quota{OfWorkspace: most, OfOrg: 2 * most}
					if kind > 0 {
						change[i].Claim = nil
					}
					if kind == 3 {
						change[i].Quota, change[i].Row.Status = nil, sallyport.StatusOK
					}
					begun[i] = append(begun[i], change[i])
				default: // a row that runs, or has ended, or was refused, or begins in the same batch
					row := *begun[i][of].Row
					row.Replica = replica
					change[i] = completed(store.ActivityChange{Row: &row})
				}
				together[i] = append(together[i], change[i])
			}
		}
		must(t, db.CommitActivity(t.Context(), together[0], false))
		for i := range together[1] {
			must(t, db.CommitActivity(t.Context(), together[1][i:i+1], false))
		}
		for i, change := range together[0] {
			alone := together[1][i]
			if change.Row.Seq != alone.Row.Seq || change.Row.WrittenSeq != alone.Row.WrittenSeq {
				t.Fatalf("%d of %d: together %d, alone %d", i, len(together[0]), change.Row.Seq, alone.Row.Seq)
			}
			if change.Quota != nil && change.Quota.Verdict != alone.Quota.Verdict {
				t.Fatalf("%d of %d: together %d, alone %d", i, len(together[0]), change.Quota.Verdict, alone.Quota.Verdict)
			}
			if change.Row.Seq == 0 {
				refused++
			} else {
				made++
			}
		}
	}
	if refused < 30 || made < 30 {
		t.Errorf("%d changes made and %d not: that shows little", made, refused)
	}
	var ends [2][]string
	for i, org := range orgs {
		events, err := db.Events(t.Context(), org, store.Page{Limit: 10_000})
		must(t, err)
		for _, e := range events {
			ends[i] = append(ends[i], fmt.Sprint(e.Position, e.Record.Status, e.Record.Replica, e.Record.WorkspaceID, e.Record.ExitCode == nil, e.Record.CompletedAt == nil))
		}
	}
	if !slices.Equal(ends[0], ends[1]) {
		t.Errorf("together\n%q\nalone\n%q", ends[0], ends[1])
	}
}
