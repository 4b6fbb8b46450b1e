package contract

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/eicsim"
	"sallyport/test/pg"
	"sallyport/test/spec"
	"sallyport/test/stack"
)

// access says who may use a route. For each sort of caller a status; 0 is the one
// of success.
type access struct {
	method, path, body string
	// ok is the status of success.
	ok int
	// admin, all (an organisation's token with every scope), ws (a token of this
	// workspace with every scope), sibling (one of another workspace of the
	// organisation), other (a token of another organisation).
	admin, all, ws, sibling, other int
	// scope is what an organisation's token needs, any of several: * is any, none is none that
	// does.
	scope string
}

// refusal is the code of the answer to who may, where there is one.
func (r access) refusal() string {
	switch {
	case r.ok == http.StatusUpgradeRequired:
		return "upgrade_required"
	case r.ok == http.StatusConflict && strings.Contains(r.path, "/execs/"):
		return "not_detached"
	case r.ok == http.StatusConflict:
		return "not_running"
	}
	return ""
}

// accesses is the whole table. In paths and bodies {org} is an organisation, {ws} a
// workspace of it, {free-…} one that nobody needs afterwards, {name} a new name, and
// {as-admin} what the admin alone gives.
var accesses = []access{
	{"GET", "/session", "", 200, 0, 0, 0, 0, 0, "*"},
	{"POST", "/session", "", 201, 0, 0, 0, 0, 0, "*"},
	{"DELETE", "/session", "", 204, 0, 0, 0, 0, 0, "*"},

	{"GET", "/ca", "", 200, 404, 0, 0, 0, 0, "*"}, // the admin has none of its own

	{"POST", "/orgs", `{"name":"{name}"}`, 201, 0, 403, 403, 403, 403, "none"},
	{"GET", "/orgs", "", 200, 0, 403, 403, 403, 403, "none"},
	{"GET", "/orgs/{org}", "", 200, 0, 403, 403, 403, 403, "none"},
	{"PATCH", "/orgs/{org}", "{}", 200, 0, 403, 403, 403, 403, "none"},
	{"DELETE", "/orgs/{free-org}", "", 204, 0, 403, 403, 403, 403, "none"},
	{"POST", "/orgs/{org}/tokens", `{"name":"t","scopes":["tokens"]}`, 201, 0, 0, 403, 403, 404, "tokens"},
	{"GET", "/orgs/{org}/tokens", "", 200, 0, 0, 403, 403, 404, "tokens"},
	{"DELETE", "/orgs/{org}/tokens/{free-org-token}", "", 204, 0, 0, 403, 403, 404, "tokens"},
	{"GET", "/orgs/{org}/ca", "", 200, 0, 0, 0, 0, 404, "*"},
	{"POST", "/orgs/{org}/ca/rotate", `{"now":true}`, 201, 0, 0, 403, 403, 404, "workspaces"},
	// An organisation without a role of its own is the admin's to look for.
	{"GET", "/orgs/{org}/instances", "", 200, 0, 403, 403, 403, 404, "none"},
	{"GET", "/orgs/{org}/activity", "", 200, 0, 0, 403, 403, 404, "audit:read"},
	{"GET", "/orgs/{org}/events", "", 200, 0, 0, 403, 403, 404, "audit:read"},

	{"POST", "/workspaces", `{{as-admin}"name":"{name}"}`, 201, 0, 0, 403, 403, 0, "workspaces"},
	{"GET", "/workspaces", "", 200, 0, 0, 0, 0, 0, "*"},
	{"GET", "/workspaces/{workspace}", "", 200, 0, 0, 0, 404, 404, "*"},
	{"PATCH", "/workspaces/{workspace}", "{}", 200, 0, 0, 403, 404, 404, "workspaces"},
	{"DELETE", "/workspaces/{free-workspace}", "", 204, 0, 0, 403, 404, 404, "workspaces"},
	{"GET", "/workspaces/{workspace}/connection", "", 200, 0, 0, 0, 404, 404, "workspaces"},
	{"POST", "/workspaces/{workspace}/diagnose", "", 200, 0, 0, 403, 404, 404, "workspaces"},
	{"POST", "/workspaces/{workspace}/tokens", `{"name":"t","scopes":["tokens"]}`, 201, 0, 0, 403, 404, 404, "tokens"},
	{"GET", "/workspaces/{workspace}/tokens", "", 200, 0, 0, 403, 404, 404, "tokens"},
	{"DELETE", "/workspaces/{workspace}/tokens/{free-workspace-token}", "", 204, 0, 0, 403, 404, 404, "tokens"},
	{"GET", "/workspaces/{workspace}/activity", "", 200, 0, 0, 0, 404, 404, "audit:read"},
	{"GET", "/workspaces/{workspace}/events", "", 200, 0, 0, 0, 404, 404, "audit:read"},
	{"POST", "/workspaces/{workspace}/exec", `{"cmd":["true"]}`, 200, 0, 0, 0, 404, 404, "exec"},
	{"GET", "/workspaces/{workspace}/exec", "", 426, 0, 0, 0, 404, 404, "exec"},
	{"GET", "/workspaces/{workspace}/execs", "", 200, 0, 0, 0, 404, 404, "exec"},
	{"GET", "/workspaces/{workspace}/execs/{running-exec}", "", 200, 0, 0, 0, 404, 404, "exec"},
	{"DELETE", "/workspaces/{workspace}/execs/{running-exec}", "", 409, 0, 0, 0, 404, 404, "exec"},
	{"GET", "/workspaces/{workspace}/execs/{running-exec}/output", "", 409, 0, 0, 0, 404, 404, "exec"},
	{"POST", "/workspaces/{workspace}/execs/{running-exec}/signal", `{"signal":"TERM"}`, 204, 0, 0, 0, 404, 404, "exec"},
	{"GET", "/workspaces/{workspace}/terminal", "", 426, 0, 0, 0, 404, 404, "terminal terminal:read"},
	{"GET", "/workspaces/{workspace}/terminals", "", 200, 0, 0, 0, 404, 404, "terminal"},
	{"GET", "/workspaces/{workspace}/terminals/{ended-terminal}", "", 200, 0, 0, 0, 404, 404, "terminal"},
	{"DELETE", "/workspaces/{workspace}/terminals/{ended-terminal}", "", 409, 0, 0, 0, 404, 404, "terminal"},
	{"GET", "/workspaces/{workspace}/forward?port=1", "", 426, 0, 0, 0, 404, 404, "forward"},
	{"GET", "/workspaces/{workspace}/forwards", "", 200, 0, 0, 0, 404, 404, "forward"},
	{"GET", "/workspaces/{workspace}/forwards/{ended-forward}", "", 200, 0, 0, 0, 404, 404, "forward"},
	{"DELETE", "/workspaces/{workspace}/forwards/{ended-forward}", "", 409, 0, 0, 0, 404, 404, "forward"},

	{"GET", "/workspaces/{workspace}/recordings", "", 200, 0, 0, 0, 404, 404, "terminal:read"},
	{"GET", "/workspaces/{workspace}/recordings/{recording}", "", 200, 0, 0, 0, 404, 404, "terminal:read"},
	{"DELETE", "/workspaces/{workspace}/recordings/{recording}", "", 204, 0, 0, 403, 404, 404, "workspaces"},
	{"GET", "/orgs/{org}/recordings", "", 200, 0, 0, 403, 403, 404, "terminal:read"},
	{"GET", "/orgs/{org}/recordings/{recording}", "", 200, 0, 0, 403, 403, 404, "terminal:read"},
	{"DELETE", "/orgs/{org}/recordings/{recording}", "", 204, 0, 0, 403, 403, 404, "workspaces"},

	{"GET", "/workspaces/{workspace}/files", "", 200, 0, 0, 0, 404, 404, "files:read"},
	{"GET", "/workspaces/{workspace}/files/{file}", "", 200, 0, 0, 0, 404, 404, "files:read"},
	{"PUT", "/workspaces/{workspace}/files/{file}", "content", 200, 0, 0, 0, 404, 404, "files:write"},
	{"PATCH", "/workspaces/{workspace}/files/{file}", `{"mode":"0600"}`, 200, 0, 0, 0, 404, 404, "files:write"},
	{"DELETE", "/workspaces/{workspace}/files/{file}", "", 204, 0, 0, 0, 404, 404, "files:write"},
	{"POST", "/workspaces/{workspace}/files/{file}", `{"action":"move","to":"{new-file}"}`, 200, 0, 0, 0, 404, 404, "files:write"},

	{"POST", "/workspaces/{workspace}/attachments", aForm, 201, 0, 0, 0, 404, 404, "attachments"},
	{"GET", "/workspaces/{workspace}/attachments", "", 200, 0, 0, 0, 404, 404, "attachments"},
	{"GET", "/workspaces/{workspace}/attachments/{attachment}", "", 200, 0, 0, 0, 404, 404, "attachments"},
	{"DELETE", "/workspaces/{workspace}/attachments/{attachment}", "", 204, 0, 0, 0, 404, 404, "attachments"},
	{"GET", "/workspaces/{workspace}/attachments/{attachment}/content", "", 200, 0, 0, 0, 404, 404, "attachments"},

	{"GET", "/activity", "", 200, 0, 403, 403, 403, 403, "none"},
}

