//go:build linux

package faults

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/identity"
	"sallyport/internal/principal"
)

// plantTokens uses tokens of every kind, good and bad, and counts each as a canary.
func (f *flock) plantTokens() {
	var workspace, revoked struct{ ID, Token string }
	f.create("/workspaces/local/tokens?org=dev", `{"name":"planted"}`, &workspace)
	f.create("/orgs/dev/tokens", `{"name":"revoked"}`, &revoked)
	if status := f.request(http.MethodDelete, "/orgs/dev/tokens/"+revoked.ID, f.server.AdminToken, "", nil); status != http.StatusNoContent {
		f.t.Errorf("revoke: %d", status)
	}
	unknown := identity.Mint(principal.Org).Secret
	mistyped := unknown[:len(unknown)-1] + map[bool]string{true: "b", false: "a"}[strings.HasSuffix(unknown, "a")]
	for name, token := range map[string]string{
		"organisation's": f.server.Token, "admin's": f.server.AdminToken, "workspace's": workspace.Token,
		"revoked": revoked.Token, "unknown": unknown, "mistyped": mistyped, "cut": unknown[:40], "garbage": f.bird("garbage as token"),
	} {
		f.canaries["token, "+name] = token
		if strings.HasPrefix(token, "sp_") {
			// The prefix is no secret. What follows is, also by itself.
			f.canaries["secret part of the token, "+name] = token[len("sp_adm_")+8:]
		}
		f.request(http.MethodPost, "/workspaces/local/exec", token, `{"cmd":["true"]}`, nil)
		f.request(http.MethodGet, "/session", token, "", nil)
		f.misplace(token)
	}
}

// misplace puts a token where none belongs.
func (f *flock) misplace(token string) {
	for _, path := range []string{
		"/session?token=" + token, "/session?" + token, "/activity?access_token=" + token + "&q=" + token,
	} {
		f.request(http.MethodGet, path, "", "", nil)
		f.request(http.MethodGet, path, f.server.Token, "", nil)
	}
	if !strings.HasPrefix(token, "sp_") {
		return // in a path it is a name like any other
	}
	for _, path := range []string{
		"/" + token, "/workspaces/" + token, "/workspaces/" + token + "/exec", "/orgs/dev/tokens/" + token,
		"/workspaces/local/" + token + "/x", "/x/token=" + token, "//" + token, "/x/../" + token,
		// The log cuts long paths: in the middle of a token, here.
		"/" + strings.Repeat("x", 160) + "/" + token,
	} {
		for _, by := range []string{"", f.server.Token} {
			f.request(http.MethodGet, path, by, "", nil)
			f.request(http.MethodPost, path, by, `{"cmd":["true"]}`, nil)
		}
	}
}

// plantRequests puts canaries into what else a request has.
func (f *flock) plantRequests() {
	for _, value := range []string{
		"Bearer " + f.bird("Authorization Bearer"), f.bird("Authorization without a scheme"),
		"Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+f.bird("Authorization Basic"))),
		"Bearer  " + f.bird("Authorization with blanks") + " x", "Digest " + f.bird("Authorization Digest"),
	} {
		f.canaries["header "+value[:10]] = value[max(7, strings.LastIndex(value[:len(value)-2], " ")+1):]
		f.request(http.MethodGet, "/session", "", "", http.Header{"Authorization": {value}})
		f.request(http.MethodGet, "/session", f.server.Token, "", http.Header{"Authorization": {value, "Bearer " + f.server.Token}})
	}
	f.request(http.MethodGet, "/session", f.server.Token, "", http.Header{
		"Cookie": {"session=" + f.bird("cookie")}, "User-Agent": {f.bird("User-Agent")}, "Referer": {"http://localhost/?" + f.bird("Referer")},
		"X-Forwarded-For": {f.bird("X-Forwarded-For")}, "X-Api-Key": {f.bird("X-Api-Key")}, "X-Request-Id": {f.bird("X-Request-Id")},
		"Host": {f.bird("Host") + ".localhost"}, "Idempotency-Key": {f.bird("Idempotency-Key")},
	})
	f.request(http.MethodGet, "/session?q="+f.bird("query"), f.server.Token, "", nil)
	f.raw("GET / HTTP/1.1\r\nHost: localhost\r\nBad Header " + f.bird("malformed header") + "\r\n\r\n")
	f.raw("GET /?" + f.bird("malformed version") + " HTTP/9.x\r\n\r\n")
	f.raw("GET /?a=1;token=" + f.bird("semicolon in a query") + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	f.raw(f.bird("no HTTP") + "\r\n\r\n")
	f.raw(fmt.Sprintf("POST /workspaces/local/exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: 999\r\n\r\n%s",
		f.server.Token, f.bird("body that didn't arrive whole")))
}

// raw sends bytes, ends the sending half, and waits for the server's end.
func (f *flock) raw(request string) {
	f.t.Helper()
	conn := dial(f.t, f.server.Stack)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		f.t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		f.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		f.t.Fatal(err)
	}
}

// TestTokensInDisguise puts a token into a request line in forms in which it
// doesn't read as one at first sight.
func TestTokensInDisguise(t *testing.T) {
	server := startChild(t, childOptions{flags: map[string]string{"log.level": "debug"}})
	f := &flock{t: t, server: server, caller: newCaller(t, server.Stack), canaries: map[string]string{}}
	for place, line := range map[string]string{
		"escaped in a path":         "GET /workspaces/%73p_org_SECRET HTTP/1.1",
		"escaped underscores":       "GET /workspaces/sp%5forg%5FSECRET HTTP/1.1",
		"the method":                "sp_org_SECRET / HTTP/1.1",
		"an absolute URL's user":    "GET http://sp_org_SECRET@localhost/session HTTP/1.1",
		"an absolute URL's query":   "GET http://localhost/session?sp_org_SECRET HTTP/1.1",
		"a path with an escaped ?":  "GET /session%3Fsp_org_SECRET HTTP/1.1",
		"a fragment":                "GET /session#sp_org_SECRET HTTP/1.1",
		"the authority of CONNECT":  "CONNECT sp_org_SECRET:80 HTTP/1.1",
		"a path that is not clean":  "GET //x/%2e%2e/sp_org_SECRET HTTP/1.1",
		"a path without its slash":  "GET sp_org_SECRET HTTP/1.1",
		"the version":               "GET / sp_org_SECRET",
		"the middle of a long path": "GET /" + strings.Repeat("x", 180) + "sp_org_SECRET HTTP/1.1",
	} {
		secret := identity.Mint(principal.Org).Secret[len("sp_org_"):]
		f.canaries[place] = secret
		f.raw(strings.Replace(line, "SECRET", secret, 1) + "\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	}
	for name, content := range f.files() {
		for place, secret := range f.canaries {
			if strings.Contains(string(content), secret[8:]) {
				t.Errorf("the token in %s is in %s", place, name)
			}
		}
	}
}
