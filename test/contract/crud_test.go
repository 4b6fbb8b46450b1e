package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// badNames are no names of organisations and workspaces, in JSON.
func badNames() []string {
	return []string{
		`null`, `""`, `1`, `true`, `["a"]`, `{}`, `"-a"`, `"A"`, `"a_b"`, `"a.b"`, `"a b"`, `" a"`, `"a/b"`, `"é"`, `"a\n"`, `"a\u0000"`, `"*"`,
		quote(long(64)), quote(nobody()), quote("00000000-0000-0000-0000-000000000000"),
	}
}

// goodNames are names at the borders of what is allowed. The last look like ids at
// a first glance alone.
func goodNames() []string {
	without := strings.ReplaceAll(nobody(), "-", "")
	return []string{"a", "0", "a-", "0--0", long(63), without, nobody() + "0", without[:31] + "-"}
}

// bad is a body that is refused.
type bad struct{ body, code string }

// badBodies are refused wherever a body is read.
var badBodies = []bad{
	{``, "invalid_json"}, {`x`, "invalid_json"}, {`null`, "invalid_json"}, {`[]`, "invalid_json"}, {`"a"`, "invalid_json"},
	{`{"name":"a"`, "invalid_json"}, {`{"name":"a"} x`, "invalid_json"}, {`{"name":"a","name":"b"}`, "invalid_json"},
	{"{\"name\":\"\xff\"}", "invalid_json"}, {`{"name":"\ud800"}`, "invalid_json"},
	{`{"name":"a","bogus":1}`, "unknown_field"}, {`{"name":"a","bogus":null}`, "unknown_field"}, {`{"Name":"a"}`, "unknown_field"},
	{`{"name":"a","id":"00000000-0000-7000-8000-000000000000"}`, "unknown_field"},
}

func namesRefused(format string) (all []bad) {
	for _, name := range badNames() {
		all = append(all, bad{fmt.Sprintf(format, name), "invalid_name"})
	}
	return all
}

// labelsRefused are values of labels that are refused.
func labelsRefused() []string {
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf(`"l%d":""`, i)
	}
	return []string{
		`[]`, `"a=b"`, `1`, `true`, `{"a":1}`, `{"a":true}`, `{"a":["b"]}`, `{"a":{}}`, `{"":"b"}`, `{"a":"\n"}`, `{"a\u0000":""}`,
		`{"` + long(64) + `":""}`, `{"a":"` + long(257) + `"}`, `{` + strings.Join(many, ",") + `}`,
	}
}

var (
	tiersRefused        = []string{`0`, `5`, `-1`, `1.0`, `2.5`, `1e0`, `"2"`, `true`, `[]`, `99999999999999999999`}
	forwardAllowRefused = []string{`"loopback:*"`, `1`, `{}`, `true`, `[1]`, `[null]`, `[""]`, `["loopback"]`, `["*:80"]`, `["::1:80"]`, `["a:0"]`, `["a:2-1"]`}
	connectorsRefused   = []string{`"local"`, `1`, `[]`, `true`, `{}`, `{"type":null}`, `{"type":""}`, `{"type":1}`, `{"type":"telnet"}`, `{"type":"LOCAL"}`}
)

// workspacesRefused are bodies for POST and PATCH; format takes the one field.
func workspacesRefused(format string) (all []bad) {
	for field, values := range map[string][]string{"tier": tiersRefused, "labels": labelsRefused(), "connector": connectorsRefused, "forward_allow": forwardAllowRefused, "record_terminals": {`"yes"`, `1`, `[]`, `{}`}} {
		for _, value := range values {
			all = append(all, bad{fmt.Sprintf(format, `"`+field+`":`+value), "invalid_" + field})
		}
	}
	return append(all,
		bad{fmt.Sprintf(format, `"connector":{"type":"local","host":"x"}`), "unknown_field"},
		bad{fmt.Sprintf(format, `"labels":{"a":"1","a":"2"}`), "invalid_json"})
}

