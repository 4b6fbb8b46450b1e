package sqlite

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// OnChange is told of each commit that changed a log, once for each organisation,
// and of no other: not of one that failed, nor of a completion of nothing.
func TestOnChange(t *testing.T) {
	var told []string
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "test.db"),
		Options{Migrate: true, OnChange: func(orgID string) { told = append(told, orgID) }})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	take := func(want ...string) {
		t.Helper()
		slices.Sort(told)
		slices.Sort(want)
		if !slices.Equal(told, want) {
			t.Errorf("told of %q, want %q", told, want)
		}
		told = nil
	}
	row := func(org string) *store.Activity {
		return &store.Activity{Activity: sallyport.Activity{
			ID: id.New(), OrgID: org, Type: sallyport.ActivityExec, Status: sallyport.StatusRunning, CreatedAt: time.Now(),
		}}
	}
	a, b := store.Org{ID: id.New(), Name: "a", CreatedAt: time.Now()}, id.New()
	must(t, db.CreateOrg(t.Context(), a, store.ActivityChange{Row: row(a.ID)}))
	take(a.ID)
	if err := db.CreateOrg(t.Context(), store.Org{ID: id.New(), Name: "a"}, store.ActivityChange{Row: row(b)}); err == nil {
		t.Fatal("the name was free")
	}
	take()
	first, second := row(a.ID), row(b)
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Row: first}, {Row: second}, {Row: row(a.ID)}}, false))
	take(a.ID, b)
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Complete: true, Row: row(b)}}, false))
	take()
	second.Status = sallyport.StatusOK
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Complete: true, Row: second}}, false))
	take(b)
}
