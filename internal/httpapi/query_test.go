package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// FuzzActivityQuery: whatever a listing is asked for, it answers a page within
// its bounds, or says which parameter is wrong.
func FuzzActivityQuery(f *testing.F) {
	for _, s := range []string{
		"", "limit=1", "limit=0", "limit=-1", "limit=501", "limit=99999999999999999999", "limit=%2B5", "limit=1&limit=x", "limit=1;cursor=2",
		"cursor=x", "cursor=AAAAAAAAAAAAAAAAAAAAAA", "cursor=%00", "since=2026-01-02T03:04:05Z", "since=2026-01-02", "until=now",
		"since=0000-01-01T00:00:00Z", "until=9999-12-31T23:59:59.999999999Z", "since=0001-01-01T00:00:00%2B23:59", "until=0000-01-01T00:00:00-23:59",
		"q=%25", "q=%00", "q=%ff", "q=" + strings.Repeat("a", 64), "type=workspace_exec&status=ok&actor=admin-token", "type='--", "%", "a=%zz", "&&=&",
	} {
		f.Add(s)
	}
	a := newAPI(f)
	known := []sallyport.Code{sallyport.CodeInvalidLimit, sallyport.CodeInvalidCursor, sallyport.CodeInvalidSince, sallyport.CodeInvalidUntil}
	f.Fuzz(func(t *testing.T, query string) {
		r := a.request(http.MethodGet, "/activity", "")
		r.URL.RawQuery = query
		w := a.answer(r)
		if code := codeOf(t, w); code != "" {
			if w.Code != http.StatusBadRequest || !slices.Contains(known, code) {
				t.Errorf("%q: %d %s", query, w.Code, w.Body)
			}
			return
		}
		var page sallyport.List[sallyport.Activity]
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || page.Items == nil || len(page.Items) > limits.PageMax {
			t.Errorf("%q: %s, %v", query, w.Body, err)
		}
	})
}

// FuzzPath: whatever the path, it is answered, never redirected, and never a
// fault of ours.
func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"/", "//", "/orgs", "/orgs/", "/orgs/o", "/orgs/o/", "//orgs", "/orgs//", "/orgs/../orgs/o", "/./orgs", "/orgs/%2e%2e", "/orgs/%2F", "/orgs/o%00",
		"/workspaces/w?org=o", "/workspaces/w/tokens?org=o", "/workspaces/w/activity?org=%00", "/workspaces/%ff", "/workspaces/" + strings.Repeat("w", 64),
		"/healthz", "/healthz/", "/readyz?", "/session", "/activity", "/nope", "/orgs/o/activity", "/workspaces/w/exec", "http://other/orgs", "/a;b",
	} {
		f.Add(s)
	}
	a := newAPI(f)
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return // net/http answers it by itself
		}
		r := a.request(http.MethodGet, "/", "")
		r.URL, r.RequestURI = u, target
		w := a.answer(r)
		codeOf(t, w)
		if w.Code >= 300 && w.Code < 400 || w.Code >= 500 {
			t.Errorf("%q: %d %s", target, w.Code, w.Body)
		}
	})
}