// refuseAll sends bodies that must be refused.
func refuseAll(t *testing.T, s *stack.Stack, method, path, token string, bodies []bad) {
	t.Helper()
	for _, b := range bodies {
		a := s.Do(t, method, path, token, b.body)
		wantAnswer(t, fmt.Sprintf("%s %s %.100s", method, path, b.body), a, 400, b.code)
	}
	a := s.Do(t, method, path, token, `{"name":"`+long(2<<20)+`"}`)
	wantAnswer(t, method+" "+path+" with a large body", a, 413, "body_too_large")
	req := s.Request(t, method, path, token, `{}`)
	req.Header.Set("Content-Encoding", "gzip")
	wantAnswer(t, method+" "+path+" with an encoding", s.Send(t, req), 415, "unsupported_media_type")
}

// Every bad field of every body has its code, and makes or changes nothing.
func TestBodiesThatAreRefused(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	org, ws := "/orgs/"+h.ID, "/workspaces/"+h.ws.ID
	state := func() string {
		var all strings.Builder
		for _, path := range []string{"/orgs", org, org + "/tokens", "/workspaces", ws, ws + "/tokens", "/activity"} {
			all.WriteString(s.Do(t, "GET", path, s.AdminToken, "").Body)
		}
		return all.String()
	}
	before := state()
	tokens := slices.Concat(badBodies, tokensRefused())
	for _, r := range []struct {
		method, path, token string
		bodies              []bad
	}{
		{"POST", "/orgs", s.AdminToken, slices.Concat(badBodies, namesRefused(`{"name":%s}`), []bad{{`{}`, "invalid_name"}})},
		{"PATCH", org, s.AdminToken, slices.Concat(badBodies, namesRefused(`{"name":%s}`))},
		{"POST", org + "/tokens", h.token, tokens},
		{"POST", ws + "/tokens", h.token, tokens},
		{"POST", "/workspaces", h.token, slices.Concat(badBodies, namesRefused(`{"name":%s}`), workspacesRefused(`{"name":"b",%s}`), []bad{{`{}`, "invalid_name"}, {`{"name":"b","org_id":1}`, "invalid_org_id"}})},
		{"PATCH", ws, h.token, slices.Concat(badBodies, namesRefused(`{"name":%s}`), workspacesRefused(`{%s}`), []bad{{`{"tier":null}`, "invalid_tier"}, {`{"org_id":"a"}`, "unknown_field"}})},
	} {
		refuseAll(t, s, r.method, r.path, r.token, r.bodies)
	}
	wantAnswer(t, "the admin names no organisation", s.Do(t, "POST", "/workspaces", s.AdminToken, `{"name":"b"}`), 400, "invalid_org_id")
	wantAnswer(t, "no such organisation", s.Do(t, "POST", "/workspaces", s.AdminToken, `{"name":"b","org_id":"none"}`), 404, "not_found")
	if after := state(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

func tokensRefused() (all []bad) {
	for _, name := range []string{`null`, `""`, `1`, `["a"]`, quote(long(101)), quote(strings.Repeat("é", 101)), `"a\n"`, `"\u0000"`} {
		all = append(all, bad{`{"name":` + name + `}`, "invalid_name"})
	}
	for _, scopes := range []string{`"exec"`, `[]`, `[1]`, `[null]`, `{}`, `true`, `["all"]`, `["exec","Exec"]`, `["exec "]`, `[""]`, `["files"]`, `["*"]`} {
		all = append(all, bad{`{"name":"t","scopes":` + scopes + `}`, "invalid_scopes"})
	}
	for _, life := range []string{`0`, `-1`, `1.5`, `1e3`, `"60"`, `true`, `[]`, `99999999999999999999`} {
		all = append(all, bad{`{"name":"t","expires_in_s":` + life + `}`, "invalid_expires_in_s"})
	}
	return append(all, bad{`{}`, "invalid_name"}, bad{`{"name":"t","token":"x"}`, "unknown_field"})
}

// Names at the borders are taken, and each names what it was given to, as the id
// does.
func TestNames(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "home")
	for _, name := range goodNames() {
		org := newOrg(t, s, name)
		for _, ref := range []string{name, org.ID} {
			var got sallyport.Org
			if get(t, s, s.AdminToken, "/orgs/"+ref, &got); got != org {
				t.Errorf("%s: got %+v, want %+v", ref, got, org)
			}
		}
		ws := newWorkspace(t, s, h.ID, name, 2, false)
		for _, by := range []struct{ token, query string }{{h.token, ""}, {h.token, "?org=home"}, {s.AdminToken, "?org=home"}, {s.AdminToken, "?org=" + h.ID}} {
			for _, ref := range []string{name, ws.ID} {
				var got sallyport.Workspace
				if get(t, s, by.token, "/workspaces/"+ref+by.query, &got); quote(got) != quote(ws) {
					t.Errorf("%s%s: got %s, want %s", ref, by.query, quote(got), quote(ws))
				}
			}
		}
	}
	newWorkspace(t, s, newOrg(t, s, "other").ID, "there", 2, false)
	tests := []struct{ what, token, path, code string }{
		{"a name without an organisation is nothing to the admin", s.AdminToken, "/workspaces/build", "workspace_not_found"},
		{"an organisation that isn't", s.AdminToken, "/workspaces/build?org=none", "workspace_not_found"},
		{"a workspace of another organisation", s.AdminToken, "/workspaces/there?org=home", "workspace_not_found"},
		{"an id within another organisation", s.AdminToken, "/workspaces/" + h.ws.ID + "?org=other", "workspace_not_found"},
		{"another organisation", h.token, "/workspaces/there?org=other", "workspace_not_found"},
		{"one's own with another organisation's name", h.token, "/workspaces/build?org=other", "workspace_not_found"},
		{"an id in capitals", h.token, "/workspaces/" + strings.ToUpper(h.ws.ID), "workspace_not_found"},
		{"an id without its lines", h.token, "/workspaces/" + strings.ReplaceAll(h.ws.ID, "-", ""), "workspace_not_found"},
		{"a name in capitals", h.token, "/workspaces/BUILD", "workspace_not_found"},
		{"an organisation's id", h.token, "/workspaces/" + h.ID, "workspace_not_found"},
		{"a workspace's id", s.AdminToken, "/orgs/" + h.ws.ID, "not_found"},
		{"nothing known", s.AdminToken, "/orgs/none", "not_found"},
		{"an id of nothing", s.AdminToken, "/orgs/" + nobody(), "not_found"},
	}
	for _, tt := range tests {
		wantAnswer(t, tt.what, s.Do(t, "GET", tt.path, tt.token, ""), 404, tt.code)
	}
}

// A name is in use once: organisations' on the server, workspaces' in their
// organisation. Whoever gives it up leaves it to others.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	a, b := newHome(t, s, "a"), newHome(t, s, "b") // both have a workspace build
	newWorkspace(t, s, a.ID, "two", 2, false)
	steps := []struct {
		method, path, token, body string
		status                    int
		code                      string
	}{
		{"POST", "/orgs", s.AdminToken, `{"name":"a"}`, 409, "name_taken"},
		{"PATCH", "/orgs/a", s.AdminToken, `{"name":"b"}`, 409, "name_taken"},
		{"PATCH", "/orgs/a", s.AdminToken, `{"name":"a"}`, 200, ""},
		{"POST", "/workspaces", a.token, `{"name":"build"}`, 409, "name_taken"},
		{"POST", "/workspaces", s.AdminToken, `{"name":"build","org_id":"a"}`, 409, "name_taken"},
		{"PATCH", "/workspaces/two", a.token, `{"name":"build","tier":4}`, 409, "name_taken"},
		{"PATCH", "/workspaces/build", a.token, `{"name":"build"}`, 200, ""},
		{"POST", "/workspaces", b.token, `{"name":"two"}`, 201, ""},
		{"PATCH", "/workspaces/build", a.token, `{"name":"three"}`, 200, ""},
		{"POST", "/workspaces", a.token, `{"name":"build"}`, 201, ""},
		{"DELETE", "/workspaces/two", a.token, "", 204, ""},
		{"POST", "/workspaces", a.token, `{"name":"two"}`, 201, ""},
		{"PATCH", "/orgs/a", s.AdminToken, `{"name":"c"}`, 200, ""},
		{"GET", "/orgs/a", s.AdminToken, "", 404, "not_found"},
		{"GET", "/workspaces/two?org=c", a.token, "", 200, ""},
		{"POST", "/orgs", s.AdminToken, `{"name":"a"}`, 201, ""},
		{"GET", "/workspaces/two?org=a", a.token, "", 404, "workspace_not_found"},
	}
	for _, r := range steps {
		wantAnswer(t, r.method+" "+r.path+" "+r.body, s.Do(t, r.method, r.path, r.token, r.body), r.status, r.code)
	}
	var two sallyport.Workspace
	if get(t, s, a.token, "/workspaces/two", &two); two.Tier != sallyport.DefaultTier {
		t.Errorf("a patch that was refused left %s", quote(two))
	}
	newToken(t, s, "/orgs/b") // a token's name is for people: several may have it
	newToken(t, s, "/orgs/b")
}

