package contract

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/identity"
	"sallyport/internal/principal"
	"sallyport/test/stack"
)

// parameters are those of the table of who may, as they stand in its paths.
var parameters = []string{"{org}", "{free-org}", "{workspace}", "{free-workspace}", "{free-org-token}", "{free-workspace-token}"}

// oddIDs are forms of a record's id and name that name nothing, as they stand in a
// request line.
func oddIDs(id, name string) []string {
	return []string{
		"..", ".", "%2e%2e", "%2E%2E", "..%2f..", "%2e%2e%2f" + id, "%252e%252e", "%c0%ae%c0%ae", "..;", "%5c..%5c", "%2f", "%2f" + id, id + "%2f", id + "%2f..%2f" + id, id + "%5c",
		"%00", id + "%00", "%00" + id, id + "%00.json", name + "%00", "/", "/" + id, id + "/", id + "//", "./" + id, "../" + id,
		strings.ToUpper(id), strings.ToUpper(name), strings.ReplaceAll(id, "-", ""), "{" + id + "}", "%7b" + id + "%7d", "urn:uuid:" + id, id + "," + id, id + "." + id,
		"%20" + id, id + "%20", id + "%09", id + "%0a", id + "%0d%0aX-Forged:%20x", id + ".json", id + ";a=b", id + "%3fa", id + "%23", "%22" + id + "%22", id + "%25",
		"%ef%bb%bf" + id, id + "%e2%80%8b", "%e2%80%ae" + name, strings.ReplaceAll(id, "0", "%ef%bc%90"), strings.ReplaceAll(id, "-", "%e2%80%90"),
		strings.Replace(name, "i", "%d1%96", 1), strings.Replace(name, "i", "%c4%b1", 1), strings.Replace(name, "d", "%e2%85%be", 1), "%ff%fe", "%ed%a0%80", "%f0%9f%98%80",
		long(10 << 10), strings.Repeat("%2e", 3<<10), strings.Repeat("%00", 3<<10), strings.Repeat("é", 5<<10), id + strings.Repeat("%20", 3<<10), strings.Repeat("../", 3<<10),
		"*", "%2a", "%25", "null", "undefined", "true", "0", "-1", "NaN", "[]", "%5b%5d", "%27%20OR%20%271%27=%271", "1;DROP%20TABLE%20tokens", "$%7bjndi:ldap://x%7d", "%3cscript%3e",
		identity.Mint(principal.Org).Secret, "sp_org_", "local%00", "%", "%zz", "%u0041", "a%",
	}
}

// What is no id and no name names nothing, on every route that takes one: whoever
// asks is told so, is not sent elsewhere, and nothing happens.
func TestOddIDs(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "in-all")
	token := newToken(t, s, "/orgs/"+h.ID)
	real := strings.NewReplacer("{org}", h.ID, "{free-org}", h.ID, "{workspace}", h.ws.ID, "{free-workspace}", h.ws.ID,
		"{free-org-token}", token.ID, "{free-workspace-token}", token.ID)
	state := func() string {
		return s.Do(t, "GET", "/orgs/"+h.ID+"/tokens", h.token, "").Body + s.Do(t, "GET", "/workspaces", h.token, "").Body + s.Do(t, "GET", "/orgs", s.AdminToken, "").Body
	}
	before, tried := state(), 0
	for _, r := range accesses {
		as := h.token
		if r.scope == "none" {
			as = s.AdminToken
		}
		for _, parameter := range parameters {
			if !strings.Contains(r.path, parameter) {
				continue
			}
			id, name := real.Replace(parameter), "build"
			if strings.Contains(parameter, "org}") {
				name = "in-all"
			}
			for _, odd := range oddIDs(id, name) {
				if odd == name {
					continue // there was nothing in it to be changed
				}
				path := real.Replace(strings.Replace(r.path, parameter, odd, 1))
				what := fmt.Sprintf("%s %.120s", r.method, path)
				if _, err := url.ParseRequestURI(path); err != nil {
					continue // net/http refuses what is no path at all by itself
				}
				a := exchange(t, s, r.method, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
					r.method, path, as, len(r.jsonBody()), r.jsonBody()))
				tried++
				wantMarks(t, what, a)
				if code := a.Code(); a.Status != 404 || code != "not_found" && code != "workspace_not_found" || a.Header.Get("X-Forged") != "" {
					t.Errorf("%s: %d %.200s", what, a.Status, a.Body)
				}
			}
		}
	}
	if tried < 1000 {
		t.Errorf("%d were tried", tried)
	}
	if after := state(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	if rows := rowsAt(t, s, h.token, "/orgs/"+h.ID+"/activity"); len(rows) != 4 { // as its home and the token were made
		t.Errorf("rows %s", quote(rows))
	}
}

