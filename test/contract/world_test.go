package contract

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/test/stack"
)

// home is an organisation with what the tests need of it.
type home struct {
	sallyport.Org
	// token is the organisation's, with every scope.
	token string
	// ws is a workspace of tier 4 on this machine. It is called build in every home.
	ws sallyport.Workspace
}

// newHome makes an organisation with one workspace.
func newHome(t testing.TB, s *stack.Stack, name string) home {
	t.Helper()
	h := home{Org: newOrg(t, s, name)}
	h.token = newToken(t, s, "/orgs/"+h.ID, sallyport.AllScopes()...).Secret
	h.ws = newWorkspace(t, s, h.ID, "build", sallyport.TierFullHost, true)
	return h
}

func newOrg(t testing.TB, s *stack.Stack, name string) sallyport.Org {
	t.Helper()
	var org sallyport.Org
	create(t, s, s.AdminToken, "/orgs", sallyport.OrgCreate{Name: name}, &org)
	return org
}

// newWorkspace makes a workspace, on this machine or without a host.
func newWorkspace(t testing.TB, s *stack.Stack, org, name string, tier int, hosted bool) sallyport.Workspace {
	t.Helper()
	body := sallyport.WorkspaceCreate{OrgID: org, Name: name, Tier: tier}
	if hosted {
		body.Connector = &sallyport.Connector{Type: sallyport.ConnectorLocal, Root: t.TempDir()}
	}
	var ws sallyport.Workspace
	create(t, s, s.AdminToken, "/workspaces", body, &ws)
	return ws
}

// newToken makes a token of what stands at path: /orgs/ID or /workspaces/ID. No
// scopes are the default ones.
func newToken(t testing.TB, s *stack.Stack, path string, scopes ...sallyport.Scope) sallyport.Token {
	t.Helper()
	var token sallyport.Token
	create(t, s, s.AdminToken, path+"/tokens", sallyport.TokenCreate{Name: "test", Scopes: scopes}, &token)
	return token
}

// create posts body and reads the 201.
func create(t testing.TB, s *stack.Stack, token, path string, body, out any) {
	t.Helper()
	a := s.Do(t, http.MethodPost, path, token, quote(body))
	if a.Status != http.StatusCreated {
		t.Fatalf("POST %s %s: %d %s", path, quote(body), a.Status, a.Body)
	}
	a.Decode(t, out)
}

// get reads a 200 into out.
func get(t testing.TB, s *stack.Stack, token, path string, out any) {
	t.Helper()
	a := s.Do(t, http.MethodGet, path, token, "")
	if a.Status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, a.Status, a.Body)
	}
	a.Decode(t, out)
}

// list reads one page.
func list[T any](t testing.TB, s *stack.Stack, token, path string) sallyport.List[T] {
	t.Helper()
	var page sallyport.List[T]
	get(t, s, token, path, &page)
	return page
}

// rowsAt is one page of activity rows.
func rowsAt(t testing.TB, s *stack.Stack, token, path string) []sallyport.Activity {
	t.Helper()
	return list[sallyport.Activity](t, s, token, path).Items
}

// wantAnswer checks status and code; "" is for an answer that is no error.
func wantAnswer(t testing.TB, what string, a stack.Answer, status int, code string) {
	t.Helper()
	got := ""
	if a.Status >= 400 {
		got = a.Code()
	}
	if a.Status != status || got != code {
		t.Errorf("%s: got %d %.300s, want %d %s", what, a.Status, a.Body, status, code)
	}
}

// keysOf are the keys of a JSON object, sorted.
func keysOf(t testing.TB, object []byte) []string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatalf("%.300s: %v", object, err)
	}
	return slices.Sorted(maps.Keys(members))
}

// dump is an answer whole, but for what differs between any two.
func dump(a stack.Answer) string {
	var b bytes.Buffer
	h := a.Header.Clone()
	h.Del("Date")
	h.Del(sallyport.HeaderRequestID)
	b.WriteString(http.StatusText(a.Status) + "\n")
	_ = h.Write(&b) // a bytes.Buffer takes all
	b.WriteString("\n" + a.Body)
	return b.String()
}

// await waits until ok, which it asks again and again.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// leavesSome tells whether an exec that was ended by force has left processes, as far as its row
// says: on a loaded machine there may be no time left to look.
func leavesSome(row sallyport.Activity) bool {
	if row.Survivors == nil {
		return !row.SurvivorsUnknown
	}
	return *row.Survivors != 0
}

// expired is a token that lived for a second.
func expired(t testing.TB, s *stack.Stack, path string) string {
	t.Helper()
	var token sallyport.Token
	create(t, s, s.AdminToken, path+"/tokens", sallyport.TokenCreate{Name: "short", ExpiresInS: 1}, &token)
	await(t, "a token to expire", func() bool {
		return s.Do(t, http.MethodGet, "/session", token.Secret, "").Status == http.StatusUnauthorized
	})
	return token.Secret
}

// revoked is a token that was revoked a moment ago.
func revoked(t testing.TB, s *stack.Stack, path string) string {
	t.Helper()
	token := newToken(t, s, path, sallyport.AllScopes()...)
	wantAnswer(t, "use before it is revoked", s.Do(t, http.MethodGet, "/session", token.Secret, ""), http.StatusOK, "")
	a := s.Do(t, http.MethodDelete, path+"/tokens/"+token.ID, s.AdminToken, "")
	wantAnswer(t, "revoke", a, http.StatusNoContent, "")
	return token.Secret
}

// nobody is an id that no record has.
func nobody() string { return id.New() }