// What is created answers whole, with its defaults, and reads the same ever after.
func TestCreatedWhole(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	const idForm, timeForm = `"id":"ID"`, `"created_at":"TIME"`
	tests := []struct{ path, token, body, want string }{
		{"/orgs", s.AdminToken, `{"name":"b"}`, `{` + idForm + `,"name":"b",` + timeForm + `}`},
		{"/workspaces", h.token, `{"name":"w1"}`,
			`{` + idForm + `,"org_id":"ORG","name":"w1","tier":2,"labels":{},"connector":null,"forward_allow":["loopback:*"],"record_terminals":false,` + timeForm + `,"updated_at":"TIME"}`},
		{"/workspaces", h.token, `{"name":"w2","org_id":null,"tier":null,"labels":null,"connector":null}`,
			`{` + idForm + `,"org_id":"ORG","name":"w2","tier":2,"labels":{},"connector":null,"forward_allow":["loopback:*"],"record_terminals":false,` + timeForm + `,"updated_at":"TIME"}`},
		{"/workspaces", h.token, `{"name":"w3","org_id":"a","tier":1,"labels":{"a":"<b>&","é":""},"connector":{"type":"local"}}`,
			`{` + idForm + `,"org_id":"ORG","name":"w3","tier":1,"labels":{"a":"<b>&","é":""},"connector":{"type":"local"},"forward_allow":["loopback:*"],"record_terminals":false,` + timeForm + `,"updated_at":"TIME"}`},
		{"/workspaces", s.AdminToken, `{"name":"w4","org_id":"` + h.ID + `","tier":4}`,
			`{` + idForm + `,"org_id":"ORG","name":"w4","tier":4,"labels":{},"connector":null,"forward_allow":["loopback:*"],"record_terminals":false,` + timeForm + `,"updated_at":"TIME"}`},
	}
	for _, tt := range tests {
		before := time.Now().Add(-time.Millisecond)
		a := s.Do(t, "POST", tt.path, tt.token, tt.body)
		var made struct {
			ID        string
			CreatedAt time.Time `json:"created_at"`
		}
		a.Decode(t, &made)
		stamp, _ := made.CreatedAt.MarshalJSON()
		got := strings.NewReplacer(made.ID, "ID", h.ID, "ORG", strings.Trim(string(stamp), `"`), "TIME").Replace(strings.TrimSpace(a.Body))
		if a.Status != 201 || got != tt.want || made.CreatedAt.Before(before) || made.CreatedAt.Location() != time.UTC || made.ID[14] != '7' {
			t.Errorf("%s: got %d %s, want %s", tt.body, a.Status, got, tt.want)
		}
		if again := s.Do(t, "GET", tt.path+"/"+made.ID, s.AdminToken, ""); again.Status != 200 || again.Body != a.Body {
			t.Errorf("created as %s, read as %s", a.Body, again.Body)
		}
	}
}