// foreignID is what stands for a record that isn't the caller's, beside one that
// there isn't.
type foreignID struct{ parameter, theirs, absent string }

// What is another's is answered as what doesn't exist, to the byte: on every route,
// by id and by name, to a token of another organisation and to one of another
// workspace.
func TestForeignIDs(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	mine, theirs := newHome(t, s, "mine"), newHome(t, s, "theirs")
	prod := newWorkspace(t, s, theirs.ID, "prod", 4, true)
	sibling := newWorkspace(t, s, mine.ID, "sibling", 4, true)
	orgToken, wsToken := newToken(t, s, "/orgs/theirs"), newToken(t, s, "/workspaces/"+prod.ID)
	ownOrgToken, siblingToken := newToken(t, s, "/orgs/mine"), newToken(t, s, "/workspaces/"+sibling.ID)
	all := []foreignID{
		{"{org}", theirs.ID, nobody()}, {"{org}", "theirs", "nowhere"}, {"{free-org}", theirs.ID, nobody()}, {"{free-org}", "theirs", "nowhere"},
		{"{workspace}", prod.ID, nobody()}, {"{workspace}", "prod", "none"}, {"{free-workspace}", prod.ID, nobody()}, {"{free-workspace}", "prod", "none"},
		{"{free-org-token}", orgToken.ID, nobody()}, {"{free-org-token}", wsToken.ID, nobody()}, {"{free-org-token}", siblingToken.ID, nobody()}, {"{free-org-token}", orgToken.Prefix, "sp_org_00000000"},
		{"{free-workspace-token}", wsToken.ID, nobody()}, {"{free-workspace-token}", ownOrgToken.ID, nobody()}, {"{free-workspace-token}", siblingToken.ID, nobody()},
	}
	narrow := newToken(t, s, "/workspaces/"+mine.ws.ID, sallyport.AllScopes()...).Secret
	ofSibling := []foreignID{{"{workspace}", sibling.ID, nobody()}, {"{workspace}", "sibling", "none"}, {"{free-workspace}", sibling.ID, nobody()}}
	real := strings.NewReplacer("{org}", mine.ID, "{free-org}", mine.ID, "{workspace}", mine.ws.ID, "{free-workspace}", mine.ws.ID, "{name}", "new", "{as-admin}", "")
	compare := func(token string, id foreignID) {
		t.Helper()
		for _, r := range accesses {
			if !strings.Contains(r.path, id.parameter) {
				continue
			}
			for _, query := range []string{"", "?org=theirs", "?org=" + theirs.ID} {
				ask := func(id, parameter string) (a stack.Answer, what string) {
					path := real.Replace(strings.Replace(r.path, parameter, id, 1)) + query
					return s.Do(t, r.method, path, token, real.Replace(r.body)), r.method + " " + path
				}
				got, what := ask(id.theirs, id.parameter)
				want, _ := ask(id.absent, id.parameter)
				if dump(got) != dump(want) || got.Status < 400 {
					t.Errorf("%s: got %s, want %s", what, dump(got), dump(want))
				}
			}
		}
	}
	for _, id := range all {
		compare(mine.token, id)
	}
	for _, id := range ofSibling {
		compare(narrow, id)
	}
	a := s.Do(t, "POST", "/workspaces", mine.token, `{"name":"new","org_id":"theirs"}`)
	if want := s.Do(t, "POST", "/workspaces", mine.token, `{"name":"new","org_id":"nowhere"}`); dump(a) != dump(want) || a.Status != 404 {
		t.Errorf("a workspace of another's: %s, want %s", dump(a), dump(want))
	}
	for _, path := range []string{"/workspaces/" + prod.ID, "/workspaces/" + sibling.ID, "/orgs/theirs"} {
		wantAnswer(t, path, s.Do(t, "GET", path, s.AdminToken, ""), 200, "")
	}
	for _, token := range []sallyport.Token{orgToken, wsToken, ownOrgToken, siblingToken} {
		wantAnswer(t, "a token that was to be revoked", s.Do(t, "GET", "/session", token.Secret, ""), 200, "")
	}
}

