package contract

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// setLimits sets an organisation's limits, as the admin.
func setLimits(t testing.TB, s *stack.Stack, org, limits string) {
	t.Helper()
	a := s.Do(t, http.MethodPatch, "/orgs/"+org, s.AdminToken, `{"limits":`+limits+`}`)
	wantAnswer(t, "set limits "+limits, a, http.StatusOK, "")
}

// want429 checks that an answer says when to come again.
func want429(t testing.TB, what string, a stack.Answer, code string) {
	t.Helper()
	wantAnswer(t, what, a, http.StatusTooManyRequests, code)
	if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("%s: Retry-After %q", what, a.Header.Get("Retry-After"))
	}
}

// An organisation's limits are the admin's to set: a merge patch, whose row says what it
// has changed.
func TestOrgLimits(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	newHome(t, s, "a")
	for _, step := range []struct{ patch, code, want, row string }{
		{`{"limits":{"running_execs":3,"requests_per_s":7}}`, "", `"limits":{"running_execs":3,"requests_per_s":7}`, "a updated: limits running_execs=3 requests_per_s=7"},
		{`{"limits":{"running_execs_per_workspace":2,"requests_per_s":null}}`, "", `"limits":{"running_execs":3,"running_execs_per_workspace":2}`,
			"a updated: limits running_execs_per_workspace=2 requests_per_s=server's"},
		{`{"limits":{"request_burst":1000000},"name":"a"}`, "", `"request_burst":1000000}`, "a renamed to a updated: limits request_burst=1000000"},
		{`{"limits":{"running_execs":0}}`, "invalid_limits", "", ""},
		{`{"limits":{"running_execs":-1}}`, "invalid_limits", "", ""},
		{`{"limits":{"running_execs":1000001}}`, "invalid_limits", "", ""},
		{`{"limits":{"running_execs":99999999999999999999}}`, "invalid_limits", "", ""},
		{`{"limits":{"running_execs":1.5}}`, "invalid_limits", "", ""},
		{`{"limits":{"running_execs":"3"}}`, "invalid_limits", "", ""},
		{`{"limits":[]}`, "invalid_limits", "", ""},
		{`{"limits":3}`, "invalid_limits", "", ""},
		{`{"limits":{"running":3}}`, "unknown_field", "", ""},
		{`{"limits":null}`, "", "", "a updated: limits running_execs=server's running_execs_per_workspace=server's request_burst=server's"},
	} {
		before := s.Do(t, http.MethodGet, "/orgs/a", s.AdminToken, "").Body
		a := s.Do(t, http.MethodPatch, "/orgs/a", s.AdminToken, step.patch)
		if step.code != "" {
			wantAnswer(t, step.patch, a, 400, step.code)
			if after := s.Do(t, http.MethodGet, "/orgs/a", s.AdminToken, "").Body; after != before {
				t.Errorf("%s: refused, and changed %s", step.patch, after)
			}
			continue
		}
		if a.Status != 200 || !strings.Contains(a.Body, step.want) || step.want == "" && strings.Contains(a.Body, "limits") {
			t.Errorf("%s: got %d %s", step.patch, a.Status, a.Body)
		}
		if row := rowsAt(t, s, s.AdminToken, "/orgs/a/activity?limit=1")[0]; row.Type != sallyport.ActivityOrgUpdated || row.Summary != "organisation "+step.row {
			t.Errorf("%s: row %s", step.patch, quote(row))
		}
	}
	a := s.Do(t, http.MethodPost, "/orgs", s.AdminToken, `{"name":"b","limits":{"running_execs":1,"request_burst":null}}`)
	if wantAnswer(t, "made with limits", a, 201, ""); !strings.Contains(a.Body, `"limits":{"running_execs":1}`) {
		t.Errorf("made with limits: %s", a.Body)
	}
	wantAnswer(t, "made with none", s.Do(t, http.MethodPost, "/orgs", s.AdminToken, `{"name":"c","limits":null}`), 201, "")
	wantAnswer(t, "made wrongly", s.Do(t, http.MethodPost, "/orgs", s.AdminToken, `{"name":"d","limits":{"running_execs":0}}`), 400, "invalid_limits")
	h := newHome(t, s, "e")
	wantAnswer(t, "by a tenant", s.Do(t, http.MethodPatch, "/orgs/"+h.ID, h.token, `{"limits":null}`), 403, "scope_forbidden")
}

