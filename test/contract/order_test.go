package contract

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// Of two things that are wrong with an exec the earlier in the contract's order
// is told: token, body, workspace, scope, host, tier, working directory.
func TestExecOrderOfChecks(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	a, b := newHome(t, s, "a"), newHome(t, s, "b")
	newWorkspace(t, s, a.ID, "bare", 2, false)
	newWorkspace(t, s, a.ID, "low", 2, true)
	reader := newToken(t, s, "/orgs/"+a.ID, sallyport.ScopeAuditRead).Secret
	const (
		good = `{"cmd":["true"]}`
		bad  = `{"cmd":"true"}`
		dir  = `{"cmd":["true"],"cwd":"/no/such/dir"}`
	)
	large := `{"cmd":["` + long(2<<20) + `"]}`
	tests := []struct {
		name, token, workspace, body, encoding string
		status                                 int
		code                                   string
	}{
		{"token, size", "x", "build", large, "", 401, "unauthenticated"},
		{"token, encoding", "x", "build", good, "gzip", 401, "unauthenticated"},
		{"token, body", "x", "build", bad, "", 401, "unauthenticated"},
		{"token, workspace", "x", "absent", good, "", 401, "unauthenticated"},
		{"token, all the rest", "x", "absent", bad, "gzip", 401, "unauthenticated"},
		{"size, workspace", a.token, "absent", large, "", 413, "body_too_large"},
		{"encoding, workspace", a.token, "absent", good, "gzip", 415, "unsupported_media_type"},
		{"encoding, body", a.token, "build", bad, "gzip", 415, "unsupported_media_type"},
		{"size, body", a.token, "build", large + "}", "", 413, "body_too_large"},
		{"body, workspace", a.token, "absent", bad, "", 400, "invalid_argv"},
		{"body, workspace of another", a.token, b.ws.ID, bad, "", 400, "invalid_argv"},
		{"body, scope", reader, "build", bad, "", 400, "invalid_argv"},
		{"body, host", a.token, "bare", bad, "", 400, "invalid_argv"},
		{"body, tier", a.token, "low", bad, "", 400, "invalid_argv"},
		{"workspace, scope", reader, "absent", good, "", 404, "workspace_not_found"},
		{"workspace of another, scope", reader, b.ws.ID, good, "", 404, "workspace_not_found"},
		{"scope, host", reader, "bare", good, "", 403, "scope_forbidden"},
		{"scope, tier", reader, "low", good, "", 403, "scope_forbidden"},
		{"scope, directory", reader, "build", dir, "", 403, "scope_forbidden"},
		{"host, tier", a.token, "bare", good, "", 400, "workspace_has_no_host"},
		{"host, directory", a.token, "bare", dir, "", 400, "workspace_has_no_host"},
		{"tier, directory", a.token, "low", dir, "", 403, "exec_tier_forbidden"},
		{"tier, also for the admin", s.AdminToken, "low?org=a", dir, "", 403, "exec_tier_forbidden"},
		{"directory", a.token, "build", dir, "", 422, "invalid_cwd"},
	}
	denied := 0
	for _, tt := range tests {
		path := "/workspaces/" + tt.workspace + "/exec"
		if tt.workspace == "low?org=a" {
			path = "/workspaces/low/exec?org=a"
		}
		req := s.Request(t, http.MethodPost, path, tt.token, tt.body)
		if tt.encoding != "" {
			req.Header.Set("Content-Encoding", tt.encoding)
		}
		wantAnswer(t, tt.name, s.Send(t, req), tt.status, tt.code)
		if tt.status == 403 {
			denied++
		}
	}
	activity := "/orgs/" + a.ID + "/activity?type="
	if rows := rowsAt(t, s, a.token, activity+"access_denied"); len(rows) != denied {
		t.Errorf("%d rows of %d refusals: %s", len(rows), denied, quote(rows))
	}
	// Only the machine itself could tell that the directory isn't there.
	if rows := rowsAt(t, s, a.token, activity+"workspace_exec"); len(rows) != 1 || rows[0].Code != "invalid_cwd" {
		t.Errorf("rows %s", quote(rows))
	}
}

// A server that drains says so before it looks at the body, and after it has
// looked at the token; what runs may end.
func TestExecOrderWhileDraining(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Flags: map[string]string{"drain_timeout": "1m"}})
	g := newGate(t)
	running := openStream(t, s, "local", s.Token, sh("echo up; "+g.wait()+"; echo end"))
	running.wantData(t, "stdout", "up\n")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	await(t, "the server to drain", func() bool {
		return s.Do(t, http.MethodGet, "/readyz", "", "").Status == http.StatusServiceUnavailable
	})
	tests := []struct {
		name, token, body string
		status            int
		code              string
	}{
		{"token, draining", "x", `{"cmd":["true"]}`, 401, "unauthenticated"},
		{"draining", s.Token, `{"cmd":["true"]}`, 503, "draining"},
		{"draining, body", s.Token, `{"cmd":1}`, 503, "draining"},
	}
	for _, tt := range tests {
		a := s.Do(t, http.MethodPost, "/workspaces/absent/exec", tt.token, tt.body)
		wantAnswer(t, tt.name, a, tt.status, tt.code)
		if tt.status == 503 && a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", tt.name)
		}
	}
	wantAnswer(t, "readyz", s.Do(t, http.MethodGet, "/readyz", "", ""), 503, "draining")
	wantAnswer(t, "healthz", s.Do(t, http.MethodGet, "/healthz", "", ""), 200, "")
	wantAnswer(t, "reading", s.Do(t, http.MethodGet, "/workspaces/local", s.Token, ""), 200, "")
	g.open(t)
	if stdout, _, last := running.rest(t); stdout != "end\n" || last["exit_code"] != 0.0 {
		t.Errorf("stdout %q, last %v", stdout, last)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// What still runs when the time for draining is over is ended, and told why.
func TestDrainingEndsStreams(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stack.Start(t, stack.Options{DataDir: dir, Flags: map[string]string{"drain_timeout": "0s"}})
	running := openStream(t, s, "local", s.Token, sh("echo up; exec sleep 600"))
	running.wantData(t, "stdout", "up\n")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	_, _, last := running.rest(t)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	wantEnded(t, last, "draining")
	if said := fmt.Sprint(last["error"]); strings.Contains(said, "try again") {
		t.Errorf("a command that ran is not to be run again: %s", said)
	}
	s = stack.Start(t, stack.Options{DataDir: dir})
	wantCanceled(t, s.Execs(t), running.execID, "draining")
}

// A machine that can't be reached is told before its directory is looked at, and
// leaves a row.
func TestExecOrderOfConnecting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stack.Start(t, stack.Options{DataDir: dir})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = stack.Start(t, stack.Options{DataDir: dir, Env: map[string]string{"SALLYPORT_CONNECTORS_LOCAL_ENABLED": "false"}})
	for _, stream := range []string{"false", "true"} {
		a := s.Exec(t, `{"cmd":["true"],"cwd":"/no/such/dir","stream":`+stream+`}`)
		wantAnswer(t, "connect, directory", a, 502, "connect_failed")
		var body map[string]any
		if a.Decode(t, &body); body["started"] != false {
			t.Errorf("started: %s", a.Body)
		}
		row := s.Execs(t)[0]
		if row.Status != "error" || row.Code != "connect_failed" || row.CompletedAt == nil || row.ExitCode != nil ||
			row.ID != a.Header.Get(sallyport.HeaderExecID) {
			t.Errorf("row %s", quote(row))
		}
	}
}