// A cursor of another's list is as good as one made up.
func TestForeignCursors(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	mine, theirs := newHome(t, s, "mine"), newHome(t, s, "theirs")
	for _, h := range []home{mine, theirs} {
		newWorkspace(t, s, h.ID, "second", 2, false)
		newToken(t, s, "/orgs/"+h.ID)
		newToken(t, s, "/workspaces/"+h.ws.ID)
		newToken(t, s, "/workspaces/"+h.ws.ID)
	}
	lists := func(h home) []string {
		return []string{"/workspaces", "/orgs/" + h.ID + "/tokens", "/workspaces/" + h.ws.ID + "/tokens", "/orgs/" + h.ID + "/activity", "/workspaces/" + h.ws.ID + "/activity"}
	}
	for i, path := range lists(theirs) {
		foreign := list[struct{}](t, s, theirs.token, path+"?limit=1").NextCursor
		if foreign == "" {
			t.Fatalf("%s has one page", path)
		}
		path = lists(mine)[i]
		own := list[struct{}](t, s, mine.token, path+"?limit=1").NextCursor
		wantAnswer(t, path+" with its own cursor", s.Do(t, "GET", path+"?cursor="+own, mine.token, ""), 200, "")
		want := s.Do(t, "GET", path+"?cursor=AAAAAAAAAAAAAAAAAAAAAA", mine.token, "")
		wantAnswer(t, path+" with a cursor that was made up", want, 400, "invalid_cursor")
		for _, cursor := range []string{foreign, strings.ToLower(foreign), url.QueryEscape(foreign + "\x00"), foreign + own, long(10 << 10)} {
			if got := s.Do(t, "GET", path+"?cursor="+cursor, mine.token, ""); dump(got) != dump(want) {
				t.Errorf("%s with %.60s: got %s, want %s", path, cursor, dump(got), dump(want))
			}
		}
	}
}

// The id of another's event is one that there isn't: a reader that names it begins
// with what comes next of its own, and the answer tells nothing else.
func TestForeignEventIDs(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, s *stack.Stack, h home, read transport) {
		theirs := newHome(t, s, h.Name+"-theirs")
		run := func(h home) { s.Do(t, "POST", "/workspaces/"+h.ws.ID+"/exec", h.token, `{"cmd":["true"]}`) }
		for range 5 {
			run(theirs)
		}
		row := rowsAt(t, s, theirs.token, "/orgs/"+theirs.ID+"/activity?type=workspace_exec")[0]
		var readers []*events
		for _, id := range []string{fmt.Sprint(row.Seq), row.ID, theirs.ID, "4711", ""} {
			readers = append(readers, read(t, s, "/orgs/"+h.ID+"/events", h.token, id))
		}
		run(h)
		run(theirs)
		for i, e := range readers {
			if got := e.seqsOf(t, 2); got[0] != 4 || got[1] != 5 {
				t.Errorf("reader %d: events %v", i, got)
			}
		}
		// What came to the others' log would be here by now.
		quiet := time.After(100 * time.Millisecond)
		for i, e := range readers {
			select {
			case row := <-e.rows:
				t.Errorf("reader %d: one more event: %s", i, quote(row))
			case <-quiet:
				return
			}
		}
	})
}
