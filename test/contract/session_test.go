package contract

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// openSession makes a cookie that acts as a token.
func openSession(t testing.TB, s *stack.Stack, token string) *http.Cookie {
	t.Helper()
	a := s.Do(t, http.MethodPost, "/session", token, "")
	wantAnswer(t, "POST /session", a, http.StatusCreated, "")
	cookies := (&http.Response{Header: a.Header}).Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %q", a.Header["Set-Cookie"])
	}
	return cookies[0]
}

// withCookie is a request as a page of the server's own sends it.
func withCookie(req *http.Request, cookie *http.Cookie) *http.Request {
	req.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	req.Header.Set("Content-Type", "application/json")
	return req
}

// whoami is GET /session with a cookie.
func whoami(t testing.TB, s *stack.Stack, cookie *http.Cookie) stack.Answer {
	t.Helper()
	return s.Send(t, withCookie(s.Request(t, http.MethodGet, "/session", "", ""), cookie))
}

// A cookie is the browser's alone, acts as its token, and ends with it, by itself, or
// when it is told to.
func TestCookieSession(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	token := newToken(t, s, "/workspaces/"+h.ws.ID, sallyport.ScopeExec)
	began := time.Now()
	cookie := openSession(t, s, token.Secret)
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || cookie.Path != "/" || cookie.Domain != "" ||
		strings.Contains(cookie.Value, token.Secret[10:]) || !strings.HasPrefix(cookie.Value, "sp_ses_") {
		t.Errorf("cookie %+v", cookie)
	}
	if life := cookie.Expires.Sub(began); life > 12*time.Hour+time.Second || life < 12*time.Hour-time.Minute || cookie.MaxAge < 12*3600-60 || cookie.MaxAge > 12*3600 {
		t.Errorf("it is good for %v, %d s", life, cookie.MaxAge)
	}
	as, by := whoami(t, s, cookie), s.Do(t, http.MethodGet, "/session", token.Secret, "")
	wantAnswer(t, "by cookie", as, 200, "")
	if as.Body != by.Body {
		t.Errorf("by cookie %s, by token %s", as.Body, by.Body)
	}
	wantAnswer(t, "a cookie as a token", s.Do(t, "GET", "/session", cookie.Value, ""), 401, "unauthenticated")
	wantAnswer(t, "a token as a cookie", whoami(t, s, &http.Cookie{Name: cookie.Name, Value: token.Secret}), 401, "unauthenticated")
	wantAnswer(t, "a body", s.Do(t, "POST", "/session", token.Secret, "{}"), 400, "invalid_json")

	// The header alone counts where there is one.
	req := withCookie(s.Request(t, "GET", "/session", s.AdminToken, ""), cookie)
	if a := s.Send(t, req); !strings.Contains(a.Body, "admin-token") {
		t.Errorf("token and cookie: %s", a.Body)
	}
	wantAnswer(t, "a bad token and a cookie", s.Send(t, withCookie(s.Request(t, "GET", "/session", "garbage", ""), cookie)), 401, "unauthenticated")
	two := withCookie(s.Request(t, "GET", "/session", "", ""), cookie)
	wantAnswer(t, "two cookies", s.Send(t, withCookie(two, cookie)), 401, "unauthenticated")

	// Ended by who has it.
	other := openSession(t, s, token.Secret)
	out := s.Send(t, withCookie(s.Request(t, http.MethodDelete, "/session", "", ""), cookie))
	wantAnswer(t, "DELETE /session", out, 204, "")
	if set := (&http.Response{Header: out.Header}).Cookies(); len(set) != 1 || set[0].Name != cookie.Name || set[0].MaxAge >= 0 || set[0].Value != "" {
		t.Errorf("it leaves %q", out.Header["Set-Cookie"])
	}
	wantAnswer(t, "ended", whoami(t, s, cookie), 401, "unauthenticated")
	wantAnswer(t, "the other one", whoami(t, s, other), 200, "")
	wantAnswer(t, "its token", s.Do(t, "GET", "/session", token.Secret, ""), 200, "")

	// Ended with the token.
	wantAnswer(t, "revoke", s.Do(t, "DELETE", "/workspaces/"+h.ws.ID+"/tokens/"+token.ID, s.AdminToken, ""), 204, "")
	wantAnswer(t, "revoked", whoami(t, s, other), 401, "unauthenticated")
	var short sallyport.Token
	create(t, s, s.AdminToken, "/orgs/"+h.ID+"/tokens", sallyport.TokenCreate{Name: "short", ExpiresInS: 2}, &short)
	soon := openSession(t, s, short.Secret)
	if soon.MaxAge > 2 {
		t.Errorf("it outlives its token: %d s", soon.MaxAge)
	}
	await(t, "the token to expire", func() bool { return whoami(t, s, soon).Status == http.StatusUnauthorized })
}

