package postgres

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
	"sallyport/test/pg"
)

// BenchmarkCommit is the group commit: rows written, and rows completed, in batches.
func BenchmarkCommit(b *testing.B) {
	for _, complete := range []bool{false, true} {
		for _, durable := range []bool{false, true} {
			for _, rows := range []int{1, 64, 256} {
				name := fmt.Sprintf("complete=%t/durable=%t/rows=%d", complete, durable, rows)
				b.Run(name, func(b *testing.B) { benchmarkCommit(b, rows, durable, complete) })
			}
		}
	}
}

func benchmarkCommit(b *testing.B, rows int, durable, complete bool) {
	db, org := openTest(b), id.New()
	var prepared [][]store.ActivityChange
	prepare := func() {
		for range 50 {
			batch := newBatchOf(org, rows)
			if complete {
				must(b, db.CommitActivity(b.Context(), batch, false))
				for i := range batch {
					batch[i].Complete, batch[i].Row.Status, batch[i].Row.ExitCode = true, sallyport.StatusOK, new(int)
				}
			}
			prepared = append(prepared, batch)
		}
	}
	commits, worst, busy := 0, time.Duration(0), time.Duration(0)
	backends := backendsOf(b, db)
	for b.Loop() {
		if len(prepared) == 0 {
			b.StopTimer()
			prepare()
			b.StartTimer()
		}
		batch := prepared[0]
		prepared = prepared[1:]
		before, began := busyTime(b, backends), time.Now()
		must(b, db.CommitActivity(b.Context(), batch, durable))
		worst = max(worst, time.Since(began))
		busy += busyTime(b, backends) - before
		commits++
	}
	b.ReportMetric(float64(busy.Nanoseconds())/1000/float64(rows*commits), "db-µs/row")
	b.ReportMetric(float64(rows*commits)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
}

// backendsOf returns the files in which Linux tells how long the processes of PostgreSQL that
// serve the store have run; none elsewhere.
func backendsOf(b *testing.B, db *DB) []string {
	b.Helper()
	must(b, db.CommitActivity(b.Context(), newBatchOf(id.New(), 1), false)) // so that there is one
	rows, err := db.readers.Query(b.Context(), `SELECT format('/proc/%s/schedstat', pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'`)
	must(b, err)
	files, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(b, err)
	return files
}

// busyTime is for how long those processes have run on a processor.
func busyTime(b *testing.B, backends []string) (sum time.Duration) {
	b.Helper()
	for _, file := range backends {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // no Linux, or a connection that has been closed
		}
		var ns int64
		_, err = fmt.Sscan(string(text), &ns)
		must(b, err)
		sum += time.Duration(ns)
	}
	return sum
}

// BenchmarkCommitReplicas is two replicas that commit to logs of their own, and to the
// same one.
func BenchmarkCommitReplicas(b *testing.B) {
	for _, same := range []bool{false, true} {
		b.Run(fmt.Sprintf("same=%t", same), func(b *testing.B) {
			const rows = 64
			url := pg.Start(b).Database(b)
			replicas := []*DB{openURL(b, url), openURL(b, url)}
			orgs := []string{id.New(), id.New()}
			commits := 0
			for b.Loop() {
				var group sync.WaitGroup
				for i, db := range replicas {
					org := orgs[i]
					if same {
						org = orgs[0]
					}
					batch := newBatchOf(org, rows)
					group.Go(func() {
						if err := db.CommitActivity(b.Context(), batch, true); err != nil {
							b.Error(err)
						}
					})
				}
				group.Wait()
				commits += len(replicas)
			}
			b.ReportMetric(float64(rows*commits)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkOneInsertARow is what the group commit is compared with: a transaction of its
// own for each row, in as few round trips.
func BenchmarkOneInsertARow(b *testing.B) {
	url := pg.Start(b).Database(b)
	must(b, openURL(b, url).Ping(b.Context()))
	conn := raw(b, url)
	org, seq := id.New(), 0
	for b.Loop() {
		seq++
		row := newExec(org)
		s := &statements{}
		system.enter(s)
		s.add(`INSERT INTO activity (id, org_id, workspace_id, type, status, actor, summary, created_at, written_seq, seq, detail)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)`,
			row.ID, row.OrgID, row.WorkspaceID, row.Type, row.Status, row.Actor, row.Summary, column.Time(row.CreatedAt), seq, `{"argv":["true"]}`)
		must(b, conn.SendBatch(b.Context(), &s.Batch).Close())
	}
	b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkLookups are what every request waits for. The bare one is a query without role
// and organisation: what row-level security costs is the difference.
func BenchmarkLookups(b *testing.B) {
	db := openTest(b)
	org, ws, tok := newTenant(b, db)
	for name, lookup := range map[string]func() error{
		"token":     func() error { _, err := db.TokenByHash(b.Context(), tok.Hash); return err },
		"workspace": func() error { _, err := db.Workspace(b.Context(), org.ID, ws.ID); return err },
		"bare": func() error {
			rows, err := db.readers.Query(b.Context(), `SELECT 1 WHERE $1 = 'x'`, "x")
			if err != nil {
				return err
			}
			_, err = pgx.CollectRows(rows, pgx.RowTo[int])
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				must(b, lookup())
			}
		})
	}
}

// newBatchOf returns rows such as those of execs, of eight workspaces.
func newBatchOf(org string, rows int) []store.ActivityChange {
	var workspaces [8]string
	for i := range workspaces {
		workspaces[i] = id.New()
	}
	batch := make([]store.ActivityChange, rows)
	for i := range batch {
		row := newExec(org)
		row.WorkspaceID, row.Summary = workspaces[i%len(workspaces)], "bash -lc 'cd /srv/app && make test'"
		row.Argv = []string{"bash", "-lc", "cd /srv/app && make test"}
		row.EnvNames, row.StdinBytes, row.TimeoutS = []string{"CI", "LANG"}, new(int64), 30
		batch[i].Row = row
	}
	return batch
}
