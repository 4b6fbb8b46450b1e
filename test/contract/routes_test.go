package contract

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/test/spec"
	"sallyport/test/stack"
)

// wantMarks checks what every answer of ours has.
func wantMarks(t testing.TB, what string, a stack.Answer) {
	t.Helper()
	if requestID.FindString(a.Header.Get("X-Request-Id")) == "" || len(a.Header["X-Request-Id"]) != 1 {
		t.Errorf("%s: X-Request-Id %q", what, a.Header["X-Request-Id"])
	}
	if a.Header.Get("Location") != "" || a.Status/100 == 3 {
		t.Errorf("%s: redirected with %d to %q", what, a.Status, a.Header.Get("Location"))
	}
	for name := range a.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: %s lets other sites read it", what, name)
		}
	}
	if a.Status >= 400 && (a.Header.Get("Content-Type") != "application/json" || a.Header.Get("X-Content-Type-Options") != "nosniff") {
		t.Errorf("%s: headers of an error %v", what, a.Header)
	}
}

var requestID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// methods are all that HTTP has, some that only others know, and one of nobody.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW", "get", "Post"}

// A path takes the methods of its routes; any other is 405 with Allow. Whoever is
// not proven learns nothing of that.
func TestMethods(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	paths := map[string][]string{}
	exec := nobody()
	for _, r := range accesses {
		path := strings.NewReplacer("{org}", h.ID, "{workspace}", h.ws.ID, "{free-org}", h.ID, "{free-workspace}", h.ws.ID,
			"{running-exec}", exec, "{free-org-token}", nobody(), "{free-workspace-token}", nobody()).Replace(r.path)
		paths[path] = append(paths[path], r.method)
	}
	for _, route := range public {
		method, path, _ := strings.Cut(route, " ")
		paths[path] = append(paths[path], method)
	}
	for path, known := range paths {
		for _, method := range methods {
			if slices.Contains(known, method) || (method == "HEAD" && slices.Contains(known, "GET")) {
				continue
			}
			a := s.Do(t, method, path, s.AdminToken, "{}")
			if method == "HEAD" { // has no body
				a.Body = `{"code":"method_not_allowed"}`
			}
			wantAnswer(t, method+" "+path, a, 405, "method_not_allowed")
			wantMarks(t, method+" "+path, a)
			allow := strings.Split(strings.ReplaceAll(strings.Join(a.Header["Allow"], ","), " ", ""), ",")
			allow = slices.DeleteFunc(allow, func(m string) bool { return m == "HEAD" && slices.Contains(known, "GET") })
			slices.Sort(allow)
			if want := slices.Sorted(slices.Values(known)); !slices.Equal(allow, want) {
				t.Errorf("%s %s: Allow %q, want %q", method, path, a.Header["Allow"], want)
			}
			stranger := s.Do(t, method, path, "", "{}")
			if stranger.Status != 401 || stranger.Header["Allow"] != nil {
				t.Errorf("%s %s by a stranger: %d, Allow %q", method, path, stranger.Status, stranger.Header["Allow"])
			}
		}
	}
	if rows := rowsAt(t, s, s.AdminToken, "/orgs/a/activity"); len(rows) != 3 { // as its home was made
		t.Errorf("rows %s", quote(rows))
	}
}

// What is no path of ours is 404, to whoever has a token.
func TestUnknownPaths(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, path := range []string{
		"/", "/x", "/favicon.ico", "/.well-known/x", "/index.html", "/workspace", "/Workspaces", "/WORKSPACES", "/workspaces/local/exec/x", "/workspaces/local/execute",
		"/workspaces/local/tokens/x/y", "/orgs/dev/x", "/orgs/dev/tokens/x/y", "/orgs/dev/workspaces", "/session/x", "/api/workspaces", "/v1/workspaces",
		"/exec", "/tokens", "/activity/x", "/debug/pprof/", "/debug/vars", "/healthz.json", "/*", "/%2A",
		// A slash at the end is another path.
		"/healthz/", "/session/", "/orgs/", "/orgs/dev/", "/workspaces/", "/workspaces/local/", "/workspaces/local/exec/", "/activity/", "/orgs/dev/activity/",
		// Slashes that are part of a name are no slashes.
		"/workspaces%2Flocal", "/orgs%2Fdev", "/%68ealthz%2F",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
			a := s.Do(t, method, path, s.Token, `{"cmd":["true"]}`)
			wantAnswer(t, method+" "+path, a, 404, "not_found")
			wantMarks(t, method+" "+path, a)
			wantAnswer(t, method+" "+path+" by a stranger", s.Do(t, method, path, "", ""), 401, "unauthenticated")
		}
	}
	for path, code := range map[string]string{
		"/workspaces/local%2Fexec": "workspace_not_found", "/workspaces/%2e%2e%2forgs": "not_found", "/workspaces/local%00": "workspace_not_found",
		"/workspaces/*": "workspace_not_found", "/workspaces/%20local": "workspace_not_found", "/workspaces/..%2Flocal": "not_found", "/workspaces/lo%63al/": "not_found",
	} {
		a := s.Do(t, "GET", path, s.Token, "")
		wantAnswer(t, path, a, 404, code)
		wantMarks(t, path, a)
	}
	wantAnswer(t, "escaped letters are the letters", s.Do(t, "GET", "/workspaces/lo%63al", s.Token, ""), 200, "")
	if rows := s.Execs(t); len(rows) != 0 {
		t.Errorf("rows %s", quote(rows))
	}
}

