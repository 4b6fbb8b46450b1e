package storetest

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// testPagesAreBounded demands that a page ends with the record that passes its bound in
// bytes, whichever listing it is of, and that its sizes are no less than what is sent.
func testPagesAreBounded(t *testing.T, e Engine) {
	ctx := t.Context()
	org := mustOrg(t, e, "a")
	large := strings.Repeat("\u0001", 1000) // 6,000 in JSON
	for i := range 5 {
		if i > 0 {
			mustOrg(t, e, fmt.Sprint("org-", i))
		}
		ws := store.Workspace{ID: id.New(), OrgID: org.ID, Name: fmt.Sprint("ws-", i), Labels: map[string]string{"l": large}, CreatedAt: start(), UpdatedAt: start()}
		must(t, e.CreateWorkspace(ctx, ws, 0, noted(id.New())))
		must(t, e.CreateToken(ctx, newToken(org.ID, "", fmt.Sprint("token-", i)), 0, noted(id.New())))
	}
	log := id.New()
	for range 5 {
		row := newExec(log, "ws")
		row.Argv = []string{large}
		must(t, e.CommitActivity(ctx, write(row), true))
	}
	filter := store.ActivityFilter{OrgID: log}
	wantBounded(t, "activity", func(p store.Page) ([]store.Positioned[store.Activity], error) { return e.Activities(ctx, filter, p) }, true, 6000)
	wantBounded(t, "events", func(p store.Page) ([]store.Positioned[store.Activity], error) { return e.Events(ctx, log, p) }, false, 6000)
	wantBounded(t, "workspaces", func(p store.Page) ([]store.Positioned[store.Workspace], error) { return e.Workspaces(ctx, org.ID, p) }, false, 6000)
	wantBounded(t, "all workspaces", func(p store.Page) ([]store.Positioned[store.Workspace], error) { return e.Workspaces(ctx, "", p) }, false, 6000)
	wantBounded(t, "tokens", func(p store.Page) ([]store.Positioned[store.Token], error) { return e.Tokens(ctx, org.ID, "", p) }, false, 0)
	wantBounded(t, "organisations", func(p store.Page) ([]store.Positioned[store.Org], error) { return e.Orgs(ctx, p) }, false, 0)
	wantBounded(t, "all activity", func(p store.Page) ([]store.Positioned[store.Activity], error) {
		return e.Activities(ctx, store.ActivityFilter{Type: sallyport.ActivityExec}, p)
	}, true, 6000)
}

// wantBounded demands that two records fit where three would be too many: the page has a
// third, and the next page goes on behind the second. A record that is over the bound by
// itself has another behind it.
func wantBounded[T any](t *testing.T, what string, list func(store.Page) ([]store.Positioned[T], error), newestFirst bool, sizeMin int) {
	t.Helper()
	every := value(list(all))(t)
	records(t, every, newestFirst)
	if len(every) != 5 || every[0].Size < sizeMin {
		t.Fatalf("%s: %d records, of %d bytes", what, len(every), every[0].Size)
	}
	for bytes, want := range map[int]int{2 * every[0].Size: 3, 1: 2, 1 << 20: 5} {
		page := value(list(store.Page{Limit: 9, Bytes: bytes}))(t)
		if len(page) != want {
			t.Errorf("%s: a page of %d bytes has %d records, want %d", what, bytes, len(page), want)
		}
		for i, r := range page {
			wantEqual(t, r, every[i])
		}
		next := value(list(store.Page{Limit: 9, Bytes: bytes, After: page[1].Position}))(t)
		wantEqual(t, next[0], every[2])
	}
}
