package contract

import (
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/id"
	"sallyport/test/stack"
)

// A server for one organisation answers the tokens of others, and requests that name
// others, as if it had no routes but health and metrics; and whoever has no token the
// same, whichever organisation is named.
func TestOneOrganisation(t *testing.T) {
	t.Parallel()
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
		for _, named := range []string{"a", "b", "nowhere", a.ID, b.ID} {
			wantAnswer(t, what+" by nobody, for "+named, ask(r.method, path, "", named), 401, "unauthenticated")
		}
	}
	for _, route := range public {
		method, path, _ := strings.Cut(route, " ")
		everywhere := path == "/healthz" || path == "/readyz" || path == "/metrics"
		for _, c := range []struct {
			token, named string
			want         int
		}{
			{"", "", 200}, {"", a.ID, 401}, {"", "a", 401}, {"", b.ID, 401}, {"", "nowhere", 401}, {"garbage", "a", 401}, {"garbage", "", 200},
			{a.token, "", 200}, {a.token, "a", 200}, {a.token, "b", 404}, {b.token, "", 404}, {b.token, "a", 404}, {s.AdminToken, "b", 404},
		} {
			if everywhere {
				c.want = http.StatusOK
			}
			if got := ask(method, path, c.token, c.named).Status; got != c.want {
				t.Errorf("%s with %.6q for %q: %d, want %d", route, c.token, c.named, got, c.want)
			}
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
