package sqlite

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/store"
)

// TestMigrateWhatRuns: execs that a crash of the version before has left running are
// counted and adopted.
func TestMigrateWhatRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "before.db")
	pool, err := openChecked(t.Context(), path, true)
	must(t, err)
	provider, err := newProvider(pool)
	must(t, err)
	_, err = provider.UpTo(t.Context(), 8)
	must(t, errors.Join(err, pool.Close()))
	exec(t, raw(t, path), `INSERT INTO activity (id, org_id, workspace_id, type, status, actor, summary, created_at, written_seq, seq, detail, replica)
		VALUES ('theirs', 'o', 'w', 'workspace_exec', 'running', 'a', 's', 1, 1, 1, '{"argv":["true"]}', 'before')`)
	exec(t, raw(t, path), `INSERT INTO activity_counters VALUES ('o', 1)`)

	db := openTestFile(t, path)
	row := batchMaker(1)()[0].Row
	row.OrgID, row.WorkspaceID = "o", "w"
	quota := &store.Quota{OfWorkspace: 1, OfOrg: 9}
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Row: row, Quota: quota}}, true))
	if quota.Verdict != store.WorkspaceFull {
		t.Errorf("over: %v", quota.Verdict)
	}
	must(t, db.TakeLease(t.Context(), "new", "", time.Hour))
	rows, err := db.AdoptActs(t.Context(), "new", 9)
	must(t, err)
	if len(rows) != 1 || rows[0].ID != "theirs" || rows[0].Class != store.ClassExec {
		t.Errorf("adopted %+v", rows)
	}
}