// public routes ask for no token.
var public = []string{"GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json", "GET /docs"}

// guest is a caller of the table.
type guest struct {
	name, token string
	orgID       string
	// cookie is what it comes with in place of its token; nil is none.
	cookie *http.Cookie
	// want is what a route answers; 0 is its success.
	want func(access) int
}

// gathering is everyone who asks, and what they ask for.
type gathering struct {
	*stack.Stack
	home   home
	guests []guest
	made   int
	// free are those that nothing has used up yet, by their placeholder.
	free map[string]string
}

func gather(t *testing.T, o stack.Options) *gathering {
	t.Helper()
	s := stack.Start(t, o)
	a, b := newHome(t, s, "a"), newHome(t, s, "b")
	sibling := newWorkspace(t, s, a.ID, "sibling", 4, true)
	org, ws := "/orgs/"+a.ID, "/workspaces/"+a.ws.ID
	every := sallyport.AllScopes()
	nobody := func(access) int { return http.StatusUnauthorized }
	g := &gathering{Stack: s, home: a, free: map[string]string{}, guests: []guest{
		{name: "none", want: nobody},
		{name: "garbage", token: "garbage", want: nobody},
		{name: "revoked", token: revoked(t, s, org), want: nobody},
		{name: "revoked, of the workspace", token: revoked(t, s, ws), want: nobody},
		{name: "expired", token: expired(t, s, org), want: nobody},
		{name: "expired, of the workspace", token: expired(t, s, ws), want: nobody},
		{name: "admin", token: s.AdminToken, want: func(r access) int { return r.admin }},
		{name: "every scope", token: a.token, orgID: a.ID, want: func(r access) int { return r.all }},
		{name: "this workspace", token: newToken(t, s, ws, every...).Secret, orgID: a.ID, want: func(r access) int { return r.ws }},
		{name: "sibling workspace", token: newToken(t, s, "/workspaces/"+sibling.ID, every...).Secret, orgID: a.ID, want: func(r access) int { return r.sibling }},
		{name: "other organisation", token: b.token, orgID: b.ID, want: func(r access) int { return r.other }},
	}}
	for _, scope := range every {
		g.guests = append(g.guests, guest{name: "scope " + string(scope), token: newToken(t, s, org, scope).Secret, orgID: a.ID, want: func(r access) int {
			if r.scope == "*" || slices.Contains(strings.Fields(r.scope), string(scope)) {
				return 0
			}
			return http.StatusForbidden
		}})
	}
	for _, as := range g.guests {
		if as.want(accesses[0]) == 0 { // it is somebody
			as.name, as.cookie = as.name+", by cookie", openSession(t, s, as.token)
			g.guests = append(g.guests, as)
		}
	}
	return g
}

