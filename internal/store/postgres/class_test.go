package postgres

import (
	"testing"
	"time"

	"sallyport/internal/store"
	"sallyport/test/pg"
)

// TestRowsOfTheVersionBefore: what it begins while it still serves names no class, and is
// counted, and adopted, as the exec that it is.
func TestRowsOfTheVersionBefore(t *testing.T) {
	s := pg.Start(t)
	url := s.Database(t)
	db := openURL(t, url)
	s.Admin(t, url, `INSERT INTO activity (id, org_id, workspace_id, type, status, actor, summary, created_at, written_seq, seq, detail, replica)
		VALUES ('theirs', 'o', 'w', 'workspace_exec', 'running', 'a', 's', 1, 1, 1, '{"argv":["true"]}', 'before')`,
		`INSERT INTO activity_counters VALUES ('o', 1)`)
	row := newExec("o")
	row.WorkspaceID = "w"
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
