package audit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// Once Durable has returned, what a dying process leaves on disk holds the row.
func TestBeginIsDurable(t *testing.T) {
	d := newDisk(t)
	log := newLog(t, d)
	p := begin(t, log, "o")
	if done := d.done(); len(done) != 1 || !done[0].durable {
		t.Errorf("commits %+v, want one that is durable", done)
	}
	dead := filepath.Join(t.TempDir(), "dead.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(d.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dead+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	row := openDisk(t, dead).one(t, "o")
	if row.ID != p.ID() || row.Status != sallyport.StatusRunning || row.CompletedAt != nil {
		t.Errorf("row %+v", row)
	}
}

// Begin returns at once, Durable not before the commit has.
func TestDurableWaitsForTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		release := d.hold()
		p := log.Begin(ls("o"))
		answer := later(func() error { return p.Durable(t.Context()) })
		<-time.After(limits.BeginTimeMax - time.Millisecond)
		synctest.Wait()
		if isDone(answer) {
			t.Fatal("Durable returned before the commit")
		}
		release()
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
		d.one(t, "o")
	})
}

// Those who come while a commit is on its way share the next one, in the order
// in which they came, and no commit takes more than its bound.
func TestGroupCommit(t *testing.T) {
	const execs = 2*limits.BatchRowsMax + 10
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		release := d.hold()
		var pending []*audit.Pending
		for range execs {
			pending = append(pending, log.Begin(ls("o")))
			if len(pending) == 1 {
				synctest.Wait() // it is on its way
			}
		}
		release()
		for _, p := range pending {
			if err := p.Durable(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var sizes []int
		for _, c := range d.done() {
			sizes = append(sizes, len(c.changes))
		}
		if want := []int{1, limits.BatchRowsMax, limits.BatchRowsMax, 9}; !slices.Equal(sizes, want) {
			t.Errorf("commits of %v rows, want %v", sizes, want)
		}
		for i, row := range d.rows(t, "o") {
			if row.ID != pending[i].ID() || row.WrittenSeq != int64(i+1) {
				t.Fatalf("row %d is %s with seq %d, want %s", i, row.ID, row.WrittenSeq, pending[i].ID())
			}
		}
	})
}

// A commit waits for the disk only where somebody waits for it: completions
// alone are durable with the next begin.
func TestWhatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		first, second := begin(t, log, "o"), begin(t, log, "o")
		d.done()
		if err := first.Finish(exited); err != nil {
			t.Fatal(err)
		}
		if done := d.done(); len(done) != 1 || done[0].durable {
			t.Errorf("a completion alone: %+v", done)
		}
		release := d.hold()
		blocker := log.Begin(ls("o"))
		synctest.Wait()
		finished := later(func() error { return second.Finish(exited) })
		synctest.Wait()
		last := log.Begin(ls("o"))
		release()
		for _, err := range []error{<-finished, blocker.Durable(t.Context()), last.Durable(t.Context())} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if done := d.done(); len(done) != 2 || len(done[1].changes) != 2 || !done[1].durable {
			t.Errorf("a completion with a begin: %+v", done)
		}
	})
}

