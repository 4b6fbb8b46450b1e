package contract

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// act is one thing that leaves a row, and what the row then holds.
type act struct {
	kind   string
	status string
	actor  string
	// workspace tells whether the row is a workspace's.
	workspace bool
	summary   string
	// more are keys beside those that every row has.
	more []string
	do   func()
}

// everyKey is what each row holds; client_addr is that of who asked.
var everyKey = []string{"id", "seq", "type", "status", "actor", "org_id", "summary", "created_at", "completed_at", "client_addr"}

// A row of each type holds its fields, rightly filled, and no others.
func TestRowOfEachType(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	org := newOrg(t, s, "a")
	owner := newToken(t, s, "/orgs/a", sallyport.AllScopes()...)
	reader := newToken(t, s, "/orgs/a", "audit:read")
	ws := newWorkspace(t, s, org.ID, "build", 4, true)
	byOwner, byReader := "org-token:"+owner.Prefix, "org-token:"+reader.Prefix
	do := func(method, path, token, body string, status int) func() {
		return func() {
			t.Helper()
			if a := s.Do(t, method, path, token, body); a.Status != status {
				t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
			}
		}
	}
	var made sallyport.Token
	acts := []act{
		{"workspace_updated", "ok", byOwner, true, "workspace build updated: tier", nil, do("PATCH", "/workspaces/build", owner.Secret, `{"tier":3}`, 200)},
		{"token_created", "ok", byOwner, false, "token PREFIX created: one", nil, func() {
			create(t, s, owner.Secret, "/orgs/a/tokens", sallyport.TokenCreate{Name: "one", Scopes: sallyport.AllScopes()}, &made)
		}},
		{"token_revoked", "ok", byOwner, false, "token PREFIX revoked: one", nil, func() { do("DELETE", "/orgs/a/tokens/"+made.ID, owner.Secret, "", 204)() }},
		{"token_created", "ok", byOwner, true, "token PREFIX created: two", nil, func() {
			create(t, s, owner.Secret, "/workspaces/build/tokens", sallyport.TokenCreate{Name: "two", Scopes: sallyport.AllScopes()}, &made)
		}},
		{"workspace_exec", "ok", "workspace-token:PREFIX", true, "true", execKeys("exit_code"), func() { do("POST", "/workspaces/build/exec", made.Secret, `{"cmd":["true"]}`, 200)() }},
		{"workspace_exec", "error", "admin-token", true, `sh -c 'kill -9 $$'`, execKeys("exit_code", "signal"), do("POST", "/workspaces/"+ws.ID+"/exec", s.AdminToken, `{"cmd":["sh","-c","kill -9 $$"]}`, 200)},
		{"workspace_exec", "timeout", byOwner, true, "sleep 600", execKeys("code", "survivors"), do("POST", "/workspaces/build/exec", owner.Secret, `{"cmd":["sleep","600"],"timeout_s":1}`, 504)},
		{"workspace_exec", "error", byOwner, true, "true", []string{"argv", "cwd", "stdin_bytes", "timeout_s", "code"}, do("POST", "/workspaces/build/exec", owner.Secret, `{"cmd":["true"],"cwd":"/no/such"}`, 422)},
		{"access_denied", "denied", byReader, true, "", []string{"code"}, do("POST", "/workspaces/build/exec", reader.Secret, `{"cmd":["true"]}`, 403)},
		{"access_denied", "denied", byReader, false, "", []string{"code"}, do("POST", "/orgs", reader.Secret, `{"name":"b"}`, 403)},
		{"token_revoked", "ok", byOwner, true, "token PREFIX revoked: two", nil, func() { do("DELETE", "/workspaces/build/tokens/"+made.ID, owner.Secret, "", 204)() }},
		{"workspace_deleted", "ok", byOwner, true, "workspace build deleted", nil, do("DELETE", "/workspaces/build", owner.Secret, "", 204)},
		{"workspace_created", "ok", byOwner, true, "workspace next created, tier 2", nil, do("POST", "/workspaces", owner.Secret, `{"name":"next"}`, 201)},
		{"workspace_deleted", "ok", byOwner, true, "workspace next deleted", nil, do("DELETE", "/workspaces/next", owner.Secret, "", 204)},
		{"org_deleted", "ok", "admin-token", false, "organisation a deleted", nil, do("DELETE", "/orgs/a", s.AdminToken, "", 204)},
		{"org_created", "ok", "admin-token", false, "organisation a created", nil, do("POST", "/orgs", s.AdminToken, `{"name":"a"}`, 201)},
	}
	for _, want := range acts {
		before := time.Now().Add(-time.Millisecond)
		want.do()
		page := list[json.RawMessage](t, s, s.AdminToken, "/activity?limit=1")
		want.check(t, page.Items[0], before, strings.NewReplacer("PREFIX", made.Prefix))
	}
}