// PATCH is a JSON merge patch: what isn't named stays, null takes away.
func TestPatch(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	steps := []struct{ patch, want string }{
		{`{}`, `"name":"build","tier":4,"labels":{},"connector":{"type":"local"}`},
		{`{"labels":{"a":"1","b":"2"}}`, `"name":"build","tier":4,"labels":{"a":"1","b":"2"},"connector":{"type":"local"}`},
		{`{"labels":{"b":"3","c":""}}`, `"name":"build","tier":4,"labels":{"a":"1","b":"3","c":""},"connector":{"type":"local"}`},
		{`{"labels":{"a":null,"none":null}}`, `"name":"build","tier":4,"labels":{"b":"3","c":""},"connector":{"type":"local"}`},
		{`{"labels":{}}`, `"name":"build","tier":4,"labels":{"b":"3","c":""},"connector":{"type":"local"}`},
		{`{"tier":1}`, `"name":"build","tier":1,"labels":{"b":"3","c":""},"connector":{"type":"local"}`},
		{`{"connector":null}`, `"name":"build","tier":1,"labels":{"b":"3","c":""},"connector":null`},
		{`{"name":"test","tier":3,"labels":null,"connector":{"type":"local"}}`, `"name":"test","tier":3,"labels":{},"connector":{"type":"local"}`},
		{`{"labels":{"x":"y"}}`, `"name":"test","tier":3,"labels":{"x":"y"},"connector":{"type":"local"}`},
		{`{"forward_allow":["db.internal:5432","[::1]:1-9"]}`, `"connector":{"type":"local"},"forward_allow":["db.internal:5432","[::1]:1-9"],"record_terminals":false,"created_at"`},
		{`{"forward_allow":[]}`, `"connector":{"type":"local"},"forward_allow":[],"record_terminals":false,"created_at"`},
		{`{"forward_allow":null}`, `"connector":{"type":"local"},"forward_allow":["loopback:*"],"record_terminals":false,"created_at"`},
		{`{"record_terminals":true}`, `"forward_allow":["loopback:*"],"record_terminals":true,"created_at"`},
		{`{"record_terminals":null}`, `"forward_allow":["loopback:*"],"record_terminals":false,"created_at"`},
	}
	wantAnswer(t, "without a root of its own", s.Do(t, "PATCH", "/workspaces/"+h.ws.ID, h.token, `{"connector":{"type":"local","root":null}}`), 200, "")
	last := h.ws.UpdatedAt
	for _, step := range steps {
		a := s.Do(t, "PATCH", "/workspaces/"+h.ws.ID, h.token, step.patch)
		var ws sallyport.Workspace
		a.Decode(t, &ws)
		if a.Status != 200 || !strings.Contains(a.Body, step.want) || ws.ID != h.ws.ID || ws.OrgID != h.ID || !ws.CreatedAt.Equal(h.ws.CreatedAt) || ws.UpdatedAt.Before(last) {
			t.Errorf("%s: got %d %s, want %s", step.patch, a.Status, a.Body, step.want)
		}
		if read := s.Do(t, "GET", "/workspaces/"+h.ws.ID, h.token, ""); read.Body != a.Body {
			t.Errorf("%s: answered %s, read %s", step.patch, a.Body, read.Body)
		}
		last = ws.UpdatedAt
	}
	a := s.Do(t, "PATCH", "/orgs/a", s.AdminToken, `{}`)
	if want := s.Do(t, "GET", "/orgs/"+h.ID, s.AdminToken, ""); a.Status != 200 || a.Body != want.Body {
		t.Errorf("an empty patch: %d %s", a.Status, a.Body)
	}
	// What a patch changes counts from the next exec on.
	wantAnswer(t, "exec by the new name", s.Do(t, "POST", "/workspaces/test/exec", h.token, `{"cmd":["true"]}`), 200, "")
	wantAnswer(t, "tier", s.Do(t, "PATCH", "/workspaces/test", h.token, `{"tier":2}`), 200, "")
	wantAnswer(t, "exec below the tier", s.Do(t, "POST", "/workspaces/test/exec", h.token, `{"cmd":["true"]}`), 403, "exec_tier_forbidden")
	wantAnswer(t, "connector", s.Do(t, "PATCH", "/workspaces/test", h.token, `{"connector":null,"tier":4}`), 200, "")
	wantAnswer(t, "without a host", s.Do(t, "POST", "/workspaces/test/exec", h.token, `{"cmd":["true"]}`), 400, "workspace_has_no_host")
}

