package audit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// Where the store can't take the row there is none, and the caller is told so;
// once it can, all goes on.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		d.fail(errSick)
		began := time.Now()
		err := log.Begin(ls("o")).Durable(t.Context())
		wantUnavailable(t, err)
		if !errors.Is(err, errSick) {
			t.Errorf("%v doesn't tell the operator why", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("told after %v, though the store has answered", took)
		}
		d.fail(nil)
		if rows := d.rows(t, "o"); len(rows) != 0 {
			t.Errorf("rows %+v", rows)
		}
		p := begin(t, log, "o")
		if row := d.one(t, "o"); row.ID != p.ID() || row.Status != sallyport.StatusRunning || row.WrittenSeq != 1 {
			t.Errorf("row %+v", row)
		}
	})
}

// One that waits for a failing commit fails with it, and its neighbours too.
func TestStoreFailsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		release := d.hold()
		var answers []<-chan error
		for range 10 {
			p := log.Begin(ls("o"))
			answers = append(answers, later(func() error { return p.Durable(t.Context()) }))
		}
		d.fail(errSick)
		release()
		for _, answer := range answers {
			wantUnavailable(t, <-answer)
		}
		d.fail(nil)
		if rows := d.rows(t, "o"); len(rows) != 0 {
			t.Errorf("%d rows", len(rows))
		}
	})
}

// A row that takes too long is refused, and when it comes to be all the same it
// doesn't stay open.
func TestCommitTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		release := d.hold()
		began := time.Now()
		wantUnavailable(t, log.Begin(ls("o")).Durable(t.Context()))
		if took := time.Since(began); took != limits.BeginTimeMax {
			t.Errorf("took %v, want %v", took, limits.BeginTimeMax)
		}
		release()
		synctest.Wait()
		row := d.one(t, "o")
		if row.Status != sallyport.StatusError || row.Code != sallyport.CodePlatformUnavailable || row.CompletedAt == nil {
			t.Errorf("row %+v", row)
		}
	})
}

// Who goes away while the row is on its way is let go at once, and his end is in
// the row, which comes to be all the same.
func TestCanceledWhileCommitting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		release := d.hold()
		ctx, cancel := context.WithCancelCause(t.Context())
		p := log.Begin(ls("o"))
		answer := later(func() error { return p.Durable(ctx) })
		synctest.Wait()
		cancel(errWhy)
		if err := <-answer; !errors.Is(err, errWhy) {
			t.Errorf("got %v, want what it was canceled for", err)
		}
		finished := later(func() error {
			return p.Finish(audit.End{Status: sallyport.StatusCanceled, Reason: string(sallyport.CodeRevoked)})
		})
		synctest.Wait()
		release()
		if err := <-finished; err != nil {
			t.Error(err)
		}
		if row := d.one(t, "o"); row.Status != sallyport.StatusCanceled || row.Reason != "revoked" || row.CompletedAt == nil {
			t.Errorf("row %+v", row)
		}
	})
}

// An end that can't be written is told within its time, as that of a command that
// has run, is kept, and goes before any new row.
func TestEndIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		p := begin(t, log, "o")
		d.fail(errSick)
		began := time.Now()
		known := wantUnavailable(t, p.Finish(exited))
		if known.Started == nil || !*known.Started {
			t.Error("nobody is told that the command has run")
		}
		if took := time.Since(began); took != limits.FinishTimeMax {
			t.Errorf("took %v, want %v", took, limits.FinishTimeMax)
		}
		wantUnavailable(t, log.Begin(ls("o")).Durable(t.Context()))
		synctest.Wait() // what was tried at this moment has failed
		d.fail(nil)
		d.done()
		next := begin(t, log, "o")
		first := d.done()[0].changes[0]
		if !first.Complete || first.Row.ID != p.ID() {
			t.Errorf("first came %+v", first)
		}
		for _, row := range d.rows(t, "o") {
			if want := map[string]string{p.ID(): sallyport.StatusOK, next.ID(): sallyport.StatusRunning}[row.ID]; row.Status != want {
				t.Errorf("row %s is %s, want %s", row.ID, row.Status, want)
			}
		}
	})
}