// execKeys are the keys of an exec that ran, and some more.
func execKeys(more ...string) []string {
	return append(more, "argv", "stdin_bytes", "timeout_s", "duration_ms", "stdout_bytes", "stderr_bytes", "stdout_truncated", "stderr_truncated")
}

func (want act) check(t *testing.T, raw json.RawMessage, before time.Time, prefix *strings.Replacer) {
	t.Helper()
	var row sallyport.Activity
	if err := json.Unmarshal(raw, &row); err != nil {
		t.Fatal(err)
	}
	keys := slices.Concat(everyKey, want.more)
	if want.workspace {
		keys = append(keys, "workspace_id")
	}
	slices.Sort(keys)
	// env_names may be left out, or be an empty list: it applies, and there are none.
	got := slices.DeleteFunc(keysOf(t, raw), func(key string) bool { return key == "env_names" })
	if !slices.Equal(got, keys) {
		t.Errorf("%s: keys %q, want %q", want.kind, got, keys)
	}
	summary := prefix.Replace(want.summary)
	if row.Type != want.kind || row.Status != want.status || row.Actor != prefix.Replace(want.actor) || (summary != "" && row.Summary != summary) || row.Summary == "" {
		t.Errorf("%s: row %s, want %s %q", want.kind, raw, prefix.Replace(want.actor), summary)
	}
	if row.ClientAddr != "127.0.0.1" || row.ID == "" || row.OrgID == "" || row.CreatedAt.Before(before) || row.CompletedAt.Before(row.CreatedAt) {
		t.Errorf("%s: row %s", want.kind, raw)
	}
}

// The summary is one line of at most 200 characters, cut between two.
func TestSummary(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, arg := range []string{
		"a\nb\tc\r\x1b[31m\x7f\u0085", strings.Repeat("é", 250), strings.Repeat("a", 190) + "\n\n\n\n\n\n\n\n\n", strings.Repeat("☂\x01", 100), long(100000),
	} {
		s.Exec(t, `{"cmd":["true",`+quote(arg)+`]}`)
		row := s.Execs(t)[0]
		if n := utf8.RuneCountInString(row.Summary); n > 200 || n < 10 || !utf8.ValidString(row.Summary) || !strings.HasPrefix(row.Summary, "true ") {
			t.Errorf("%.50q: %d characters, %q", arg, n, row.Summary)
		}
		if i := strings.IndexFunc(row.Summary, func(r rune) bool { return r < ' ' || (r >= 0x7f && r < 0xa0) }); i >= 0 {
			t.Errorf("%.50q: a control character in %q", arg, row.Summary)
		}
		if row.Argv[1] != arg {
			t.Errorf("%.50q: the argv is %.50q", arg, row.Argv[1])
		}
	}
}