// What is deleted is gone for everybody, with all that belonged to it alone, and
// what happened stays on record.
func TestDelete(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	a, b := newHome(t, s, "a"), newHome(t, s, "b")
	ws := newToken(t, s, "/workspaces/"+a.ws.ID)
	steps := []struct {
		method, path, token string
		status              int
		code                string
	}{
		{"DELETE", "/orgs/a", s.AdminToken, 409, "org_not_empty"},
		{"GET", "/session", a.token, 200, ""},
		{"DELETE", "/workspaces/build", a.token, 204, ""},
		{"DELETE", "/workspaces/" + a.ws.ID, a.token, 404, "workspace_not_found"},
		{"PATCH", "/workspaces/" + a.ws.ID, a.token, 404, "workspace_not_found"},
		{"GET", "/workspaces/build", a.token, 404, "workspace_not_found"},
		{"GET", "/workspaces/" + a.ws.ID, s.AdminToken, 404, "workspace_not_found"},
		{"GET", "/workspaces/" + a.ws.ID + "/tokens", a.token, 404, "workspace_not_found"},
		{"GET", "/session", ws.Secret, 401, "unauthenticated"},
		{"GET", "/workspaces/build", b.token, 200, ""},
		{"DELETE", "/orgs/a", s.AdminToken, 204, ""},
		{"DELETE", "/orgs/a", s.AdminToken, 404, "not_found"},
		{"GET", "/orgs/" + a.ID, s.AdminToken, 404, "not_found"},
		{"GET", "/orgs/" + a.ID + "/activity", s.AdminToken, 404, "not_found"},
		{"GET", "/session", a.token, 401, "unauthenticated"},
		{"GET", "/session", b.token, 200, ""},
	}
	for _, r := range steps {
		body := ""
		if r.method == "PATCH" {
			body = "{}"
		}
		got := s.Do(t, r.method, r.path, r.token, body)
		wantAnswer(t, r.method+" "+r.path, got, r.status, r.code)
		if r.status == 204 && got.Body != "" {
			t.Errorf("%s: a body %q", r.path, got.Body)
		}
	}
	for _, org := range list[sallyport.Org](t, s, s.AdminToken, "/orgs").Items {
		if org.ID == a.ID {
			t.Error("a deleted organisation is in the list")
		}
	}
	var kinds []string
	for _, row := range rowsAt(t, s, s.AdminToken, "/activity?limit=500") {
		if row.OrgID == a.ID {
			kinds = append(kinds, row.Type)
		}
	}
	want := []string{"org_deleted", "workspace_deleted", "token_created", "workspace_created", "token_created", "org_created"}
	if !slices.Equal(kinds, want) {
		t.Errorf("rows %q, want %q", kinds, want)
	}
	newOrg(t, s, "a") // its name is free, and its tokens don't come back with it
	wantAnswer(t, "a token of the old one", s.Do(t, "GET", "/session", a.token, ""), http.StatusUnauthorized, "unauthenticated")
}

