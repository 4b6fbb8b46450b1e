package sqlite

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// BenchmarkCommitActivity is the group commit: rows written, and rows completed,
// in batches. cpu-µs/row is what a row costs when nothing waits for a disk.
func BenchmarkCommitActivity(b *testing.B) {
	for _, complete := range []bool{false, true} {
		for _, durable := range []bool{false, true} {
			for _, rows := range []int{1, 32, 256} {
				name := fmt.Sprintf("complete=%t/durable=%t/rows=%d", complete, durable, rows)
				b.Run(name, func(b *testing.B) { benchmarkCommit(b, rows, durable, complete) })
			}
		}
	}
}

func benchmarkCommit(b *testing.B, rows int, durable, completed bool) {
	db := openBenchmark(b)
	newBatch := batchMaker(rows)
	var prepared [][]store.ActivityChange
	prepare := func() {
		for range 200 {
			batch := newBatch()
			if completed {
				if err := db.CommitActivity(b.Context(), batch, false); err != nil {
					b.Fatal(err)
				}
				complete(batch)
			}
			prepared = append(prepared, batch)
		}
	}
	cpu, worst := -cpuTime(b), time.Duration(0)
	commits := 0
	b.ReportAllocs()
	for b.Loop() {
		if len(prepared) == 0 {
			b.StopTimer()
			cpu += cpuTime(b)
			prepare()
			cpu -= cpuTime(b)
			b.StartTimer()
		}
		batch := prepared[0]
		prepared = prepared[1:]
		began := time.Now()
		if err := db.CommitActivity(b.Context(), batch, durable); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(began))
		commits++
	}
	cpu += cpuTime(b)
	b.ReportMetric(float64(rows*commits)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(rows*commits), "cpu-µs/row")
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
}

// BenchmarkLookups are what every request waits for.
func BenchmarkLookups(b *testing.B) {
	db := openBenchmark(b)
	note := batchMaker(1)
	org := store.Org{ID: id.New(), Name: "acme", CreatedAt: time.Now()}
	ws := store.Workspace{ID: id.New(), OrgID: org.ID, Name: "web", Tier: 4, CreatedAt: time.Now(), UpdatedAt: time.Now()}
	tok := store.Token{ID: id.New(), OrgID: org.ID, Scopes: sallyport.DefaultScopes(), CreatedAt: time.Now()}
	for _, err := range []error{
		db.CreateOrg(b.Context(), org, note()[0]),
		db.CreateWorkspace(b.Context(), ws, 0, note()[0]),
		db.CreateToken(b.Context(), tok, 0, note()[0]),
	} {
		if err != nil {
			b.Fatal(err)
		}
	}
	lookups := map[string]func() error{
		"token":     func() error { _, err := db.TokenByHash(b.Context(), tok.Hash); return err },
		"workspace": func() error { _, err := db.Workspace(b.Context(), org.ID, ws.ID); return err },
	}
	for name, lookup := range lookups {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := lookup(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func openBenchmark(b *testing.B) *DB {
	db, err := Open(b.Context(), filepath.Join(b.TempDir(), "bench.db"), Options{Migrate: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

// batchMaker returns a function that makes batches of rows such as those of
// execs, of one organisation's eight workspaces.
func batchMaker(rows int) func() []store.ActivityChange {
	org := id.New()
	var workspaces [8]string
	for i := range workspaces {
		workspaces[i] = id.New()
	}
	return func() []store.ActivityChange {
		batch := make([]store.ActivityChange, rows)
		for i := range batch {
			row := &store.Activity{Class: store.ClassExec, Activity: sallyport.Activity{
				ID: id.New(), Type: sallyport.ActivityExec, Status: sallyport.StatusRunning,
				Actor: "org-token:sp_org_abcdefgh", OrgID: org, WorkspaceID: workspaces[i%len(workspaces)],
				Summary: "bash -lc 'cd /srv/app && make test'", CreatedAt: time.Now(), ActBegun: sallyport.ActBegun{ClientAddr: "127.0.0.1"},
			}}
			row.Argv = []string{"bash", "-lc", "cd /srv/app && make test"}
			row.EnvNames, row.StdinBytes, row.TimeoutS = []string{"CI", "LANG"}, new(int64), 30
			batch[i].Row = row
		}
		return batch
	}
}

// complete turns changes that write rows into those that complete them.
func complete(batch []store.ActivityChange) {
	for i := range batch {
		row := batch[i].Row
		row.Status, row.ExitCode, row.DurationMS = sallyport.StatusOK, new(int), new(int64)
		row.StdoutBytes, row.StderrBytes = new(int64), new(int64)
		now := time.Now()
		row.CompletedAt = &now
		batch[i].Complete = true
	}
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