// Each change takes its organisation's next number; a row shows the last, and
// stands where it was written.
func TestSeq(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h, other := newHome(t, s, "a"), newHome(t, s, "b")
	want := func(when string, rows ...string) {
		t.Helper()
		for _, path := range []string{"/orgs/a/activity", "/activity?limit=500"} {
			var got []string
			for _, row := range rowsAt(t, s, s.AdminToken, path) {
				if row.OrgID == h.ID {
					got = append(got, fmt.Sprint(row.Seq, " ", row.Type, " ", row.Status))
				}
			}
			if !slices.Equal(got, rows) {
				t.Errorf("%s: %s shows %q, want %q", when, path, got, rows)
			}
		}
	}
	made := []string{"3 workspace_created ok", "2 token_created ok", "1 org_created ok"}
	want("made", made...)
	g := newGate(t)
	running := openStream(t, s, "build", h.token, sh("echo up; "+g.wait()))
	running.wantData(t, "stdout", "up\n")
	want("one runs", slices.Concat([]string{"4 workspace_exec running"}, made)...)
	row := rowsAt(t, s, h.token, "/workspaces/build/activity?status=running")[0]
	if row.CompletedAt != nil || row.ExitCode != nil || row.DurationMS != nil || row.StdoutBytes != nil || row.StdoutTruncated != nil {
		t.Errorf("a running row holds %s", quote(row))
	}
	wantAnswer(t, "patch", s.Do(t, "PATCH", "/workspaces/build", h.token, `{"labels":{"a":"b"}}`), 200, "")
	wantAnswer(t, "another's exec", s.Do(t, "POST", "/workspaces/build/exec", other.token, `{"cmd":["true"]}`), 200, "")
	wantAnswer(t, "exec", s.Do(t, "POST", "/workspaces/build/exec", h.token, `{"cmd":["false"]}`), 200, "")
	want("one has ended", slices.Concat([]string{"7 workspace_exec error", "5 workspace_updated ok", "4 workspace_exec running"}, made)...)
	g.open(t)
	running.rest(t)
	want("all have ended", slices.Concat([]string{"7 workspace_exec error", "5 workspace_updated ok", "8 workspace_exec ok"}, made)...)
	wantAnswer(t, "a refusal without a row", s.Do(t, "POST", "/workspaces/build/exec", h.token, `{"cmd":[]}`), 400, "invalid_argv")
	want("refused", slices.Concat([]string{"7 workspace_exec error", "5 workspace_updated ok", "8 workspace_exec ok"}, made)...)
}