// A new token has what was asked for, or the defaults, and its secret once: no
// answer ever shows it again.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	org, ws := "/orgs/"+h.ID+"/tokens", "/workspaces/"+h.ws.ID+"/tokens"
	defaults := sallyport.DefaultScopes()
	tests := []struct {
		body   string
		name   string
		scopes []sallyport.Scope
		life   time.Duration
	}{
		{`{"name":"t"}`, "t", defaults, 0},
		{`{"name":"t","scopes":null,"expires_in_s":null}`, "t", defaults, 0},
		{`{"name":"CI, for <all> ☂ of us","scopes":["tokens","exec"]}`, "CI, for <all> ☂ of us", []sallyport.Scope{"exec", "tokens"}, 0},
		{`{"name":"` + strings.Repeat("é", 100) + `","scopes":["exec","exec"],"expires_in_s":1000}`, strings.Repeat("é", 100), []sallyport.Scope{"exec"}, 1000 * time.Second},
		{`{"name":"` + nobody()[:8] + `","expires_in_s":86400}`, "", defaults, 24 * time.Hour},
	}
	var secrets []string
	for _, path := range []string{org, ws} {
		for i, tt := range tests {
			a := s.Do(t, "POST", path, h.token, tt.body)
			var made sallyport.Token
			a.Decode(t, &made)
			kind, workspace := "sp_org_", ""
			if path == ws {
				kind, workspace = "sp_ws_", h.ws.ID
			}
			if a.Status != 201 || (tt.name != "" && made.Name != tt.name) || !slices.Equal(made.Scopes, tt.scopes) || made.OrgID != h.ID || made.WorkspaceID != workspace {
				t.Errorf("%s: got %d %s", tt.body, a.Status, a.Body)
			}
			if !strings.HasPrefix(made.Secret, kind) || made.Prefix == "" || !strings.HasPrefix(made.Secret, made.Prefix) || len(made.Secret)-len(made.Prefix) < 32 {
				t.Errorf("secret %d characters, prefix %q", len(made.Secret), made.Prefix)
			}
			if (tt.life == 0) != (made.ExpiresAt == nil) || (tt.life > 0 && made.ExpiresAt.Sub(made.CreatedAt) != tt.life) {
				t.Errorf("%s: expires at %v", tt.body, made.ExpiresAt)
			}
			secrets = append(secrets, made.Secret)
			made.Secret = ""
			page := list[sallyport.Token](t, s, h.token, path+"?limit=500")
			if last := page.Items[len(page.Items)-1]; quote(last) != quote(made) || !strings.Contains(a.Body, `"expires_at":`) {
				t.Errorf("created as %s, listed as %s", quote(made), quote(last))
			}
			// The organisation's list holds, before these, the one it was given at first.
			if want := i + 1 + map[string]int{org: 1}[path]; len(page.Items) != want {
				t.Errorf("%s: %d tokens, want %d", path, len(page.Items), want)
			}
		}
	}
	for _, path := range []string{org, ws, "/orgs/a", "/orgs", "/workspaces", "/workspaces/" + h.ws.ID, "/activity?limit=500"} {
		body := s.Do(t, "GET", path, s.AdminToken, "").Body
		for _, secret := range secrets {
			if strings.Contains(body, secret) || strings.Contains(body, secret[len("sp_org_")+8:]) || strings.Contains(body, `"token":`) {
				t.Errorf("%s shows a secret", path)
			}
		}
	}
}

