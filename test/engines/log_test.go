package engines

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/id"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// TestLog compares the group commit with one insert a row, in turns: rows that are on disk
// before their command would start, and completed behind it. Both write the same; without
// the group each row, and each completion, has a transaction of its own.
func TestLog(t *testing.T) {
	fmt.Printf("rows of the activity log a second, written durably and completed, %d pairs of rounds of %s\n", rowPairs, *benchRound)
	for _, w := range newWorlds(t) {
		log := audit.New(w, slog.New(slog.DiscardHandler), nil)
		for _, callers := range []int{1, 32, 256} {
			var grouped, single, ratios []float64
			for i := range rowPairs + 1 {
				a := w.rows(t, callers, func() error { return w.inGroup(t.Context(), log) })
				// More callers than these would only wait for one another.
				b := w.rows(t, min(callers, 32), func() error { return w.byItself(t.Context()) })
				if i > 0 { // the first pair warms
					grouped, single, ratios = append(grouped, a), append(single, b), append(ratios, a/b)
				}
			}
			fmt.Printf("  %-10s  %3d callers   group commit %6.0f   one insert a row %6.0f   ratio %5.2f\n",
				w.name, callers, median(grouped), median(single), median(ratios))
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
	fmt.Println()
}

// rowPairs is how many pairs of rounds are counted.
const rowPairs = 3

// rows counts how often f succeeds in a second, with callers at once.
func (w *world) rows(t *testing.T, callers int, f func() error) float64 {
	t.Helper()
	var done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range callers {
		all.Go(func() {
			for time.Since(began) < *benchRound {
				if err := f(); err != nil {
					t.Errorf("%s: %v", w.name, err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(began).Seconds()
}

var argv = []string{"bash", "-lc", "cd /srv/app && make test"}

// inGroup is the row of an exec as the gateway has it.
func (w *world) inGroup(ctx context.Context, log *audit.Log) error {
	row := log.Begin(audit.Act{
		By:         principal.Principal{Kind: principal.Org, OrgID: w.org.ID, Prefix: "sp_org_abcdefgh"},
		ClientAddr: "127.0.0.1", OrgID: w.org.ID, WorkspaceID: w.ws.ID, Replica: w.replica,
		Detail: audit.Exec{Argv: argv, TimeoutS: 30},
	})
	if err := row.Durable(ctx); err != nil {
		return err
	}
	return row.Finish(audit.End{Status: sallyport.StatusOK, Outcome: audit.ExecOutcome{Ran: true, ExitCode: new(int), Duration: time.Millisecond}})
}

// byItself is the same row in two transactions of its own.
func (w *world) byItself(ctx context.Context) error {
	row := &store.Activity{Replica: w.replica, Class: store.ClassExec, Activity: sallyport.Activity{
		ID: id.New(), Type: sallyport.ActivityExec, Status: sallyport.StatusRunning, Actor: "org-token:sp_org_abcdefgh",
		OrgID: w.org.ID, WorkspaceID: w.ws.ID, Summary: "bash -lc 'cd /srv/app && make test'", CreatedAt: time.Now(),
		ActBegun: sallyport.ActBegun{ClientAddr: "127.0.0.1"},
	}}
	row.Argv, row.StdinBytes, row.TimeoutS = argv, new(int64), 30
	if err := w.CommitActivity(ctx, []store.ActivityChange{{Row: row}}, true); err != nil {
		return err
	}
	now := time.Now()
	row.Status, row.CompletedAt, row.ExitCode, row.DurationMS = sallyport.StatusOK, &now, new(int), new(int64)
	row.StdoutBytes, row.StderrBytes = new(int64), new(int64)
	return w.CommitActivity(ctx, []store.ActivityChange{{Row: row, Complete: true}}, false)
}
