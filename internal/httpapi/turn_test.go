package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"sallyport/client/sallyport"
)

// While two organisations ask, what one asks of the store beyond its turn waits, what it does
// on a machine and what the other asks doesn't, and nor does the admin.
func TestTurns(t *testing.T) {
	a := newAPI(t)
	busyID, busy := a.tenant(t, "busy")
	otherID, other := a.tenant(t, "other")
	a.take(t, otherID)()
	release := a.take(t, busyID) // what it asks next is beyond its turn

	list := func(token string) *httptest.ResponseRecorder {
		r := a.request(http.MethodGet, "/workspaces", "")
		r.Header.Set("Authorization", "Bearer "+token)
		return a.answer(r)
	}
	waited := make(chan *httptest.ResponseRecorder, 1)
	go func() { waited <- list(busy) }()
	for range 3 {
		exec := a.request(http.MethodPost, "/workspaces/w/exec", `{"cmd":["true"]}`)
		exec.Header.Set("Authorization", "Bearer "+busy)
		for who, w := range map[string]*httptest.ResponseRecorder{"another organisation": list(other), "the admin": list(a.admin), "an exec": a.answer(exec)} {
			if w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", who, w.Code, w.Body)
			}
		}
	}
	select {
	case w := <-waited:
		t.Errorf("answered out of turn: %d %s", w.Code, w.Body)
	default:
		release()
		if w := <-waited; w.Code != http.StatusOK {
			t.Errorf("in its turn: %d %s", w.Code, w.Body)
		}
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