// fill puts names of what there is into a path or a body.
func (g *gathering) fill(t *testing.T, text string, as guest) string {
	t.Helper()
	for placeholder, value := range map[string]func() string{
		"{org}":       func() string { return g.home.ID },
		"{workspace}": func() string { return g.home.ws.ID },
		"{name}":      g.name,
		"{as-admin}": func() string {
			if as.token == g.AdminToken {
				return `"org_id":"` + g.home.ID + `",`
			}
			return ""
		},
		"{new-file}": g.fileName,
		// Its own, which it may not delete either.
		"{free-workspace}": func() string {
			if strings.HasPrefix(as.name, "this workspace") {
				return g.home.ws.ID
			}
			return g.spare(t, "{free-workspace}")
		},
	} {
		if strings.Contains(text, placeholder) {
			text = strings.ReplaceAll(text, placeholder, value())
		}
	}
	for placeholder := range g.makers(t) {
		if strings.Contains(text, placeholder) {
			text = strings.ReplaceAll(text, placeholder, g.spare(t, placeholder))
		}
	}
	return text
}

// spare is what a placeholder stands for: who is refused uses it up no more than who reads it.
func (g *gathering) spare(t *testing.T, placeholder string) string {
	t.Helper()
	if g.free[placeholder] == "" {
		g.free[placeholder] = g.makers(t)[placeholder]()
	}
	return g.free[placeholder]
}