// Filters let through what they say, alone and together.
func TestActivityFilters(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	other := newToken(t, s, "/orgs/a")
	ws := newToken(t, s, "/workspaces/"+h.ws.ID)
	for _, r := range []struct{ token, cmd string }{
		{h.token, `["echo","Needle 100%"]`}, {other.Secret, `["false"]`}, {ws.Secret, `["echo","needle_1","a'b\"c"]`}, {s.AdminToken, `["sh","-c","exit 1"]`},
	} {
		wantAnswer(t, r.cmd, s.Do(t, "POST", "/workspaces/"+h.ws.ID+"/exec", r.token, `{"cmd":`+r.cmd+`}`), 200, "")
	}
	s.Do(t, "POST", "/orgs", other.Secret, `{"name":"x"}`)
	all := rowsAt(t, s, h.token, "/orgs/a/activity")
	at := func(row sallyport.Activity, shift time.Duration) string {
		return row.CreatedAt.Add(shift).Format(time.RFC3339Nano)
	}
	middle := all[len(all)/2]
	since := func(from time.Time) func(sallyport.Activity) bool {
		return func(r sallyport.Activity) bool { return !r.CreatedAt.Before(from) }
	}
	until := func(to time.Time) func(sallyport.Activity) bool {
		return func(r sallyport.Activity) bool { return r.CreatedAt.Before(to) }
	}
	holds := func(text string) func(sallyport.Activity) bool {
		return func(r sallyport.Activity) bool { return strings.Contains(r.Summary, text) }
	}
	tests := []struct {
		query []string // names and values by turns
		match func(sallyport.Activity) bool
	}{
		{[]string{"type", "workspace_exec"}, func(r sallyport.Activity) bool { return r.Type == "workspace_exec" }},
		{[]string{"type", "access_denied"}, func(r sallyport.Activity) bool { return r.Type == "access_denied" }},
		{[]string{"type", "none"}, func(sallyport.Activity) bool { return false }},
		{[]string{"type", "workspace"}, func(sallyport.Activity) bool { return false }},
		{[]string{"type", ""}, func(sallyport.Activity) bool { return true }},
		{[]string{"status", "error"}, func(r sallyport.Activity) bool { return r.Status == "error" }},
		{[]string{"status", "denied"}, func(r sallyport.Activity) bool { return r.Status == "denied" }},
		{[]string{"status", "running"}, func(sallyport.Activity) bool { return false }},
		{[]string{"actor", "admin-token"}, func(r sallyport.Activity) bool { return r.Actor == "admin-token" }},
		{[]string{"actor", "org-token:" + other.Prefix}, func(r sallyport.Activity) bool { return r.Actor == "org-token:"+other.Prefix }},
		{[]string{"actor", "workspace-token:" + ws.Prefix}, func(r sallyport.Activity) bool { return r.Actor == "workspace-token:"+ws.Prefix }},
		{[]string{"actor", "org-token"}, func(sallyport.Activity) bool { return false }},
		{[]string{"q", "eedle"}, holds("eedle")}, {[]string{"q", "100%"}, holds("100%")}, {[]string{"q", "%"}, holds("%")}, {[]string{"q", "_1"}, holds("_1")},
		{[]string{"q", "*"}, holds("*")}, {[]string{"q", `'`}, holds(`'`)}, {[]string{"q", `"`}, holds(`"`)}, {[]string{"q", `\`}, holds(`\`)},
		{[]string{"since", at(middle, 0)}, since(middle.CreatedAt)},
		{[]string{"since", at(middle, time.Microsecond)}, since(middle.CreatedAt.Add(time.Microsecond))},
		{[]string{"since", at(middle, time.Nanosecond)}, since(middle.CreatedAt.Add(time.Nanosecond))},
		{[]string{"since", middle.CreatedAt.In(time.FixedZone("", 2*3600)).Format(time.RFC3339Nano)}, since(middle.CreatedAt)},
		{[]string{"since", at(all[0], time.Hour)}, func(sallyport.Activity) bool { return false }},
		{[]string{"until", at(middle, 0)}, until(middle.CreatedAt)},
		{[]string{"until", at(middle, time.Microsecond)}, until(middle.CreatedAt.Add(time.Microsecond))},
		{[]string{"until", at(middle, time.Nanosecond)}, until(middle.CreatedAt.Add(time.Nanosecond))},
		{[]string{"until", "1970-01-01T00:00:00Z"}, func(sallyport.Activity) bool { return false }},
		{[]string{"since", "0001-01-01T00:00:00Z", "until", "9999-12-31T23:59:59Z"}, func(sallyport.Activity) bool { return true }},
		{[]string{"since", at(middle, 0), "until", at(middle, 0)}, func(sallyport.Activity) bool { return false }},
		{[]string{"type", "workspace_exec", "status", "ok", "q", "eedle", "actor", "workspace-token:" + ws.Prefix},
			func(r sallyport.Activity) bool { return r.Actor == "workspace-token:"+ws.Prefix }},
		{[]string{"type", "workspace_exec", "status", "denied"}, func(sallyport.Activity) bool { return false }},
	}
	for _, tt := range tests {
		query := url.Values{}
		for i := 0; i < len(tt.query); i += 2 {
			query.Set(tt.query[i], tt.query[i+1])
		}
		want := slices.DeleteFunc(slices.Clone(all), func(r sallyport.Activity) bool { return !tt.match(r) })
		if got := rowsAt(t, s, h.token, "/orgs/a/activity?"+query.Encode()); quote(got) != quote(want) {
			t.Errorf("%q: got rows %q, want %q", tt.query, ids(got), ids(want))
		}
		// The same through the other two lists: each is these rows within its bounds.
		want = slices.DeleteFunc(want, func(r sallyport.Activity) bool { return r.WorkspaceID != h.ws.ID })
		if got := rowsAt(t, s, h.token, "/workspaces/build/activity?"+query.Encode()); quote(got) != quote(want) {
			t.Errorf("%q of the workspace: got %d rows, want %d", tt.query, len(got), len(want))
		}
		got := slices.DeleteFunc(rowsAt(t, s, s.AdminToken, "/activity?"+query.Encode()), func(r sallyport.Activity) bool { return r.WorkspaceID != h.ws.ID })
		if quote(got) != quote(want) {
			t.Errorf("%q of all: got %d rows, want %d", tt.query, len(got), len(want))
		}
	}
	for _, path := range []string{"/activity", "/orgs/a/activity", "/workspaces/" + h.ws.ID + "/activity"} {
		for _, name := range []string{"since", "until"} {
			for _, value := range []string{"x", "0", "1700000000", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05%2B0200", "2026-13-01T00:00:00Z", "2026-01-02%2003:04:05Z"} {
				wantAnswer(t, path+" "+name+" "+value, s.Do(t, "GET", path+"?"+name+"="+value, s.AdminToken, ""), 400, "invalid_"+name)
			}
		}
	}
}

// A page's cursor goes on where the page ended, whatever was written or completed
// since: no row is lost, none comes twice, and no new one is among them.
func TestPagesWhileRowsCome(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	type held struct {
		*live
		*gate
	}
	var running []held
	for range 3 {
		g := newGate(t)
		l := openStream(t, s, "build", h.token, sh("echo up; "+g.wait()))
		l.wantData(t, "stdout", "up\n")
		running = append(running, held{l, g})
		wantAnswer(t, "exec", s.Do(t, "POST", "/workspaces/build/exec", h.token, `{"cmd":["true"]}`), 200, "")
	}
	for _, path := range []string{"/orgs/a/activity?", "/workspaces/build/activity?", "/activity?", "/orgs/a/activity?type=workspace_exec&"} {
		token := h.token
		if path == "/activity?" {
			token = s.AdminToken
		}
		before := ids(rowsAt(t, s, token, path+"limit=500"))
		var walked []string
		for cursor, more := "", true; more; more = cursor != "" {
			page := list[sallyport.Activity](t, s, token, path+"limit=2&cursor="+cursor)
			if len(page.Items) == 0 || len(page.Items) > 2 {
				t.Fatalf("%s: a page of %d", path, len(page.Items))
			}
			walked, cursor = append(walked, ids(page.Items)...), page.NextCursor
			wantAnswer(t, "exec", s.Do(t, "POST", "/workspaces/build/exec", h.token, `{"cmd":["true"]}`), 200, "")
			if len(running) > 0 { // and the oldest, which is on a later page, is completed
				running[0].open(t)
				running[0].rest(t)
				running = running[1:]
			}
		}
		if !slices.Equal(walked, before) {
			t.Errorf("%s: walked %q, want %q", path, walked, before)
		}
	}
}

func ids(rows []sallyport.Activity) (all []string) {
	for _, row := range rows {
		all = append(all, row.ID)
	}
	return all
}

// A page has 100 items unless asked for fewer or more, and 500 at most.
func TestPageSizes(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for i := range 501 {
		wantAnswer(t, "patch", s.Do(t, "PATCH", "/workspaces/local", s.Token, fmt.Sprintf(`{"labels":{"i":"%d"}}`, i)), 200, "")
	}
	for limit, want := range map[string]int{
		"": 100, "?limit=": 100, "?limit=1": 1, "?limit=99": 99, "?limit=101": 101, "?limit=500": 500, "?limit=501": 500, "?limit=1000000": 500,
		"?limit=99999999999999999999999": 500,
	} {
		page := list[sallyport.Activity](t, s, s.Token, "/workspaces/local/activity"+limit)
		if len(page.Items) != want || page.NextCursor == "" {
			t.Errorf("%q: %d items, cursor %q", limit, len(page.Items), page.NextCursor)
		}
	}
	wantAnswer(t, "large, and no number", s.Do(t, "GET", "/workspaces/local/activity?limit=99999999999999999999x", s.Token, ""), 400, "invalid_limit")
}
