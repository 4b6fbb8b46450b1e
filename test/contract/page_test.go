package contract

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/test/stack"
)

// A page of any list ends before 2 MiB of JSON as sent, and the next one goes on behind
// it, whatever a tenant has put into its own rows, labels and names.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	argv := strings.Repeat(`\u0001`, limits.ArgvBytesMax-1024)
	const execs, workspaces = 5, 90
	for range execs {
		if a := s.Do(t, http.MethodPost, "/workspaces/build/exec", h.token, `{"cmd":["true","`+argv+`"]}`); a.Status != 200 {
			t.Fatalf("exec: %d %s", a.Status, a.Body)
		}
	}
	labels := map[string]string{}
	for i := range limits.LabelsMax {
		labels[fmt.Sprint("label-", i)] = strings.Repeat("\u2028", limits.LabelBytesMax/3)
	}
	for i := range workspaces - 1 {
		create(t, s, h.token, "/workspaces", sallyport.WorkspaceCreate{Name: fmt.Sprint("w-", i), Labels: labels}, new(sallyport.Workspace))
	}
	for path, want := range map[string]int{
		"/workspaces/build/activity?type=workspace_exec&limit=500": execs,
		"/workspaces/build/execs?limit=500":                        execs,
		"/orgs/a/activity?type=workspace_exec&limit=500":           execs,
		"/workspaces?limit=500":                                    workspaces,
	} {
		if pages := allPages(t, s, h.token, path, want); pages < 2 {
			t.Errorf("%s: %d pages: too few to say anything", path, pages)
		}
	}
}

// allPages follows the cursors of a list and demands that it has so many items.
func allPages(t *testing.T, s *stack.Stack, token, path string, want int) (pages int) {
	t.Helper()
	seen := map[string]bool{}
	for cursor := "x"; cursor != ""; pages++ {
		url := path
		if pages > 0 {
			url += "&cursor=" + cursor
		}
		a := s.Do(t, http.MethodGet, url, token, "")
		if a.Status != 200 || len(a.Body) > limits.PageBytesMax {
			t.Fatalf("%s: %d, a page of %d bytes", path, a.Status, len(a.Body))
		}
		var page sallyport.List[struct{ ID string }]
		a.Decode(t, &page)
		if len(page.Items) == 0 {
			t.Fatalf("%s: an empty page", path)
		}
		for _, item := range page.Items {
			seen[item.ID] = true
		}
		cursor = page.NextCursor
	}
	if len(seen) != want {
		t.Errorf("%s: %d items on %d pages, want %d", path, len(seen), pages, want)
	}
	return pages
}