// makers make what a route may use up.
func (g *gathering) makers(t *testing.T) map[string]func() string {
	return map[string]func() string{
		"{free-org}":             func() string { return newOrg(t, g.Stack, g.name()).ID },
		"{free-workspace}":       func() string { return newWorkspace(t, g.Stack, g.home.ID, g.name(), 2, false).ID },
		"{running-exec}":         func() string { return startExec(t, g.Stack, g.home.ws.ID) },
		"{ended-terminal}":       func() string { return endedTerminal(t, g.Stack, g.home) },
		"{recording}":            func() string { return newRecording(t, g.Stack, g.home.ws, "$ ") },
		"{ended-forward}":        func() string { return endedForward(t, g.Stack, g.home) },
		"{file}":                 func() string { return newFile(t, g.Stack, g.home.ws.ID, g.fileName()) },
		"{attachment}":           func() string { return newAttachment(t, g.Stack, g.home.ws.ID) },
		"{free-org-token}":       func() string { return newToken(t, g.Stack, "/orgs/"+g.home.ID).ID },
		"{free-workspace-token}": func() string { return newToken(t, g.Stack, "/workspaces/"+g.home.ws.ID).ID },
	}
}

// startExec starts a command that runs until the test ends, and returns its exec's id.
func startExec(t *testing.T, s *stack.Stack, workspace string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req := s.Request(t, http.MethodPost, "/workspaces/"+workspace+"/exec", s.AdminToken, `{"cmd":["sleep","1000"],"stream":true,"timeout_s":1000}`)
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("exec: %d", resp.StatusCode)
	}
	return resp.Header.Get("Sallyport-Exec-Id")
}

