package contract

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// What a token with an end makes ends no later, whichever way the token comes: a longer
// life is cut to the maker's, and none becomes the maker's.
func TestTokenOutlivesNoMaker(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	a := newHome(t, s, "a")
	org, ws := "/orgs/a/tokens", "/workspaces/"+a.ws.ID+"/tokens"
	mint := func(path, token, life string) sallyport.Token {
		t.Helper()
		got := s.Do(t, "POST", path, token, `{"name":"t","scopes":["tokens","exec"]`+life+`}`)
		wantAnswer(t, path+life, got, 201, "")
		var made sallyport.Token
		got.Decode(t, &made)
		return made
	}
	maker := mint(org, a.token, `,"expires_in_s":3600`)
	heir := mint(org, maker.Secret, "")
	for what, made := range map[string]sallyport.Token{
		"without an end": heir, "a longer life": mint(org, maker.Secret, `,"expires_in_s":3601`), "null": mint(org, maker.Secret, `,"expires_in_s":null`),
		"the longest": mint(ws, maker.Secret, `,"expires_in_s":3153600000`), "of a workspace": mint(ws, maker.Secret, ""), "by the heir": mint(ws, heir.Secret, ""),
	} {
		if made.ExpiresAt == nil || !made.ExpiresAt.Equal(*maker.ExpiresAt) {
			t.Errorf("%s: ends at %v, and its maker at %v", what, made.ExpiresAt, maker.ExpiresAt)
		}
	}
	if sooner := mint(org, maker.Secret, `,"expires_in_s":60`); sooner.ExpiresAt == nil || !sooner.ExpiresAt.Before(maker.ExpiresAt.Add(-time.Hour/2)) {
		t.Errorf("a shorter life ends at %v", sooner.ExpiresAt)
	}
	if forever := mint(org, a.token, ""); forever.ExpiresAt != nil {
		t.Errorf("of a token without an end: %v", forever.ExpiresAt)
	}
	var listed sallyport.List[sallyport.Token]
	s.Do(t, "GET", org, a.token, "").Decode(t, &listed)
	for _, token := range listed.Items {
		if token.ID == heir.ID && (token.ExpiresAt == nil || !token.ExpiresAt.Equal(*maker.ExpiresAt)) {
			t.Errorf("stored as %v", token.ExpiresAt)
		}
	}

	// A cookie acts as its token: what it makes is cut to the token's end, and not to its own.
	byCookie := func(token string) sallyport.Token {
		t.Helper()
		req := s.Request(t, "POST", org, "", `{"name":"t","scopes":["exec"]}`)
		req.AddCookie(openSession(t, s, token))
		req.Header.Set("Content-Type", "application/json")
		got := s.Send(t, req)
		wantAnswer(t, "by cookie", got, 201, "")
		var made sallyport.Token
		got.Decode(t, &made)
		return made
	}
	if made := byCookie(maker.Secret); made.ExpiresAt == nil || !made.ExpiresAt.Equal(*maker.ExpiresAt) {
		t.Errorf("by cookie it ends at %v", made.ExpiresAt)
	}
	if made := byCookie(a.token); made.ExpiresAt != nil {
		t.Errorf("by a cookie of a token without an end: %v", made.ExpiresAt)
	}
}

// An organisation has so many live tokens and workspaces, its own limit going before the
// server's, however many ask at once.
func TestRoomOfOrganisation(t *testing.T) {
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_TOKENS": "6", "SALLYPORT_LIMITS_WORKSPACES": "3"}})
	a, b := newHome(t, s, "a"), newHome(t, s, "b") // each with a workspace and a token
	race := func(call func(i int) stack.Answer, code string) (made int64) {
		t.Helper()
		var group sync.WaitGroup
		var count atomic.Int64
		for i := range 12 {
			group.Go(func() {
				switch got := call(i); {
				case got.Status == 201:
					count.Add(1)
				case got.Status != 409 || got.Code() != code:
					t.Errorf("%d %s", got.Status, got.Body)
				}
			})
		}
		group.Wait()
		return count.Load()
	}
	var last sallyport.Token
	tokens := func(i int) stack.Answer {
		path := "/orgs/a/tokens"
		if i%2 == 0 {
			path = "/workspaces/" + a.ws.ID + "/tokens"
		}
		return s.Do(t, "POST", path, a.token, `{"name":"t","scopes":["exec"],"expires_in_s":3600}`)
	}
	workspaces := func(i int) stack.Answer {
		return s.Do(t, "POST", "/workspaces", a.token, fmt.Sprintf(`{"name":"made-%d"}`, i))
	}
	if made := race(tokens, "too_many_tokens"); made != 5 {
		t.Errorf("%d tokens more", made)
	}
	if made := race(workspaces, "too_many_workspaces"); made != 2 {
		t.Errorf("%d workspaces more", made)
	}
	wantAnswer(t, "the admin's", s.Do(t, "POST", "/orgs/a/tokens", s.AdminToken, `{"name":"t"}`), 409, "too_many_tokens")
	wantAnswer(t, "another's", s.Do(t, "POST", "/orgs/b/tokens", b.token, `{"name":"t"}`), 201, "")

	setLimits(t, s, "a", `{"tokens":7,"workspaces":4}`)
	s.Do(t, "POST", "/orgs/a/tokens", a.token, `{"name":"t","scopes":["exec"]}`).Decode(t, &last)
	if last.ID == "" {
		t.Fatal("the organisation's own limit doesn't hold")
	}
	wantAnswer(t, "over its own", tokens(1), 409, "too_many_tokens")
	wantAnswer(t, "a fourth workspace", workspaces(90), 201, "")
	wantAnswer(t, "a fifth", workspaces(91), 409, "too_many_workspaces")
	wantAnswer(t, "revoke", s.Do(t, "DELETE", "/orgs/a/tokens/"+last.ID, a.token, ""), 204, "")
	wantAnswer(t, "in its place", tokens(1), 201, "")
	wantAnswer(t, "delete", s.Do(t, "DELETE", "/workspaces/made-90", a.token, ""), 204, "")
	wantAnswer(t, "in its place", workspaces(92), 201, "")
	for _, bad := range []string{`{"tokens":-1}`, `{"workspaces":1000001}`, `{"tokens":"1"}`, `{"tokens":1.5}`} {
		wantAnswer(t, bad, s.Do(t, "PATCH", "/orgs/a", s.AdminToken, `{"limits":`+bad+`}`), 400, "invalid_limits")
	}
}
