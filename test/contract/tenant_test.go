package contract

import (
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/id"
	"sallyport/test/stack"
)

// A server for one organisation answers the tokens of others, and requests that name
// others, as if it had no routes but health and metrics.
func TestOneOrganisation(t *testing.T) {
	dir := t.TempDir()
	all := stack.Start(t, stack.Options{DataDir: dir})
	a, b := newHome(t, all, "a"), newHome(t, all, "b")
	other := openSession(t, all, b.token)
	for _, header := range []string{a.ID, b.ID, "b", "nowhere", "\x7f", ""} { // others don't look
		req := all.Request(t, "GET", "/workspaces/build", a.token, "")
		req.Header["X-Sallyport-Org"] = []string{header}
		if header != "\x7f" {
			wantAnswer(t, "header "+header, all.Send(t, req), 200, "")
		}
	}
	if err := all.Stop(); err != nil {
		t.Fatal(err)
	}
	s := stack.Start(t, stack.Options{DataDir: dir, Env: map[string]string{"SALLYPORT_TENANT_ORG_ID": a.ID}})
	ask := func(method, path, token string, orgs ...string) stack.Answer {
		req := s.Request(t, method, path, token, "")
		for _, org := range orgs {
			req.Header.Add("X-Sallyport-Org", org)
		}
		return s.Send(t, req)
	}
	for _, r := range accesses {
		path := strings.NewReplacer("{org}", b.ID, "{workspace}", b.ws.ID, "{free-org}", b.ID, "{free-workspace}", b.ws.ID,
			"{running-exec}", id.New(), "{free-org-token}", id.New(), "{free-workspace-token}", id.New()).Replace(r.path)
		what := r.method + " " + path
		wantAnswer(t, what+" of another", ask(r.method, path, b.token), 404, "not_found")
		wantAnswer(t, what+" that names another", ask(r.method, path, a.token, b.ID), 404, "not_found")
		wantAnswer(t, what+" by nobody", ask(r.method, path, ""), 401, "unauthenticated")
		wantAnswer(t, what+" by nobody, for another", ask(r.method, path, "", "b"), 404, "not_found")
	}
	for _, route := range public {
		method, path, _ := strings.Cut(route, " ")
		status := http.StatusNotFound
		if path == "/healthz" || path == "/readyz" || path == "/metrics" {
			status = http.StatusOK
		}
		if got := ask(method, path, "", b.ID).Status; got != status {
			t.Errorf("%s for another: %d, want %d", route, got, status)
		}
		if got := ask(method, path, b.token).Status; got != http.StatusOK {
			t.Errorf("%s of another: %d", route, got)
		}
	}
	wantAnswer(t, "a cookie of another", whoami(t, s, other), 404, "not_found")
	wantAnswer(t, "a path that there isn't", ask("GET", "/nowhere", b.token), 404, "not_found")
	for _, orgs := range [][]string{nil, {a.ID}, {"a"}, {""}, {a.ID, "a"}} {
		wantAnswer(t, "its own, "+strings.Join(orgs, "+"), ask("GET", "/workspaces/build", a.token, orgs...), 200, "")
		wantAnswer(t, "the admin, "+strings.Join(orgs, "+"), ask("GET", "/orgs/"+b.ID, s.AdminToken, orgs...), 200, "")
	}
	for _, orgs := range [][]string{{"b"}, {a.ID, b.ID}, {"A"}, {id.New()}, {"nowhere"}, {a.ID + " "}, {"../" + a.ID}} {
		want := 404
		if strings.TrimSpace(orgs[0]) == a.ID && len(orgs) == 1 {
			want = 200 // blanks around a header's value are not part of it
		}
		if got := ask("GET", "/workspaces/build", a.token, orgs...).Status; got != want {
			t.Errorf("names %q: %d", orgs, got)
		}
	}
}