// endedTerminal starts a terminal whose program ends at once, and returns its id.
func endedTerminal(t *testing.T, s *stack.Stack, h home) string {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), s.URL+"/workspaces/"+h.ws.ID+"/terminal", &websocket.DialOptions{
		Subprotocols: []string{sallyport.SubprotocolTerminal}, HTTPHeader: http.Header{"Authorization": {"Bearer " + h.token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	writeMessage(t, conn, websocket.MessageText, []byte(`{"type":"start","cmd":["true"]}`))
	_, last, _ := readForward(t.Context(), conn)
	if !strings.Contains(last, `"exit_code":0`) {
		t.Fatalf("terminal: %s", last)
	}
	return rowsAt(t, s, h.token, "/workspaces/build/activity?type=workspace_terminal&limit=1")[0].ID
}

// endedForward opens a forward that the machine refuses, and returns its id.
func endedForward(t *testing.T, s *stack.Stack, h home) string {
	t.Helper()
	if conn, a := dialForward(t, s, h.token, forwardPath(h, 1)); conn != nil || a.Status != http.StatusBadGateway {
		t.Fatalf("forward: %d %s", a.Status, a.Body)
	}
	return rowsAt(t, s, h.token, "/workspaces/build/activity?type=workspace_forward&limit=1")[0].ID
}

// newFile writes a file, and returns its name.
func newFile(t *testing.T, s *stack.Stack, workspace, name string) string {
	t.Helper()
	if a := s.Do(t, http.MethodPut, "/workspaces/"+workspace+"/files/"+name, s.AdminToken, "content"); a.Status != http.StatusCreated {
		t.Fatalf("put: %d %s", a.Status, a.Body)
	}
	return name
}

// newAttachment attaches a file, and returns its id.
func newAttachment(t *testing.T, s *stack.Stack, workspace string) string {
	t.Helper()
	req := s.Request(t, http.MethodPost, "/workspaces/"+workspace+"/attachments", s.AdminToken, aForm)
	req.Header.Set("Content-Type", aFormType)
	var made sallyport.Attached
	if s.Send(t, req).Decode(t, &made); len(made.Items) != 1 {
		t.Fatalf("attach: %+v", made)
	}
	return made.Items[0].ID
}

// jsonBody is the body of a route as JSON, which a route that takes a form takes too.
func (r access) jsonBody() string {
	if r.body == aForm {
		return `{"path":"none"}`
	}
	return r.body
}

// aForm is a form with a file, of the type aFormType.
const (
	aForm     = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\ncontent\r\n--b--\r\n"
	aFormType = "multipart/form-data; boundary=b"
)

// fileName is of no other gathering's in the home that they share.
func (g *gathering) fileName() string { return g.home.ws.ID + "-" + g.name() }

func (g *gathering) name() string {
	g.made++
	return fmt.Sprintf("made-%d", g.made)
}

// denials are the newest two refusals on record.
func (g *gathering) denials(t *testing.T) []sallyport.Activity {
	t.Helper()
	return append(rowsAt(t, g.Stack, g.AdminToken, "/activity?type=access_denied&limit=2"), sallyport.Activity{}, sallyport.Activity{})
}

// codeOf is the code that goes with a refusal's status.
func (r access) codeOf(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "unauthenticated"
	case status == http.StatusForbidden:
		return "scope_forbidden"
	case strings.HasPrefix(r.path, "/workspaces/"):
		return "workspace_not_found"
	}
	return "not_found"
}

// TestAccess goes through every route with every sort of caller. A refusal of who
// is known leaves one row, where it belongs; all else leaves none.
func TestAccess(t *testing.T) {
	for name, value := range eicsim.Start(t, eicsim.Options{}).Env() {
		setenv(t, name, value)
	}
	// Who may is decided above the store: on one engine each caller asks each route, on the
	// other each caller some and each route one. Parts are as many as run at once, each with
	// a server whose refusals are its own.
	const parts = 3
	t.Run("SQLite", func(t *testing.T) {
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				testAccess(t, stack.Options{}, true, func(route int) bool { return route%parts == part })
			})
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		url := pg.Start(t).Database(t)
		testAccess(t, stack.Options{Env: map[string]string{"SALLYPORT_STORE_URL": url}}, false, func(int) bool { return true })
	})
}

