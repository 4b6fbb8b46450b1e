package audit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
)

// However long the store is away and however many come meanwhile, what waits for it
// is bounded, and holds no completion of a row that was never on its way.
func TestQueueIsBoundedInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		release := d.hold()
		var answers []<-chan error
		for range limits.BatchQueueMax + limits.BatchRowsMax {
			p := log.Begin(ls("o"))
			answers = append(answers, later(func() error { return p.Durable(t.Context()) }))
		}
		synctest.Wait()
		for range 5000 {
			wantUnavailable(t, log.Begin(ls("o")).Durable(t.Context()))
		}
		for _, answer := range answers {
			wantUnavailable(t, <-answer) // the commit took too long
		}
		release()
		synctest.Wait()
		changes := 0
		for _, c := range d.done() {
			changes += len(c.changes)
		}
		if most := 2 * (limits.BatchQueueMax + limits.BatchRowsMax); changes > most {
			t.Errorf("%d changes were kept, more than %d", changes, most)
		}
		for _, row := range d.rows(t, "o") {
			if row.Status != sallyport.StatusError {
				t.Fatalf("row %+v", row)
			}
		}
	})
}

// A refusal that can't be recorded is told in time, also behind completions that
// fail again and again, and when the log is closed meanwhile.
func TestDenyInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		d.fail(errSick)
		for range limits.BatchRowsMax {
			wantUnavailable(t, log.Begin(ls("o")).Durable(t.Context()))
		}
		began := time.Now()
		wantUnavailable(t, log.Deny(t.Context(), audit.Denial{OrgID: "o", Tried: "exec"}))
		if took := time.Since(began); took > limits.BeginTimeMax {
			t.Errorf("took %v", took)
		}
		waiting := later(func() error { return log.Deny(t.Context(), audit.Denial{OrgID: "o"}) })
		synctest.Wait()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		wantUnavailable(t, <-waiting)
	})
}
