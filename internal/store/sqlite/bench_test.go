package sqlite

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// BenchmarkCommitActivity is the group commit: rows written, and rows completed,
// in batches. cpu-µs/row is what a row costs when nothing waits for a disk.
func BenchmarkCommitActivity(b *testing.B) {
	for _, durable := range []bool{false, true} {
		for _, rows := range []int{1, 32, 256} {
			b.Run(fmt.Sprintf("write/durable=%t/rows=%d", durable, rows), func(b *testing.B) {
				benchmarkWrite(b, rows, durable)
			})
		}
	}
	for _, rows := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("complete/durable=false/rows=%d", rows), func(b *testing.B) {
			benchmarkComplete(b, rows)
		})
	}
}

func benchmarkWrite(b *testing.B, rows int, durable bool) {
	db := benchmarkDB(b)
	newBatch := batchMaker(rows)
	var batches, worst = 0, time.Duration(0)
	report := reportRows(b, rows)
	for b.Loop() {
		batch := newBatch()
		began := time.Now()
		if err := db.CommitActivity(b.Context(), batch, durable); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(began))
		batches++
	}
	report(batches, worst)
}

func benchmarkComplete(b *testing.B, rows int) {
	db := benchmarkDB(b)
	newBatch := batchMaker(rows)
	batches, worst := 0, time.Duration(0)
	var pending [][]store.ActivityChange
	report := reportRows(b, rows)
	for b.Loop() {
		if len(pending) == 0 {
			b.StopTimer()
			for range 200 {
				batch := newBatch()
				if err := db.CommitActivity(b.Context(), batch, false); err != nil {
					b.Fatal(err)
				}
				complete(batch)
				pending = append(pending, batch)
			}
			b.StartTimer()
		}
		batch := pending[0]
		pending = pending[1:]
		began := time.Now()
		if err := db.CommitActivity(b.Context(), batch, false); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(began))
		batches++
	}
	report(batches, worst)
}

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
			row := &store.Activity{Activity: sallyport.Activity{
				ID: id.New(), Type: sallyport.ActivityExec, Status: sallyport.StatusRunning,
				Actor: "org-token:sp_org_abcdefgh", OrgID: org, WorkspaceID: workspaces[i%len(workspaces)],
				Summary: "bash -lc 'cd /srv/app && make test'", CreatedAt: time.Now(), ClientAddr: "127.0.0.1",
			}}
			row.Argv = []string{"bash", "-lc", "cd /srv/app && make test"}
			row.EnvNames, row.StdinBytes, row.TimeoutS = []string{"CI", "LANG"}, new(int64), 30
			batch[i].Row = row
		}
		return batch
	}
}

func benchmarkDB(b *testing.B) *DB {
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

// reportRows measures from now until the function that it returns is called.
func reportRows(b *testing.B, rows int) func(batches int, worst time.Duration) {
	b.ReportAllocs()
	before := cpuTime(b)
	return func(batches int, worst time.Duration) {
		n := float64(rows * batches)
		b.ReportMetric(n/b.Elapsed().Seconds(), "rows/s")
		b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/n, "cpu-µs/row")
		b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
	}
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