// A token is revoked by its id, where it belongs, once.
func TestRevoke(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	a, b := newHome(t, s, "a"), newHome(t, s, "b")
	org, ws := newToken(t, s, "/orgs/a"), newToken(t, s, "/workspaces/"+a.ws.ID)
	for _, path := range []string{
		"/orgs/a/tokens/" + ws.ID, "/workspaces/build/tokens/" + org.ID, "/orgs/a/tokens/" + org.Prefix, "/orgs/a/tokens/" + org.Name,
		"/orgs/a/tokens/" + nobody(), "/orgs/a/tokens/" + strings.ToUpper(org.ID),
	} {
		wantAnswer(t, path, s.Do(t, "DELETE", path, a.token, ""), 404, "not_found")
	}
	wantAnswer(t, "of another", s.Do(t, "DELETE", "/orgs/b/tokens/"+org.ID, b.token, ""), 404, "not_found")
	for path, token := range map[string]sallyport.Token{"/orgs/" + a.ID + "/tokens": org, "/workspaces/build/tokens": ws} {
		wantAnswer(t, "before", s.Do(t, "GET", "/session", token.Secret, ""), 200, "")
		wantAnswer(t, "revoke", s.Do(t, "DELETE", path+"/"+token.ID, a.token, ""), 204, "")
		wantAnswer(t, "after", s.Do(t, "GET", "/session", token.Secret, ""), 401, "unauthenticated")
		wantAnswer(t, "again", s.Do(t, "DELETE", path+"/"+token.ID, a.token, ""), 404, "not_found")
		for _, left := range list[sallyport.Token](t, s, a.token, path).Items {
			if left.ID == token.ID {
				t.Errorf("%s still lists it", path)
			}
		}
	}
	// Nobody gives what they haven't, also not by leaving the scopes to the default.
	maker := newToken(t, s, "/orgs/a", "tokens", "exec").Secret
	for body, status := range map[string]int{`{"name":"t"}`: 403, `{"name":"t","scopes":["exec","files:read"]}`: 403, `{"name":"t","scopes":["exec","tokens"]}`: 201} {
		code := map[int]string{403: "scope_forbidden"}[status]
		wantAnswer(t, body, s.Do(t, "POST", "/orgs/a/tokens", maker, body), status, code)
		wantAnswer(t, body, s.Do(t, "POST", "/workspaces/build/tokens", maker, body), status, code)
	}
}