// What runs under a session ends with it, and with nothing else of its token.
func TestSessionEndsStreams(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	cookie, other := openSession(t, s, h.token), openSession(t, s, h.token)
	web := &http.Transport{}
	defer web.CloseIdleConnections()
	follow := func(cookie *http.Cookie) *bufio.Scanner {
		resp, err := web.RoundTrip(withCookie(s.Request(t, "GET", "/orgs/"+h.ID+"/events", "", ""), cookie))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return bufio.NewScanner(resp.Body)
	}
	ended, goesOn := follow(cookie), follow(other)
	req := withCookie(s.Request(t, http.MethodPost, "/workspaces/build/exec", "", `{"cmd":["sleep","100"],"stream":true}`), cookie)
	exec, err := web.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Body.Close()
	wantAnswer(t, "DELETE /session", s.Send(t, withCookie(s.Request(t, http.MethodDelete, "/session", "", ""), cookie)), 204, "")
	last := ""
	for ended.Scan() {
		if ended.Text() != "" {
			last = ended.Text()
		}
	}
	if !strings.Contains(last, `"revoked"`) {
		t.Errorf("the events ended with %q", last)
	}
	if frames, err := io.ReadAll(exec.Body); err != nil || !strings.Contains(string(frames), `"code":"revoked"`) {
		t.Errorf("the exec ended with %q, %v", frames, err)
	}
	wantAnswer(t, "the token", s.Do(t, "POST", "/workspaces/build/exec", h.token, `{"cmd":["true"]}`), 200, "")
	for goesOn.Scan() {
		if strings.Contains(goesOn.Text(), `"status":"ok"`) {
			return
		}
	}
	t.Error("the other session's events have ended")
}

// The admin's cookie is the admin, until the admin has another token.
func TestAdminSession(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stack.Start(t, stack.Options{DataDir: dir})
	cookie := openSession(t, s, s.AdminToken)
	if a := whoami(t, s, cookie); a.Status != 200 || !strings.Contains(a.Body, `"admin-token"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	again := stack.Start(t, stack.Options{DataDir: dir})
	wantAnswer(t, "after a start with another admin token", whoami(t, again, cookie), 401, "unauthenticated")
}

// What a page of another origin can send with a cookie does nothing.
func TestSessionAgainstPages(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	cookie := openSession(t, s, h.token)
	exec := func(header ...string) stack.Answer {
		req := withCookie(s.Request(t, http.MethodPost, "/workspaces/build/exec", "", `{"cmd":["true"]}`), cookie)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		return s.Send(t, req)
	}
	own := strings.TrimPrefix(s.URL, "http://")
	for _, tt := range []struct {
		what   string
		a      stack.Answer
		status int
		code   string
	}{
		{"its own page", exec("Origin", s.URL, "Sec-Fetch-Site", "same-origin"), 200, ""},
		{"no browser", exec(), 200, ""},
		{"with a charset", exec("Content-Type", "application/json; charset=utf-8"), 200, ""},
		{"a form", exec("Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported_media_type"},
		{"text", exec("Content-Type", "text/plain"), 415, "unsupported_media_type"},
		{"no type", exec("Content-Type", ""), 415, "unsupported_media_type"},
		{"another site", exec("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), 403, "cross_origin_forbidden"},
		{"another port", exec("Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"), 403, "cross_origin_forbidden"},
		{"another origin, an old browser", exec("Origin", "http://127.0.0.1:1"), 403, "cross_origin_forbidden"},
		{"its host under another name", exec("Origin", "http://"+strings.Replace(own, "127.0.0.1", "localhost", 1)), 403, "cross_origin_forbidden"},
	} {
		wantAnswer(t, tt.what, tt.a, tt.status, tt.code)
	}
	read := withCookie(s.Request(t, "GET", "/workspaces", "", ""), cookie)
	read.Header.Set("Sec-Fetch-Site", "same-site")
	wantAnswer(t, "a look from another port", s.Send(t, read), 403, "cross_origin_forbidden")
	read.Header.Set("Sec-Fetch-Site", "none")
	wantAnswer(t, "a typed address", s.Send(t, read), 200, "")
}

// Behind a proxy that ends TLS the cookie is Secure, and of this host alone; who is no
// proxy can't say so.
func TestSessionOverTLS(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_PROXIES_TRUSTED": "127.0.0.1"}})
	open := func(proto string) *http.Cookie {
		req := s.Request(t, http.MethodPost, "/session", s.Token, "")
		req.Header.Set("X-Forwarded-Proto", proto)
		cookies := (&http.Response{Header: s.Send(t, req).Header}).Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%s: %v", proto, cookies)
		}
		return cookies[0]
	}
	plain, tls := open("http"), open("https")
	if plain.Secure || plain.Name != "sallyport_session" || !tls.Secure || tls.Name != "__Host-sallyport_session" {
		t.Errorf("plain %v, TLS %v", plain, tls)
	}
	req := withCookie(s.Request(t, "GET", "/session", "", ""), plain)
	req.Header.Set("X-Forwarded-Proto", "https")
	wantAnswer(t, "a plain cookie over TLS", s.Send(t, req), 401, "unauthenticated")
	req = withCookie(s.Request(t, "GET", "/session", "", ""), tls)
	req.Header.Set("X-Forwarded-Proto", "https")
	wantAnswer(t, "its own", s.Send(t, req), 200, "")

	direct := stack.Start(t, stack.Options{})
	forged := direct.Request(t, http.MethodPost, "/session", direct.Token, "")
	forged.Header.Set("X-Forwarded-Proto", "https")
	if set := direct.Send(t, forged).Header.Get("Set-Cookie"); strings.Contains(set, "Secure") {
		t.Errorf("forged: %s", set)
	}
}