// setenv is t.Setenv for a test that no other runs beside, and whose parts run at once.
func setenv(t *testing.T, name, value string) {
	t.Helper()
	was, had := os.LookupEnv(name)
	if err := os.Setenv(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := os.Unsetenv(name)
		if had {
			err = os.Setenv(name, was)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// testAccess goes through some routes, with all callers or one each.
func testAccess(t *testing.T, o stack.Options, all bool, some func(route int) bool) {
	g := gather(t, o)
	before := g.denials(t)[0].ID
	for i, r := range accesses {
		guests := g.guests
		switch {
		case !some(i):
			continue
		case !all:
			guests = guests[i%len(guests):][:1]
		}
		for _, as := range guests {
			what := r.method + " " + r.path + " by " + as.name
			path, body := g.fill(t, r.path, as), g.fill(t, r.body, as)
			a := g.ask(t, r.method, path, as, body)
			status, code := as.want(r), ""
			if as.cookie != nil && what == "POST /session by "+as.name {
				status = http.StatusUnauthorized // a cookie makes no other
			}
			if status == 0 {
				status, code = r.ok, r.refusal()
			} else {
				code = r.codeOf(status)
			}
			wantAnswer(t, what, a, status, code)
			if status < 300 && r.method != http.MethodGet {
				clear(g.free)
			}
			rows := g.denials(t)
			switch {
			case status != http.StatusForbidden && rows[0].ID != before:
				t.Errorf("%s: it left %s", what, quote(rows[0]))
			case status == http.StatusForbidden && (rows[0].ID == before || rows[1].ID != before):
				t.Errorf("%s: it did not leave one row: %s", what, quote(rows))
			case status == http.StatusForbidden:
				g.checkDenial(t, what, r, as, rows[0])
			}
			before = rows[0].ID
		}
	}
}

// ask is Do, but for events, which have no end.
func (g *gathering) ask(t *testing.T, method, path string, as guest, body string) stack.Answer {
	t.Helper()
	req := g.Request(t, method, path, as.token, body)
	if cookie := as.cookie; cookie != nil {
		if method+path == "DELETE/session" {
			cookie = openSession(t, g.Stack, as.token) // it is needed afterwards
		}
		req = withCookie(g.Request(t, method, path, "", body), cookie)
	}
	if body == aForm {
		req.Header.Set("Content-Type", aFormType)
	}
	if !strings.HasSuffix(path, "/events") {
		return g.Send(t, req)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	web := &http.Transport{}
	defer web.CloseIdleConnections()
	resp, err := (&http.Client{Transport: spec.Watch(t, web)}).Do(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := stack.Answer{Status: resp.StatusCode, Header: resp.Header}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		a.Body = string(text)
	}
	return a
}

func (g *gathering) checkDenial(t *testing.T, what string, r access, as guest, row sallyport.Activity) {
	t.Helper()
	var me sallyport.Session
	get(t, g.Stack, as.token, "/session", &me)
	workspace, home := "", "/orgs/"+as.orgID
	if strings.HasPrefix(r.path, "/workspaces/") {
		workspace = row.WorkspaceID // a free one's id is not known here
		home = "/workspaces/" + row.WorkspaceID
		if strings.Contains(r.path, "{workspace}") {
			workspace = g.home.ws.ID
		}
		if workspace == "" {
			t.Errorf("%s: no workspace in %s", what, quote(row))
		}
	}
	if row.Status != "denied" || row.Code != "scope_forbidden" || row.OrgID != as.orgID || row.WorkspaceID != workspace ||
		row.Actor != me.Actor || row.CompletedAt == nil || row.ClientAddr != "127.0.0.1" {
		t.Errorf("%s: row %s", what, quote(row))
	}
	if shown := rowsAt(t, g.Stack, g.AdminToken, home+"/activity?type=access_denied&limit=1"); len(shown) != 1 || shown[0].ID != row.ID {
		t.Errorf("%s: %s shows %s", what, home, quote(shown))
	}
}

// TestPublicRoutes: health and documentation are anyone's, whatever they bring.
func TestPublicRoutes(t *testing.T) {
	t.Parallel()
	g := gather(t, stack.Options{})
	for _, route := range public {
		method, path, _ := strings.Cut(route, " ")
		for _, as := range g.guests {
			wantAnswer(t, route+" by "+as.name, g.Do(t, method, path, as.token, ""), 200, "")
		}
	}
}

// TestAccessIsWhole: no route is missing in the table.
func TestAccessIsWhole(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../internal/httpapi/routes.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, route := range public {
		known[route] = true
	}
	for _, r := range accesses {
		known[r.method+" "+strings.NewReplacer("{free-org}", "{org}", "{free-workspace}", "{workspace}",
			"{running-exec}", "{exec}", "{free-org-token}", "{token}", "{free-workspace-token}", "{token}",
			"{file}", "{path...}", "{ended-forward}", "{forward}", "{ended-terminal}", "{terminal}", "{recording}", "{terminal}", "?port=1", "").Replace(r.path)] = true
	}
	routes := regexp.MustCompile(`method: http\.Method(\w+), pattern: "([^"]+)"`).FindAllStringSubmatch(string(source), -1)
	for _, m := range routes {
		if route := strings.ToUpper(m[1]) + " " + m[2]; !known[route] {
			t.Errorf("%s has no row in the table of who may", route)
		}
	}
	if len(routes) != len(known) {
		t.Errorf("%d routes, %d rows", len(routes), len(known))
	}
}

// A scope that nobody has doesn't widen what a workspace's token reaches: each
// names its own workspace by id and by name, and no other.
func TestWorkspaceTokenSeesItsOwn(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	newWorkspace(t, s, h.ID, "sibling", 4, true)
	token := newToken(t, s, "/workspaces/"+h.ws.ID).Secret
	page := list[sallyport.Workspace](t, s, token, "/workspaces")
	if len(page.Items) != 1 || page.Items[0].ID != h.ws.ID || page.NextCursor != "" {
		t.Errorf("list %s", quote(page))
	}
	for _, ref := range []string{h.ws.ID, "build", "build?org=a", "build?org=" + h.ID} {
		wantAnswer(t, ref, s.Do(t, "GET", "/workspaces/"+ref, token, ""), 200, "")
	}
	for _, ref := range []string{"sibling", "sibling?org=a"} {
		wantAnswer(t, ref, s.Do(t, "GET", "/workspaces/"+ref, token, ""), 404, "workspace_not_found")
	}
}