// Each organisation counts its changes without a gap, however many come at once.
func TestSeqIsGapless(t *testing.T) {
	const orgs, execs = 3, 50
	d := newDisk(t)
	log := newLog(t, d)
	var wg sync.WaitGroup
	for i := range orgs * execs {
		org := fmt.Sprint("org", i%orgs)
		wg.Go(func() {
			p := log.Begin(ls(org))
			if err := p.Durable(t.Context()); err != nil {
				t.Error(err)
				return
			}
			if err := p.Finish(exited); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if commits := len(d.done()); commits >= 2*orgs*execs {
		t.Errorf("%d commits of %d changes: none was shared", commits, 2*orgs*execs)
	}
	for i := range orgs {
		var seqs []int64
		for _, row := range d.rows(t, fmt.Sprint("org", i)) {
			if row.Status != sallyport.StatusOK || row.Seq <= row.WrittenSeq {
				t.Errorf("row %s: status %s, written %d, completed %d", row.ID, row.Status, row.WrittenSeq, row.Seq)
			}
			seqs = append(seqs, row.WrittenSeq, row.Seq)
		}
		slices.Sort(seqs)
		for i, seq := range seqs {
			if seq != int64(i+1) {
				t.Fatalf("seqs %v", seqs)
			}
		}
		if len(seqs) != 2*execs {
			t.Errorf("%d changes, want %d", len(seqs), 2*execs)
		}
	}
}

// What a crash left running is completed as interrupted by the next start.
func TestRecovery(t *testing.T) {
	d := newDisk(t)
	path := d.path
	log := newLog(t, d)
	left := begin(t, log, "o")
	if err := begin(t, log, "o").Finish(exited); err != nil {
		t.Fatal(err)
	}
	log.Close()
	d.Close()

	d = openDisk(t, path)
	log = newLog(t, d)
	running, err := d.Activities(t.Context(), store.ActivityFilter{Status: sallyport.StatusRunning}, store.Page{Limit: 9})
	if err != nil || len(running) != 1 || running[0].Record.ID != left.ID() {
		t.Fatalf("running %+v, %v", running, err)
	}
	survivors := 0
	if err := log.Interrupt(running[0].Record, audit.End{Status: sallyport.StatusInterrupted, Outcome: audit.ExecOutcome{Survivors: &survivors}}); err != nil {
		t.Fatal(err)
	}
	row := d.rows(t, "o")[0]
	if row.Status != sallyport.StatusInterrupted || row.CompletedAt == nil || row.ExitCode != nil ||
		row.Survivors == nil || *row.Survivors != 0 || row.WrittenSeq != 1 || row.Seq != 4 || row.Summary != "ls -l" {
		t.Errorf("row %+v", row)
	}
}

// A refusal is on disk when Deny returns.
func TestDeny(t *testing.T) {
	d := newDisk(t)
	log := newLog(t, d)
	denial := audit.Denial{
		By:         principal.Principal{Kind: principal.Workspace, OrgID: "o", Prefix: "sp_ws_12345678"},
		ClientAddr: "10.0.0.1", OrgID: "o", WorkspaceID: "w", Tried: "exec", Code: sallyport.CodeScopeForbidden,
	}
	if err := log.Deny(t.Context(), denial); err != nil {
		t.Fatal(err)
	}
	if done := d.done(); len(done) != 1 || !done[0].durable {
		t.Errorf("commits %+v, want one that is durable", done)
	}
	row := d.one(t, "o")
	if row.Type != sallyport.ActivityAccessDenied || row.Status != sallyport.StatusDenied || row.Code != denial.Code ||
		row.Actor != "workspace-token:sp_ws_12345678" || row.WorkspaceID != "w" || row.ClientAddr != "10.0.0.1" ||
		row.Summary != "exec" || row.CompletedAt == nil {
		t.Errorf("row %+v", row)
	}
	d.fail(errSick)
	wantUnavailable(t, log.Deny(t.Context(), denial))
	d.fail(nil)
	d.one(t, "o")
}

// An event's row is made whole, and committed with the act by who asked for it.
func TestEvent(t *testing.T) {
	d := newDisk(t)
	log := newLog(t, d)
	change := log.Event(audit.Event{
		Type: sallyport.ActivityOrgCreated, By: principal.Principal{Kind: principal.Admin}, OrgID: "o",
		Summary: " organisation o\ncreated, password=hunter2hunter2 ",
	})
	if len(d.rows(t, "o")) != 0 {
		t.Fatal("the log wrote the row by itself")
	}
	if err := d.CommitActivity(t.Context(), []store.ActivityChange{change}, true); err != nil {
		t.Fatal(err)
	}
	row := d.one(t, "o")
	if row.Status != sallyport.StatusOK || row.Actor != "admin-token" || row.CompletedAt == nil || !id.Is(row.ID) ||
		row.Summary != `organisation o\ncreated, password=[redacted]` {
		t.Errorf("row %+v", row)
	}
}

// Rows hold what happened and no secrets.
func TestRow(t *testing.T) {
	d := newDisk(t)
	log := newLog(t, d)
	a, e := ls("o"), audit.Exec{
		Argv: []string{"mysql", "-psecret", "--password", "secret", "https://u:secret@h/", "plain"},
		Cwd:  "/srv", EnvNames: []string{"A", "B"}, StdinBytes: 7, TimeoutS: 30,
	}
	a.ClientAddr, a.Detail = "10.0.0.1", e
	p := log.Begin(a)
	if err := p.Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	code, survivors := 137, 2
	if err := p.Finish(audit.End{Status: sallyport.StatusTimeout, Code: sallyport.CodeExecTimeout, Outcome: audit.ExecOutcome{
		Ran: true, ExitCode: &code, Signal: "KILL",
		Duration: 1234567 * time.Microsecond, StdoutBytes: 5, StderrBytes: 6, StderrTruncated: true, Survivors: &survivors,
	}}); err != nil {
		t.Fatal(err)
	}
	row := d.one(t, "o")
	if kept := fmt.Sprint(row.Argv, row.Summary); strings.Contains(kept, "secret") || !strings.HasSuffix(row.Summary, " plain") {
		t.Errorf("argv and summary %s", kept)
	}
	if e.Argv[1] != "-psecret" {
		t.Error("what runs was masked too")
	}
	got := fmt.Sprintln(row.Cwd, row.EnvNames, *row.StdinBytes, row.ClientAddr, row.TimeoutS, row.Status, row.Code, *row.ExitCode,
		row.Signal, *row.DurationMS, *row.StdoutBytes, *row.StderrBytes, *row.StdoutTruncated, *row.StderrTruncated, *row.Survivors)
	if want := "/srv [A B] 7 10.0.0.1 30 timeout exec_timeout 137 KILL 1234 5 6 false true 2\n"; got != want {
		t.Errorf("got %swant %s", got, want)
	}
}

// The row of a command that never started says nothing of how one ended.
func TestRowOfWhatDidNotRun(t *testing.T) {
	d := newDisk(t)
	log := newLog(t, d)
	end := audit.End{
		Status: sallyport.StatusError, Code: sallyport.CodeTooManyExecs, Reason: "capacity",
		Outcome: audit.ExecOutcome{ExitCode: new(int), Signal: "KILL", StdoutBytes: 3},
	}
	if err := begin(t, log, "o").Finish(end); err != nil {
		t.Fatal(err)
	}
	row := d.one(t, "o")
	if row.Code != sallyport.CodeTooManyExecs || row.Reason != "capacity" || row.ExitCode != nil || row.Signal != "" ||
		row.DurationMS != nil || row.StdoutBytes != nil || row.StdoutTruncated != nil {
		t.Errorf("row %+v", row)
	}
}

// The clock of the rows is the one that the log was given.
func TestClock(t *testing.T) {
	d := newDisk(t)
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.FixedZone("", 3600))
	log := audit.New(d, discard, func() time.Time { return noon })
	defer log.Close()
	if err := begin(t, log, "o").Finish(exited); err != nil {
		t.Fatal(err)
	}
	if row := d.one(t, "o"); !row.CreatedAt.Equal(noon) || row.CreatedAt.Location() != time.UTC || !row.CompletedAt.Equal(noon) {
		t.Errorf("row %+v", row)
	}
}

var errWhy = errors.New("the caller has gone")
