package contract

import (
	"net/http"
	"strconv"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// rateOf reads the headers that tell where a token stands; -1 is for one that is missing.
func rateOf(t testing.TB, a stack.Answer) (rate [3]int) {
	t.Helper()
	for i, name := range []string{"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} {
		rate[i] = -1
		if text := a.Header.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Errorf("%s: %q", name, text)
			}
			rate[i] = n
		}
	}
	return rate
}

// A token that asks too often is told so before all else but whether it is one; the limit is
// its organisation's, or the server's, and each token has a bucket of its own.
func TestRequestRate(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h, other := newHome(t, s, "a"), newHome(t, s, "b")
	session := func(token string) stack.Answer { return s.Do(t, http.MethodGet, "/session", token, "") }
	if got := rateOf(t, session(h.token)); got != [3]int{-1, -1, -1} {
		t.Errorf("dev has the limit %v", got)
	}
	setLimits(t, s, "a", `{"requests_per_s":1}`)
	setLimits(t, s, "a", `{"request_burst":4}`)
	first := session(h.token)
	if got := rateOf(t, first); first.Status != 200 || got[0] != 4 || got[1] != 3 || got[2] < 1 {
		t.Errorf("first: %d, %v", first.Status, got)
	}
	if got := rateOf(t, s.Do(t, http.MethodGet, "/nowhere", h.token, "")); got[0] != 4 {
		t.Errorf("no such path: %v", got)
	}
	wantLimited := func() {
		t.Helper()
		await(t, "the bucket to be empty", func() bool { return session(h.token).Status == http.StatusTooManyRequests })
	}
	for _, tt := range []struct {
		name, method, path, token, body string
		status                          int
		code                            string
	}{
		{"token, rate", "GET", "/session", "x", "", 401, "unauthenticated"},
		{"token in another form, rate", "GET", "/session", h.token + "x", "", 401, "unauthenticated"},
		{"rate, body", "POST", "/workspaces/build/exec", h.token, `{"cmd":1}`, 429, "rate_limited"},
		{"rate, workspace", "POST", "/workspaces/absent/exec", h.token, `{"cmd":["true"]}`, 429, "rate_limited"},
		{"rate, scope", "POST", "/orgs", h.token, `{}`, 429, "rate_limited"},
		{"rate, method", "PUT", "/session", h.token, "", 429, "rate_limited"},
		{"rate, path", "GET", "/nowhere", h.token, "", 429, "rate_limited"},
		{"what is public", "GET", "/healthz", h.token, "", 200, ""},
		{"another organisation", "GET", "/session", other.token, "", 200, ""},
		{"the admin", "GET", "/orgs/a", s.AdminToken, "", 200, ""},
	} {
		wantLimited()
		a := s.Do(t, tt.method, tt.path, tt.token, tt.body)
		wantAnswer(t, tt.name, a, tt.status, tt.code)
		if tt.status != 429 {
			if got := rateOf(t, a); got != [3]int{-1, -1, -1} {
				t.Errorf("%s: %v", tt.name, got)
			}
			continue
		}
		want429(t, tt.name, a, tt.code)
		if got := rateOf(t, a); got[0] != 4 || got[1] != 0 || got[2] < 1 {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	// Another token of the organisation has a bucket of its own.
	second := newToken(t, s, "/orgs/"+h.ID).Secret
	wantLimited()
	if a := session(second); a.Status != 200 || rateOf(t, a)[1] != 3 {
		t.Errorf("another token: %d %v", a.Status, rateOf(t, a))
	}
	if rows := rowsAt(t, s, s.AdminToken, "/orgs/a/activity?type="+sallyport.ActivityAccessDenied); len(rows) != 0 {
		t.Errorf("refusals left rows: %s", quote(rows))
	}
	// Come again when told to.
	wantLimited()
	await(t, "the bucket to refill", func() bool { return session(h.token).Status == 200 })
	setLimits(t, s, "a", `null`)
	if got := rateOf(t, session(h.token)); got != [3]int{-1, -1, -1} {
		t.Errorf("without a limit: %v", got)
	}
}

// An organisation's tokens share a rate beside those of their own: making more tokens gives
// no more requests, and no other organisation notices.
func TestRequestRateOfOrganisation(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h, other := newHome(t, s, "a"), newHome(t, s, "b")
	session := func(token string) stack.Answer { return s.Do(t, http.MethodGet, "/session", token, "") }
	cookie := openSession(t, s, h.token)
	setLimits(t, s, "a", `{"org_requests_per_s":1,"org_request_burst":5,"requests_per_s":1000,"request_burst":4}`)
	if a := session(h.token); a.Status != 200 || rateOf(t, a)[0] != 4 || rateOf(t, a)[1] != 3 {
		t.Errorf("the token's rate is nearer: %d %v", a.Status, rateOf(t, a))
	}
	var limited stack.Answer
	await(t, "fresh tokens to get no more", func() bool {
		limited = session(newToken(t, s, "/orgs/"+h.ID).Secret)
		return limited.Status == http.StatusTooManyRequests
	})
	want429(t, "a fresh token", limited, "rate_limited")
	var body sallyport.Error
	if limited.Decode(t, &body); body.Reason != sallyport.ReasonOrganisation {
		t.Errorf("reason %q", body.Reason)
	}
	if got := rateOf(t, limited); got[0] != 5 || got[1] != 0 || got[2] < 1 {
		t.Errorf("the organisation's rate: %v", got)
	}
	await(t, "its cookies to get no more", func() bool { return whoami(t, s, cookie).Status == http.StatusTooManyRequests })
	wantAnswer(t, "another organisation", session(other.token), 200, "")
	wantAnswer(t, "the admin", s.Do(t, http.MethodGet, "/orgs/a", s.AdminToken, ""), 200, "")
	await(t, "the bucket to refill", func() bool { return session(h.token).Status == 200 })
	setLimits(t, s, "a", `null`)
	wantAnswer(t, "without a limit", session(h.token), 200, "")
}

// The rate comes before whether the server ends.
func TestRateWhileDraining(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{
		Flags: map[string]string{"drain_timeout": "1m"},
		Env:   map[string]string{"SALLYPORT_LIMITS_REQUESTS_PER_S": "1", "SALLYPORT_LIMITS_REQUEST_BURST": "3"},
	})
	g := newGate(t)
	running := openStream(t, s, "local", s.Token, sh("echo up; "+g.wait()))
	running.wantData(t, "stdout", "up\n")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	await(t, "the server to drain", func() bool {
		return s.Do(t, http.MethodGet, "/readyz", "", "").Status == http.StatusServiceUnavailable
	})
	await(t, "the bucket to be empty", func() bool {
		a := s.Exec(t, `{"cmd":["true"]}`)
		if a.Status == http.StatusServiceUnavailable && rateOf(t, a)[0] == 3 {
			return false
		}
		want429(t, "rate, draining", a, "rate_limited")
		return true
	})
	if a := s.Do(t, http.MethodGet, "/session", s.AdminToken, ""); a.Status != 200 || rateOf(t, a) != [3]int{3, 2, 1} {
		t.Errorf("the admin's own bucket: %d %v", a.Status, rateOf(t, a))
	}
	g.open(t)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
