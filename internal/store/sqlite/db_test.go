package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
	"sallyport/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Engine { return openTest(t) })
}

// openTest opens a new database, which is closed when the test ends.
func openTest(t *testing.T) *DB {
	t.Helper()
	return openTestFile(t, filepath.Join(t.TempDir(), "test.db"))
}

func openTestFile(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, Options{Migrate: true})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantRefusal demands one sentence that names the file and says why.
func wantRefusal(t *testing.T, err error, path, why string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", why)
	}
	text := err.Error()
	if !strings.Contains(text, path) || !strings.Contains(text, why) || strings.Contains(text, "\n") {
		t.Fatalf("error is %q, want one line with %q and %q", text, path, why)
	}
}

// raw opens the file as another program would.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	other, err := sql.Open("sqlite", path)
	must(t, err)
	other.SetMaxOpenConns(1)
	t.Cleanup(func() { must(t, other.Close()) })
	return other
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	must(t, err)
}

func TestOpenMakesPrivateFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?b#c%20d&e=f;'é.db")
	db := openTestFile(t, path)
	must(t, db.CommitActivity(t.Context(), batchMaker(1)(), true))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		must(t, err)
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("file %q has mode %o", suffix, mode)
		}
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	batch := batchMaker(3)()
	db := openTestFile(t, path)
	must(t, db.CommitActivity(t.Context(), batch, false))
	must(t, db.Close())
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the write-ahead log is left behind (%v)", err)
	}

	db, err := Open(t.Context(), path, Options{})
	must(t, err)
	defer db.Close()
	running, err := db.Activities(t.Context(), store.ActivityFilter{Status: sallyport.StatusRunning}, store.Page{Limit: 9})
	must(t, err)
	if len(running) != 3 || running[0].Record.ID != batch[2].Row.ID {
		t.Errorf("after reopening there are %d running execs, want 3", len(running))
	}
}

// TestCrash takes what a process leaves that dies: changes that were said to be
// made, even without being durable, must be in it.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := openTestFile(t, path)
	batch := batchMaker(5)()
	must(t, db.CommitActivity(t.Context(), batch[:3], true))
	must(t, db.CommitActivity(t.Context(), batch[3:], false))

	dead := filepath.Join(t.TempDir(), "test.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		must(t, err)
		must(t, os.WriteFile(dead+suffix, content, 0o600))
	}
	running, err := openTestFile(t, dead).Activities(t.Context(), store.ActivityFilter{Status: sallyport.StatusRunning}, store.Page{Limit: 9})
	must(t, err)
	if len(running) != 5 {
		t.Errorf("after a crash there are %d running execs, want 5", len(running))
	}
}

func TestDurability(t *testing.T) {
	db := openTest(t)
	level := func() (level int) {
		must(t, db.writer.conn.QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&level))
		return level
	}
	const normal, full = 1, 2
	newBatch := batchMaker(1)
	for _, durable := range []bool{false, false, true, true, false} {
		must(t, db.CommitActivity(t.Context(), newBatch(), durable))
		want := normal
		if durable {
			want = full
		}
		if got := level(); got != want {
			t.Errorf("durable=%t commits at level %d, want %d", durable, got, want)
		}
	}
	org := store.Org{ID: id.New(), Name: "acme", CreatedAt: time.Now()}
	must(t, db.CreateOrg(t.Context(), org, batchMaker(1)()[0]))
	if got := level(); got != full {
		t.Errorf("an admin's change commits at level %d, want %d", got, full)
	}
}

// TestWaitingForTheWriterObeysTheContext holds the writer as a slow commit would.
func TestWaitingForTheWriterObeysTheContext(t *testing.T) {
	db := openTest(t)
	must(t, db.writer.acquire(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := db.CommitActivity(ctx, batchMaker(1)(), true)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want %v", err, context.DeadlineExceeded)
	}
	if err := db.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ping: error is %v, want %v", err, context.DeadlineExceeded)
	}
	db.writer.release()
	must(t, db.Ping(t.Context()))
	must(t, db.CommitActivity(t.Context(), batchMaker(1)(), true))
}

