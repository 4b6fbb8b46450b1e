package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a real database whose commits can be held up and made to fail, and
// which remembers them.
type disk struct {
	*sqlite.DB
	path string

	mu      sync.Mutex // guards the fields below
	gate    chan struct{}
	sick    error
	once    bool // sick for one commit
	delay   time.Duration
	ill     string // the row of which no change is committed
	commits []commit
}

// commit is one that was tried.
type commit struct {
	changes []store.ActivityChange
	durable bool
	err     error
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	return openDisk(t, filepath.Join(t.TempDir(), "test.db"))
}

func openDisk(t testing.TB, path string) *disk {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &disk{DB: db, path: path}
}

// CommitActivity waits while the disk is held, fails while it is sick, and else
// leaves it to the database.
func (d *disk) CommitActivity(ctx context.Context, changes []store.ActivityChange, durable bool) error {
	d.mu.Lock()
	gate, delay := d.gate, d.delay
	d.mu.Unlock()
	<-time.After(delay)
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	d.mu.Lock()
	err := d.sick
	if err == nil && slices.ContainsFunc(changes, func(c store.ActivityChange) bool { return c.Row.ID == d.ill }) {
		err = errSick
	}
	if d.once {
		d.sick, d.once = nil, false
	}
	d.mu.Unlock()
	if err == nil {
		err = d.DB.CommitActivity(ctx, changes, durable)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits = append(d.commits, commit{slices.Clone(changes), durable, err})
	return err
}

// hold holds commits up until release is called.
func (d *disk) hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate = gate
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.gate = nil
		close(gate)
	})
}

var (
	errSick = errors.New("input/output error")
	discard = slog.New(slog.DiscardHandler)
)

// fail makes commits fail, or work again.
func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sick = err
}

// slow makes each commit take so long.
func (d *disk) slow(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = delay
}

// failRow makes commits with a change of the row fail.
func (d *disk) failRow(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ill = id
}

// refuse makes the database itself refuse rows: those for which condition, in SQL, holds
// of the new row.
func (d *disk) refuse(t testing.TB, condition string) {
	t.Helper()
	db, err := sql.Open("sqlite", d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, on := range []string{"INSERT", "UPDATE"} {
		_, err := db.ExecContext(t.Context(), `CREATE TRIGGER refuse_`+on+` BEFORE `+on+` ON activity WHEN `+condition+` BEGIN SELECT raise(ABORT, 'refused'); END`)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// failOnce makes the next commit fail.
func (d *disk) failOnce() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sick, d.once = errSick, true
}

// done returns the commits since it was last called.
func (d *disk) done() []commit {
	d.mu.Lock()
	defer d.mu.Unlock()
	done := d.commits
	d.commits = nil
	return done
}

// rows are all rows of an organisation, the oldest first.
func (d *disk) rows(t testing.TB, org string) []store.Activity {
	t.Helper()
	var rows []store.Activity
	page := store.Page{Limit: limits.PageMax}
	for {
		found, err := d.Activities(t.Context(), store.ActivityFilter{OrgID: org}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			rows = append(rows, f.Record)
			page.After = f.Position
		}
		if len(found) < page.Limit {
			slices.Reverse(rows)
			return rows
		}
	}
}

// one is the only row of an organisation.
func (d *disk) one(t testing.TB, org string) store.Activity {
	t.Helper()
	rows := d.rows(t, org)
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1", len(rows))
	}
	return rows[0]
}

// newLog starts a log that ends with its test.
func newLog(t testing.TB, d *disk) *audit.Log {
	t.Helper()
	log := audit.New(d, discard, nil)
	t.Cleanup(func() { log.Close() })
	return log
}

func ls(org string) audit.Act {
	return audit.Act{
		By:    principal.Principal{Kind: principal.Org, OrgID: org, Prefix: "sp_org_12345678"},
		OrgID: org, WorkspaceID: "w", Detail: audit.Exec{Argv: []string{"ls", "-l"}, TimeoutS: 30},
	}
}

// begin puts a row on disk.
func begin(t testing.TB, log *audit.Log, org string) *audit.Pending {
	t.Helper()
	p := log.Begin(ls(org))
	if err := p.Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// later is f, called in a goroutine.
func later(f func() error) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- f() }()
	return answer
}

func isDone(answer <-chan error) bool { return len(answer) > 0 }

func wantUnavailable(t testing.TB, err error) *sallyport.Error {
	t.Helper()
	var known *sallyport.Error
	if !errors.As(err, &known) || known.Code != sallyport.CodePlatformUnavailable {
		t.Fatalf("got %v, want platform_unavailable", err)
	}
	return known
}

var exited = audit.End{Status: sallyport.StatusOK, Outcome: audit.ExecOutcome{Ran: true, ExitCode: new(int)}}