// That holds also for a row that was waiting when the end failed.
func TestEndGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		p := begin(t, log, "o")
		release := d.hold()
		finished := later(func() error { return p.Finish(exited) })
		synctest.Wait() // its commit is on its way
		next := log.Begin(ls("o"))
		d.failOnce()
		release()
		for _, err := range []error{next.Durable(t.Context()), <-finished} {
			if err != nil {
				t.Fatal(err)
			}
		}
		done := d.done()[2:] // after the begin's, and the one that failed
		if !done[0].changes[0].Complete || done[1].changes[0].Row.ID != next.ID() {
			t.Errorf("then came %+v", done)
		}
	})
}

// A kept end is written also when nobody comes any more.
func TestEndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		p := begin(t, log, "o")
		d.fail(errSick)
		answer := later(func() error { return p.Finish(exited) })
		<-time.After(limits.FinishTimeMax / 2)
		d.fail(nil)
		if err := <-answer; err != nil {
			t.Errorf("the store was well again in time: %v", err)
		}
		if row := d.one(t, "o"); row.Status != sallyport.StatusOK {
			t.Errorf("row %+v", row)
		}

		p = begin(t, log, "other")
		d.fail(errSick)
		wantUnavailable(t, p.Finish(exited))
		d.fail(nil)
		<-time.After(10 * time.Second)
		synctest.Wait()
		if row := d.one(t, "other"); row.Status != sallyport.StatusOK {
			t.Errorf("row %+v", row)
		}
	})
}

// No more rows wait for a commit than may: the next is refused at once, while an
// end is always taken.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		running := begin(t, log, "o")
		release := d.hold()
		log.Begin(ls("o"))
		synctest.Wait() // on its way, and no longer in the queue
		for range limits.BatchQueueMax {
			log.Begin(ls("o"))
		}
		began := time.Now()
		wantUnavailable(t, log.Begin(ls("o")).Durable(t.Context()))
		if took := time.Since(began); took != 0 {
			t.Errorf("refused after %v", took)
		}
		answer := later(func() error { return running.Finish(exited) })
		synctest.Wait()
		release()
		if err := <-answer; err != nil {
			t.Error(err)
		}
	})
}

// Close writes what is queued and then refuses; it may be called twice.
func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		running := begin(t, log, "o")
		release := d.hold()
		log.Begin(ls("o"))
		synctest.Wait()
		for range 20 {
			log.Begin(ls("o"))
		}
		finished := later(func() error { return running.Finish(exited) })
		synctest.Wait()
		closed := later(log.Close)
		synctest.Wait()
		if isDone(closed) {
			t.Fatal("Close did not wait for the queue")
		}
		release()
		for _, answer := range []<-chan error{closed, finished} {
			if err := <-answer; err != nil {
				t.Error(err)
			}
		}
		if rows := d.rows(t, "o"); len(rows) != 22 || rows[0].Status != sallyport.StatusOK {
			t.Errorf("%d rows, the first %+v", len(rows), rows[0])
		}
		wantUnavailable(t, log.Begin(ls("o")).Durable(t.Context()))
		wantUnavailable(t, log.Deny(t.Context(), audit.Denial{OrgID: "o"}))
		log.Close()
		if rows := d.rows(t, "o"); len(rows) != 22 {
			t.Errorf("%d rows after Close", len(rows))
		}
	})
}

// A store that stays sick doesn't hold Close up; the next start completes the
// row, which is still running.
func TestCloseWithASickStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		p := begin(t, log, "o")
		d.fail(errSick)
		wantUnavailable(t, p.Finish(exited))
		began := time.Now()
		log.Close()
		if took := time.Since(began); took > limits.CommitTimeMax {
			t.Errorf("Close took %v", took)
		}
		if running, err := d.Activities(t.Context(), store.ActivityFilter{Status: sallyport.StatusRunning}, store.Page{Limit: 9}); err != nil || len(running) != 1 {
			t.Errorf("running %+v, %v", running, err)
		}
	})
}

// A store that never answers is given up: its rows are refused, and Close ends.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		release := d.hold()
		defer release()
		wantUnavailable(t, log.Begin(ls("o")).Durable(t.Context()))
		began := time.Now()
		log.Close()
		if took := time.Since(began); took > 2*limits.CommitTimeMax {
			t.Errorf("Close took %v", took)
		}
	})
}