// TestLockedByAnotherProcess: the wait for its lock obeys the context too, and
// has an end of its own.
func TestLockedByAnotherProcess(t *testing.T) {
	t.Parallel() // it waits for busyTime
	path := filepath.Join(t.TempDir(), "test.db")
	db, other := openTestFile(t, path), raw(t, path)
	newBatch := batchMaker(1)
	exec(t, other, `BEGIN IMMEDIATE`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := db.CommitActivity(ctx, newBatch(), true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want %v", err, context.DeadlineExceeded)
	}
	began := time.Now()
	err := db.CommitActivity(t.Context(), newBatch(), true)
	if !isBusy(err) {
		t.Errorf("error is %v, want that of a lock", err)
	}
	if waited := time.Since(began); waited < busyTime {
		t.Errorf("gave up after %v, want %v", waited, busyTime)
	}
	if _, err := db.Orgs(t.Context(), store.Page{Limit: 1}); err != nil {
		t.Errorf("readers wait for a writer: %v", err)
	}
	if err := db.Ping(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ping: error is %v, want %v", err, context.DeadlineExceeded)
	}
	exec(t, other, `ROLLBACK`)
	batch := newBatch()
	must(t, db.CommitActivity(t.Context(), batch, true))
	if batch[0].Row.Seq != 1 {
		t.Errorf("commits that failed have taken seqs: the next is %d", batch[0].Row.Seq)
	}
}

// TestFileIsGone: a row that is written to a file that nobody can find is none.
func TestFileIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := openTestFile(t, path)
	newBatch := batchMaker(1)
	must(t, os.Rename(path, path+".away"))
	for _, replaced := range []bool{false, true} {
		if replaced {
			must(t, os.WriteFile(path, nil, 0o600))
		}
		if err := db.CommitActivity(t.Context(), newBatch(), true); !errors.Is(err, errGone) {
			t.Errorf("replaced=%t: error is %v, want %v", replaced, err, errGone)
		}
		if err := db.Ping(t.Context()); !errors.Is(err, errGone) {
			t.Errorf("replaced=%t: ping: error is %v, want %v", replaced, err, errGone)
		}
	}
	must(t, os.Rename(path+".away", path))
	must(t, db.CommitActivity(t.Context(), newBatch(), true))
}

// TestPlans demands that the statements which grow with the log, or which every
// request waits for, go by an index.
func TestPlans(t *testing.T) {
	db := openTest(t)
	arguments := strings.NewReplacer("?1", "'x'", "?2", "9", "?3", "9", "?", "'x'")
	page := `= 'x' AND written_seq < 9 ORDER BY written_seq DESC LIMIT 9`
	for query, want := range map[string]string{
		selectTokens + `WHERE hash = x'00'`:                                                       `USING INDEX sqlite_autoindex_tokens_2 (hash=?)`,
		selectWorkspaces + `WHERE org_id = 'x' AND id = 'x'`:                                      `(org_id=? AND id=?)`,
		selectWorkspaces + `WHERE org_id = 'x' AND name = 'x'`:                                    `(org_id=? AND name=?)`,
		selectWorkspaces + `WHERE org_id = 'x' AND position > 9 ORDER BY position LIMIT 9`:        `workspaces_listed (org_id=? AND position>?)`,
		`SELECT written_seq` + activityColumns + `WHERE org_id ` + page:                           `activity_of_org (org_id=? AND written_seq<?)`,
		`SELECT written_seq` + activityColumns + `WHERE org_id = 'x' AND workspace_id ` + page:    `activity_of_workspace (org_id=? AND workspace_id=? AND written_seq<?)`,
		`SELECT position` + activityColumns + `WHERE position < 9 ORDER BY position DESC LIMIT 9`: `INTEGER PRIMARY KEY (rowid<?)`,
		`SELECT position` + activityColumns + `WHERE id = 'x' AND org_id = 'x'`:                   `(id=?)`,
		selectAbandoned: `USING INDEX activity_running_acts`,
		`SELECT count(*) FROM activity WHERE status = 'running'`: `USING COVERING INDEX activity_running_acts`,
		selectEvents:    `activity_of_org (org_id=? AND written_seq>?)`,
		selectLastSeq:   `(org_id=?)`,
		selectCAKeys:    `org_ca_keys_listed (org_id=?)`,
		countTokens:     `tokens_live (org_id=? AND expires_at>?)`,
		countWorkspaces: `(org_id=?)`,
		strings.NewReplacer("?1", "'x'", "?2", "'x'", "?6", "9").Replace(countAttachments): `attachments_listed (org_id=?)`,
		selectAttachments + `WHERE id = 'x' AND org_id = 'x'`:                              `(id=?)`,
		selectExpired: `attachments_by_end (expires_at<?)`,
		`UPDATE activity SET status = 'ok' WHERE id = 'x' AND org_id = 'x' AND status = 'running'`: `(id=?)`,
	} {
		rows, err := db.readers.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+arguments.Replace(query))
		must(t, err)
		var plan []string
		for rows.Next() {
			var a, b, c int
			var step string
			must(t, rows.Scan(&a, &b, &c, &step))
			plan = append(plan, step)
		}
		must(t, rows.Err())
		if !strings.Contains(strings.Join(plan, "; "), want) {
			t.Errorf("%s\nis planned as %q, want %q", query, plan, want)
		}
	}
}
