package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// While two organisations ask, what one asks of the store beyond its turn waits, and so does
// the parsing of its large bodies. What it does on a machine and what the other asks doesn't,
// and nor does the admin. Another that only acts on machines asks too.
func TestTurns(t *testing.T) {
	large := strings.Repeat("x", 2*limits.SmallBytesMax)
	for how, by := range map[string]func(a *api, token string) *http.Request{
		"another lists":      func(a *api, token string) *http.Request { return a.as(token, http.MethodGet, "/workspaces", "") },
		"another execs":      func(a *api, token string) *http.Request { return a.exec(token, "") },
		"another sends much": func(a *api, token string) *http.Request { return a.exec(token, large) },
	} {
		t.Run(how, func(t *testing.T) {
			a := newAPI(t)
			busyID, busy := a.tenant(t, "busy")
			_, other := a.tenant(t, "other")
			release := a.take(t, busyID) // what it asks next is beyond its turn
			defer release()
			a.granted(t, "the other", by(a, other))

			waited := make(chan *httptest.ResponseRecorder, 2)
			go func() { waited <- a.answer(a.as(busy, http.MethodGet, "/workspaces", "")) }()
			go func() { waited <- a.answer(a.exec(busy, large)) }()
			for range 3 {
				a.granted(t, "the other", by(a, other))
				a.granted(t, "the admin", a.as(a.admin, http.MethodGet, "/workspaces", ""))
				a.granted(t, "an exec", a.exec(busy, ""))
			}
			select {
			case w := <-waited:
				t.Errorf("answered out of turn: %d %s", w.Code, w.Body)
			default:
				release()
				for range 2 {
					if w := <-waited; w.Code != http.StatusOK {
						t.Errorf("in its turn: %d %s", w.Code, w.Body)
					}
				}
			}
		})
	}
}

// as makes a request with a token.
func (a *api) as(token, method, path, body string) *http.Request {
	r := a.request(method, path, body)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// exec makes an exec on a tenant's workspace, which reads stdin.
func (a *api) exec(token, stdin string) *http.Request {
	return a.as(token, http.MethodPost, "/workspaces/w/exec", fmt.Sprintf(`{"cmd":["cat"],"stdin":%q}`, stdin))
}

// granted sends a request, which must succeed.
func (a *api) granted(t *testing.T, what string, r *http.Request) {
	t.Helper()
	if w := a.answer(r); w.Code != http.StatusOK {
		t.Errorf("%s: %d %s", what, w.Code, w.Body)
	}
}

// take takes a turn of an organisation's; what it returns gives it back.
func (a *api) take(t *testing.T, orgID string) (release func()) {
	t.Helper()
	place, err := a.turns.Take(t.Context(), orgID)
	must(t, err)
	return place.Release
}

// tenant is an organisation with a workspace w and a token.
func (a *api) tenant(t *testing.T, name string) (orgID, token string) {
	t.Helper()
	var org sallyport.Org
	must(t, json.Unmarshal(a.answer(a.request(http.MethodPost, "/orgs", fmt.Sprintf(`{"name":%q}`, name))).Body.Bytes(), &org))
	a.create(t, "/workspaces", fmt.Sprintf(`{"org_id":%q,"name":"w","tier":4,"connector":{"type":"local"}}`, org.ID))
	var made sallyport.Token
	must(t, json.Unmarshal(a.answer(a.request(http.MethodPost, "/orgs/"+org.ID+"/tokens", `{"name":"t","scopes":["exec"]}`)).Body.Bytes(), &made))
	return org.ID, made.Secret
}