// A browser that is pointed at the server's address is led to the documentation, also
// without a token. Programs are told that there is nothing.
func TestHomePage(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, tt := range []struct {
		method, path, accept string
		status               int
	}{
		{"GET", "/", browser, 302}, {"HEAD", "/", browser, 302}, {"POST", "/", browser, 401}, {"GET", "/x", browser, 401},
		{"GET", "/", "*/*", 401}, {"GET", "/", "", 401}, {"GET", "/", "application/json", 401},
	} {
		req := s.Request(t, tt.method, tt.path, "", "")
		req.Header.Set("Accept", tt.accept)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		wantPlace := ""
		if tt.status == http.StatusFound {
			wantPlace = "/docs"
		}
		if resp.StatusCode != tt.status || resp.Header.Get("Location") != wantPlace || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s for %q: %s %v", tt.method, tt.path, tt.accept, resp.Status, resp.Header)
		}
	}
}

// exchange sends bytes and reads one answer to method.
func exchange(t testing.TB, s *stack.Stack, method, request string) stack.Answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	path := strings.Fields(request)[1]
	if err := spec.CheckRead(method, path, resp, body); err != nil && path != "*" {
		t.Error(err)
	}
	return stack.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
}

// A path that isn't clean is 404 and never redirected: who follows a redirect may
// take the token elsewhere, or turn a POST into a GET.
func TestUncleanPaths(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, path := range []string{
		"//", "//healthz", "/./healthz", "/../healthz", "/x/../healthz", "/healthz/.", "/healthz/..", "/healthz//", "/..", "/.", "//evil.example/healthz", `/x/%2e%2e/healthz`,
		"/%2e/healthz", "/%2E%2E/healthz", "/workspaces//exec", "/workspaces//local/exec", "/workspaces/local//exec", "/workspaces/./exec", "/workspaces/../exec",
		"/workspaces/x/../local/exec", "/workspaces/local/x/../exec", "/workspaces/local/%2e%2e/local/exec", "/workspaces/local/./exec", "/workspaces/local/exec/.", "/workspaces/local/exec//",
		"/workspaces/local%2F..%2Flocal/exec", "///workspaces/local/exec",
	} {
		for _, method := range []string{"GET", "POST"} {
			for _, token := range []string{s.Token, ""} {
				a := exchange(t, s, method, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: 16\r\n\r\n%s", method, path, token, `{"cmd":["true"]}`))
				wantAnswer(t, method+" "+path, a, 404, "not_found")
				wantMarks(t, method+" "+path, a)
			}
		}
	}
	if rows := s.Execs(t); len(rows) != 0 {
		t.Errorf("rows %s", quote(rows))
	}
}

// HEAD answers as GET does, without the body, and is no way around a check.
func TestHead(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, path := range []string{
		"/healthz", "/readyz", "/session", "/workspaces", "/workspaces/local", "/workspaces/none", "/workspaces/local/activity", "/orgs/dev/tokens", "/orgs", "/none", "/workspaces?limit=0",
	} {
		for _, token := range []string{s.Token, ""} {
			get, head := s.Do(t, "GET", path, token, ""), s.Do(t, "HEAD", path, token, "")
			wantMarks(t, "HEAD "+path, head)
			for _, name := range []string{"Content-Type", "Content-Length", "Www-Authenticate", "Cache-Control"} {
				// A refusal leaves a row, which makes the next list longer.
				if strings.Contains(path, "activity") && name == "Content-Length" {
					continue
				}
				if get.Header.Get(name) != head.Header.Get(name) {
					t.Errorf("%s: %s is %q to GET, %q to HEAD", path, name, get.Header.Get(name), head.Header.Get(name))
				}
			}
			if head.Status != get.Status || head.Body != "" || get.Body == "" {
				t.Errorf("%s: %d to GET, %d %q to HEAD", path, get.Status, head.Status, head.Body)
			}
		}
	}
	if a := s.Do(t, "HEAD", "/workspaces/local/exec", s.Token, `{"cmd":["true"]}`); a.Status != 426 || len(s.Execs(t)) != 0 {
		t.Errorf("HEAD of exec: %d", a.Status)
	}
}

// OPTIONS is a method like any other, also of *, which names the server itself: no
// page of another site is told that it may.
func TestOptions(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	preflight := "Host: localhost\r\nConnection: close\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"
	for _, path := range []string{"/workspaces/local/exec", "/healthz", "/none", "*"} {
		a := exchange(t, s, "OPTIONS", "OPTIONS "+path+" HTTP/1.1\r\n"+preflight+"\r\n")
		wantMarks(t, "OPTIONS "+path, a)
		if a.Status < 400 {
			t.Errorf("OPTIONS %s by a page of another site: %d %v", path, a.Status, a.Header)
		}
	}
}

// A page of another site does nothing here, with whatever its browser adds.
func TestCrossSite(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	host := strings.TrimPrefix(s.URL, "http://")
	tests := []struct {
		name    string
		headers map[string]string
		ok      bool
	}{
		{"no browser", nil, true},
		{"same origin", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": s.URL}, true},
		{"typed into the address bar", map[string]string{"Sec-Fetch-Site": "none"}, true},
		{"an old browser, same origin", map[string]string{"Origin": s.URL}, true},
		{"another site", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, false},
		{"another site without an origin", map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		{"another site that claims ours", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": s.URL}, false},
		{"a neighbour", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://other." + host}, false},
		{"an old browser, another site", map[string]string{"Origin": "https://evil.example"}, false},
		{"an old browser, another port", map[string]string{"Origin": "http://127.0.0.1:1"}, false},
		{"a sandbox", map[string]string{"Origin": "null"}, false},
	}
	for _, tt := range tests {
		for method, path := range map[string]string{"POST": "/workspaces/local/exec", "PATCH": "/workspaces/local", "DELETE": "/workspaces/none", "GET": "/workspaces/local"} {
			req := s.Request(t, method, path, s.Token, map[string]string{"POST": `{"cmd":["true"]}`, "PATCH": `{}`}[method])
			for name, value := range tt.headers {
				req.Header.Set(name, value)
			}
			a, what := s.Send(t, req), tt.name+": "+method+" "+path
			wantMarks(t, what, a)
			switch {
			case !tt.ok && method != "GET": // reading is safe: the browser shows it to nobody
				wantAnswer(t, what, a, 403, "cross_origin_forbidden")
			case method == "DELETE":
				wantAnswer(t, what, a, 404, "workspace_not_found")
			default:
				wantAnswer(t, what, a, 200, "")
			}
		}
	}
	if rows, want := len(s.Execs(t)), 4; rows != want {
		t.Errorf("%d execs, want %d", rows, want)
	}
}

// A page whose name was made to lead to this machine has no token. What comes
// without one is answered on names of loopback alone.
func TestMisdirected(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	tests := map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST": true, "127.0.0.1": true, "127.0.0.1:1": true, "127.9.9.9": true, "[::1]": true, "[::1]:80": true,
		"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "xlocalhost": false, "10.0.0.1": false, "[2001:db8::1]": false, "0.0.0.0": false,
		"169.254.169.254": false,
	}
	for host, loopback := range tests {
		for _, path := range []string{"/healthz", "/readyz", "/session", "/workspaces/local/exec", "/none"} {
			req := s.Request(t, "GET", path, "", "")
			req.Host = host
			a := s.Send(t, req)
			wantMarks(t, host+path, a)
			if code := a.Code(); (a.Status == 421) == loopback || (code == "misdirected_request") == loopback {
				t.Errorf("%s%s: %d %s", host, path, a.Status, a.Body)
			}
		}
		for _, path := range []string{"/session", "/healthz"} {
			req := s.Request(t, "GET", path, s.Token, "")
			req.Host = host
			wantAnswer(t, host+path+" with a token", s.Send(t, req), 200, "")
		}
		if loopback {
			continue
		}
		for _, authorization := range []string{"Bearer x", "Bearer", "Basic eDp4", "x"} { // a page can make one up
			for _, route := range public {
				req := s.Request(t, "GET", strings.TrimPrefix(route, "GET "), "", "")
				req.Host = host
				req.Header.Set("Authorization", authorization)
				wantAnswer(t, host+" "+route+" with "+authorization, s.Send(t, req), 421, "misdirected_request")
			}
		}
	}
}

// No two requests have the same id, and none has what its caller wished for.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	seen := map[string]bool{}
	for range 20 {
		req := s.Request(t, "GET", "/healthz", "", "")
		req.Header.Set("X-Request-Id", "mine")
		id := s.Send(t, req).Header.Get("X-Request-Id")
		if seen[id] || id == "mine" {
			t.Errorf("id %q", id)
		}
		await(t, "the log to tell of "+id, func() bool { return strings.Contains(s.Log.String(), id) })
		seen[id] = true
	}
}