// A list is walked page by page, to the same end whatever the pages' size, and
// takes no other list's cursor.
func TestLists(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	other := newWorkspace(t, s, h.ID, "w", 2, false)
	for i := range 4 {
		newOrg(t, s, fmt.Sprintf("o%d", i))
		newWorkspace(t, s, h.ID, fmt.Sprintf("w%d", i), 2, false)
		newToken(t, s, "/orgs/a")
		newToken(t, s, "/workspaces/"+h.ws.ID)
		newToken(t, s, "/workspaces/"+other.ID)
	}
	joined := func(path string) string {
		return path + map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
	}
	cursors := map[string]string{} // of the first page, by path
	paths := []string{"/orgs", "/workspaces", "/workspaces?org=a", "/orgs/a/tokens", "/workspaces/" + h.ws.ID + "/tokens",
		"/workspaces/" + other.ID + "/tokens", "/activity", "/orgs/a/activity", "/workspaces/" + h.ws.ID + "/activity?"}
	for _, path := range paths {
		join := joined(path)
		whole := list[map[string]any](t, s, s.AdminToken, path)
		if whole.NextCursor != "" || len(whole.Items) < 2 {
			t.Errorf("%s: %d items, cursor %q", path, len(whole.Items), whole.NextCursor)
		}
		for size := 1; size <= len(whole.Items)+1; size++ {
			var walked []map[string]any
			for cursor, more := "", true; more; more = cursor != "" {
				page := list[map[string]any](t, s, s.AdminToken, fmt.Sprintf("%slimit=%d&cursor=%s", join, size, cursor))
				walked, cursor = append(walked, page.Items...), page.NextCursor
				if size == 1 && cursors[path] == "" {
					cursors[path] = cursor
				}
			}
			if quote(walked) != quote(whole.Items) {
				t.Errorf("%s in pages of %d: %s, want %s", path, size, quote(walked), quote(whole.Items))
			}
		}
		for _, limit := range []string{"0", "-1", "1.5", "x", "1e2", "%20", "-99999999999999999999"} {
			wantAnswer(t, path+" limit "+limit, s.Do(t, "GET", join+"limit="+limit, s.AdminToken, ""), 400, "invalid_limit")
		}
		for _, cursor := range []string{"x", "0", "AAAAAAAAAAAAAAAAAAAAAA", "!", "%00", "=", cursors[path] + "A", cursors[path] + "%3D", cursors[path][1:], long(5000)} {
			wantAnswer(t, path+" cursor "+cursor, s.Do(t, "GET", join+"cursor="+cursor, s.AdminToken, ""), 400, "invalid_cursor")
		}
	}
	for path, cursor := range cursors {
		for _, of := range paths {
			if of != path {
				wantAnswer(t, of+" by a cursor of "+path, s.Do(t, "GET", joined(of)+"cursor="+cursor, s.AdminToken, ""), 400, "invalid_cursor")
			}
		}
	}
}
