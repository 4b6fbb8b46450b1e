package audit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
)

// What waits is told, and what a failed commit has put back until it is on disk.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		p := begin(t, log, "o")
		want := func(what string, want audit.Stats) {
			t.Helper()
			if got := log.Stats(); got != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		want("idle", audit.Stats{})

		release := d.hold()
		first := log.Begin(ls("o"))
		synctest.Wait() // it is being committed
		later(func() error { return log.Begin(ls("o")).Durable(t.Context()) })
		synctest.Wait()
		want("one waits behind a commit", audit.Stats{Queued: 1})
		release()
		if err := first.Durable(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want("all is done", audit.Stats{})

		d.fail(errSick)
		finished := later(func() error { return p.Finish(audit.End{Status: sallyport.StatusOK}) })
		synctest.Wait()
		want("a completion is kept", audit.Stats{Queued: 1, Kept: 1})
		d.fail(nil)
		<-time.After(2 * time.Second)
		if err := <-finished; err != nil {
			t.Error(err)
		}
		want("and tried again", audit.Stats{})
	})
}