// Over its limit an exec is refused: it leaves no row, takes no key, and nothing ran. An end
// makes room, and another tenant's limits are its own.
func TestRunningExecsLimit(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_RUNNING_EXECS_PER_WORKSPACE": "2"}})
	h, other := newHome(t, s, "a"), newHome(t, s, "b")
	second := newWorkspace(t, s, h.ID, "second", sallyport.TierFullHost, true)
	setLimits(t, s, "a", `{"running_execs":3}`)
	file := filepath.Join(t.TempDir(), "ran")
	touch := quote(sallyport.ExecRequest{Cmd: []string{"touch", file}})
	exec := func(ws, body string) stack.Answer {
		return s.Do(t, http.MethodPost, "/workspaces/"+ws+"/exec", h.token, body)
	}
	hold := func(ws string) *gate {
		g := newGate(t)
		live := openStream(t, s, ws, h.token, sh("echo up; "+g.wait()))
		live.wantData(t, "stdout", "up\n")
		return g
	}
	gates := []*gate{hold(h.ws.ID), hold(h.ws.ID)}
	want429(t, "the workspace's", exec(h.ws.ID, touch), "too_many_execs")
	wantAnswer(t, "another workspace's", exec(second.ID, `{"cmd":["true"]}`), 200, "")
	gates = append(gates, hold(second.ID))
	a := exec(second.ID, touch)
	want429(t, "the organisation's", a, "too_many_execs")
	if strings.Contains(a.Body, "reason") || strings.Contains(a.Body, "started") || a.Header.Get(sallyport.HeaderExecID) != "" {
		t.Errorf("%s %v", a.Body, a.Header)
	}
	wantAnswer(t, "another tenant's", s.Do(t, http.MethodPost, "/workspaces/build/exec", other.token, `{"cmd":["true"]}`), 200, "")

	// In the order of the contract: behind who may and the tier, before the key.
	newWorkspace(t, s, h.ID, "low", 2, true)
	wantAnswer(t, "tier, limit", exec("low", touch), 403, "exec_tier_forbidden")
	wantAnswer(t, "body, limit", exec(second.ID, `{"cmd":"x"}`), 400, "invalid_argv")
	want429(t, "limit, machine", exec(second.ID, `{"cmd":["true"],"cwd":"/no/such/dir"}`), "too_many_execs")
	gates[2].open(t)
	await(t, "room", func() bool { return exec(second.ID, `{"cmd":["true"]}`).Status == 200 })
	want := once(t, s, second.ID, h.token, touch, "key")
	wantAnswer(t, "with a key", want, 200, "")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	gates = append(gates, hold(second.ID))
	want429(t, "limit, the same key", once(t, s, second.ID, h.token, touch, "key"), "too_many_execs")
	want429(t, "limit, a fresh key", once(t, s, second.ID, h.token, touch, "fresh"), "too_many_execs")
	setLimits(t, s, "a", `{"running_execs":4}`)
	wantAnswer(t, "the same key", once(t, s, second.ID, h.token, touch, "key"), 409, "already_run")
	if _, err := os.Stat(file); err == nil {
		t.Error("something ran that was refused")
	}
	wantAnswer(t, "the fresh key is free", once(t, s, second.ID, h.token, touch, "fresh"), 200, "")
	rows := rowsAt(t, s, h.token, "/orgs/"+h.ID+"/activity?type=workspace_exec&status=running")
	if len(rows) != 3 {
		t.Errorf("%d rows are running: %s", len(rows), quote(rows))
	}
	for _, i := range []int{0, 1, 3} {
		gates[i].open(t)
	}
}

// Of many at once no more run than may, and all the rest are refused.
func TestRunningExecsLimitAtOnce(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	setLimits(t, s, "a", `{"running_execs":5}`)
	g := newGate(t)
	const tried = 30
	answers := make([]stack.Answer, tried)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = s.Do(t, http.MethodPost, "/workspaces/"+h.ws.ID+"/exec", h.token, quote(sh(g.wait())))
		})
	}
	path := "/orgs/" + h.ID + "/activity?type=workspace_exec&status=running"
	await(t, "five to run", func() bool { return len(rowsAt(t, s, h.token, path)) == 5 })
	for range 5 {
		g.open(t)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	await(t, "all to be answered", func() bool { // some were late, and came to run when there was room
		g.open(t)
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	ran, refused := 0, 0
	for _, a := range answers {
		switch {
		case a.Status == 200:
			ran++
		case a.Code() == "too_many_execs":
			refused++
		default:
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	if rows := rowsAt(t, s, h.token, "/orgs/"+h.ID+"/activity?type=workspace_exec"); ran < 5 || ran+refused != tried || len(rows) != ran {
		t.Errorf("%d ran, %d were refused, %d rows", ran, refused, len(rows))
	}
}
