package audit_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
)

// While a completion is kept the store is tried by the timer alone, however many come,
// and the log says so once, and once when it is over.
func TestSickStoreIsTriedByTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		var said bytes.Buffer
		log := audit.New(d, slog.New(slog.NewTextHandler(&said, nil)), nil)
		defer log.Close()
		p := begin(t, log, "o")
		d.fail(errSick)
		wantUnavailable(t, p.Finish(exited))
		d.done()
		const seconds = 10
		for range 100 * seconds {
			<-time.After(10 * time.Millisecond)
			log.Begin(ls("o"))
		}
		if tries, most := len(d.done()), 2*seconds*int(time.Second/limits.CommitRetryEvery)+2; tries > most {
			t.Errorf("the store was tried %d times in %d s, more than %d", tries, seconds, most)
		}
		synctest.Wait()
		d.fail(nil)
		begin(t, log, "o")
		<-time.After(2 * limits.CommitRetryEvery)
		synctest.Wait()
		if lines := strings.Split(strings.TrimSpace(said.String()), "\n"); len(lines) != 2 ||
			!strings.Contains(lines[0], errSick.Error()) || !strings.Contains(lines[1], "committed again") {
			t.Errorf("the log says\n%s", said.String())
		}
	})
}

// Of a store that fails for an hour the log tells each minute.
func TestSickStoreIsToldEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		var said bytes.Buffer
		log := audit.New(d, slog.New(slog.NewTextHandler(&said, nil)), nil)
		p := begin(t, log, "o")
		d.fail(errSick)
		wantUnavailable(t, p.Finish(exited))
		<-time.After(10 * time.Minute)
		d.fail(nil)
		<-time.After(time.Second)
		log.Close()
		if lines := strings.Count(said.String(), "\n"); lines < 10 || lines > 13 {
			t.Errorf("%d lines:\n%s", lines, said.String())
		}
	})
}

// A queue that moves is waited for: each of many commits takes a second, and whoever is
// at its end is told nothing of a store that fails.
func TestBusyQueueIsWaitedFor(t *testing.T) {
	const rows = 10 * limits.BatchRowsMax
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		d.slow(time.Second)
		var begun, ended []<-chan error
		pending := make([]*audit.Pending, rows)
		for i := range pending {
			pending[i] = log.Begin(ls("o"))
			begun = append(begun, later(func() error { return pending[i].Durable(t.Context()) }))
		}
		for _, answer := range begun {
			if err := <-answer; err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range pending {
			ended = append(ended, later(func() error { return p.Finish(exited) }))
		}
		for _, answer := range ended {
			if err := <-answer; err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A row that can never be written is refused, and one whose end can't be is completed
// without it. Neither stops its neighbours, and both are told loudly.
func TestUnwritableRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		var said bytes.Buffer
		log := audit.New(d, slog.New(slog.NewTextHandler(&said, nil)), nil)
		defer log.Close()
		first, second := begin(t, log, "a"), begin(t, log, "b")
		d.refuse(t, `NEW.detail LIKE '%poison%' OR NEW.outcome LIKE '%"exit_code":77%'`)
		release := d.hold()
		log.Begin(ls("a"))
		synctest.Wait() // on its way: the others share the next
		poison := ls("a")
		poison.Detail = audit.Exec{Argv: []string{"poison"}}
		bad := log.Begin(poison)
		good := log.Begin(ls("b"))
		code := 77
		ends := []<-chan error{
			later(func() error {
				return first.Finish(audit.End{Status: sallyport.StatusError, Outcome: audit.ExecOutcome{Ran: true, ExitCode: &code}})
			}),
			later(func() error { return second.Finish(exited) }),
		}
		synctest.Wait()
		release()
		wantUnavailable(t, bad.Durable(t.Context()))
		if err := good.Durable(t.Context()); err != nil {
			t.Error(err)
		}
		for _, end := range ends {
			if err := <-end; err != nil {
				t.Error(err)
			}
		}
		if rows := d.rows(t, "a"); len(rows) != 2 || rows[0].Status != sallyport.StatusError || rows[0].Code != sallyport.CodeInternal || rows[0].ExitCode != nil {
			t.Errorf("rows %+v", rows)
		}
		if rows := d.rows(t, "b"); len(rows) != 2 || rows[0].Status != sallyport.StatusOK {
			t.Errorf("rows %+v", rows)
		}
		if got := log.Stats(); got != (audit.Stats{SetAside: 2}) {
			t.Errorf("stats %+v", got)
		}
		if n := strings.Count(said.String(), "set aside"); n != 2 {
			t.Errorf("the log says %d times what was set aside:\n%s", n, said.String())
		}
	})
}

// One that fails for a reason of its own is tried for ever, and holds nobody up.
func TestKeptAloneHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		ill, well := begin(t, log, "a"), begin(t, log, "b")
		d.failRow(ill.ID())
		ends := []<-chan error{later(func() error { return ill.Finish(exited) }), later(func() error { return well.Finish(exited) })}
		if err := <-ends[1]; err != nil {
			t.Error(err)
		}
		synctest.Wait() // the other has failed
		for range 20 {
			begin(t, log, "b")
		}
		known := wantUnavailable(t, <-ends[0])
		if known.Started == nil || !*known.Started {
			t.Errorf("got %v", known)
		}
		d.failRow("")
		<-time.After(time.Second)
		if row := d.one(t, "a"); row.Status != sallyport.StatusOK {
			t.Errorf("row %+v", row)
		}
	})
}

// An end is told only by who still holds the row.
func TestEndOfARowThatIsAnothers(t *testing.T) {
	d := newDisk(t)
	log := newLog(t, d)
	for _, replica := range []string{"mine", "other"} {
		if err := d.TakeLease(t.Context(), replica, "", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	act := ls("o")
	act.Replica = "mine"
	p := log.Begin(act)
	if err := p.Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.EndLease(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	rows, err := d.AdoptActs(t.Context(), "other", 9)
	if err != nil || len(rows) != 1 {
		t.Fatalf("adopted %+v, %v", rows, err)
	}
	if code := sallyport.CodeOf(p.Finish(exited)); code != sallyport.CodeInterrupted {
		t.Errorf("adopted: got %q", code)
	}
	if err := log.Interrupt(rows[0], audit.End{Status: sallyport.StatusInterrupted}); err != nil {
		t.Fatal(err)
	}
	if code := sallyport.CodeOf(p.Finish(exited)); code != sallyport.CodeInterrupted {
		t.Errorf("closed by another: got %q", code)
	}
	if row := d.one(t, "o"); row.Status != sallyport.StatusInterrupted || row.ExitCode != nil {
		t.Errorf("row %+v", row)
	}
}

// Whatever the clock is set to, a row doesn't end before it began.
func TestClockIsSetBack(t *testing.T) {
	d := newDisk(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	log := audit.New(d, discard, func() time.Time { return at })
	defer log.Close()
	p, left := begin(t, log, "o"), begin(t, log, "left")
	at = at.Add(-time.Hour)
	if err := p.Finish(exited); err != nil {
		t.Fatal(err)
	}
	if err := log.Interrupt(d.one(t, "left"), audit.End{Status: sallyport.StatusInterrupted}); err != nil {
		t.Fatal(err)
	}
	_ = left
	for _, org := range []string{"o", "left"} {
		if row := d.one(t, org); row.CompletedAt == nil || !row.CompletedAt.Equal(row.CreatedAt) {
			t.Errorf("row %+v", row)
		}
	}
}
