package contract

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/identity"
	"sallyport/internal/principal"
	"sallyport/test/stack"
)

// changed is s with another character at i.
func changed(s string, i int) string {
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

// Whatever proves nobody gets one and the same answer: no header of it and no byte
// of its body tells what was wrong.
func TestUnauthenticated(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	org, ws, admin := h.token, newToken(t, s, "/workspaces/"+h.ws.ID).Secret, s.AdminToken
	tests := []struct {
		name   string
		values []string // of the Authorization header
	}{
		{"none", nil},
		{"empty", []string{""}},
		{"scheme alone", []string{"Bearer"}},
		{"no token", []string{"Bearer "}},
		{"blanks", []string{"Bearer    "}},
		{"no scheme", []string{org}},
		{"garbage", []string{"Bearer garbage"}},
		{"wrong scheme", []string{"Token " + org}},
		{"basic", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("token:"+org))}},
		{"basic with the token itself", []string{"Basic " + org}},
		{"two headers", []string{"Bearer " + org, "Bearer " + org}},
		{"two headers, the first is good", []string{"Bearer " + org, "Bearer x"}},
		{"two tokens", []string{"Bearer " + org + " " + org}},
		{"two tokens with a comma", []string{"Bearer " + org + ", Bearer " + org}},
		{"tab for blank", []string{"Bearer\t" + org}},
		{"quoted", []string{`Bearer "` + org + `"`}},
		{"prefix of an organisation's", []string{"Bearer " + org[:len(org)-1]}},
		{"prefix of a workspace's", []string{"Bearer " + ws[:len(ws)-10]}},
		{"prefix of the admin's", []string{"Bearer " + admin[:len(admin)-1]}},
		{"prefix as lists show it", []string{"Bearer " + org[:len("sp_org_")+8]}},
		{"more behind it", []string{"Bearer " + org + "x"}},
		{"first character", []string{"Bearer " + changed(org, 0)}},
		{"name changed", []string{"Bearer " + changed(org, len("sp_org_"))}},
		{"secret changed", []string{"Bearer " + changed(org, len(org)/2)}},
		{"checksum changed", []string{"Bearer " + changed(org, len(org)-1)}},
		{"checksum of the admin's changed", []string{"Bearer " + changed(admin, len(admin)-1)}},
		{"upper case", []string{"Bearer " + strings.ToUpper(org)}},
		{"well-formed, never made", []string{"Bearer " + identity.Mint(principal.Org).Secret}},
		{"well-formed, never the admin's", []string{"Bearer " + identity.Mint(principal.Admin).Secret}},
		{"another product's", []string{"Bearer ghp_0123456789abcdefghijklmnopqrstuvwxyz"}},
		{"a JWT", []string{"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."}},
		{"NUL", []string{"Bearer " + org[:10] + "%00" + org[10:]}},
		{"long", []string{"Bearer " + long(16<<10)}},
		{"expired", []string{"Bearer " + expired(t, s, "/orgs/"+h.ID)}},
		{"expired, of a workspace", []string{"Bearer " + expired(t, s, "/workspaces/"+h.ws.ID)}},
		{"revoked", []string{"Bearer " + revoked(t, s, "/orgs/"+h.ID)}},
		{"revoked, of a workspace", []string{"Bearer " + revoked(t, s, "/workspaces/"+h.ws.ID)}},
	}
	want := s.Do(t, http.MethodGet, "/session", "", "")
	wantAnswer(t, "no token", want, 401, "unauthenticated")
	if got := want.Header["Www-Authenticate"]; len(got) != 1 || got[0] != "Bearer" {
		t.Errorf("WWW-Authenticate: %q", got)
	}
	for _, tt := range tests {
		for _, path := range []string{"/session", "/workspaces/" + h.ws.ID, "/workspaces/" + nobody(), "/orgs", "/no/such/route"} {
			req := s.Request(t, http.MethodGet, path, "", "")
			req.Header["Authorization"] = tt.values
			if got := s.Send(t, req); dump(got) != dump(want) {
				t.Errorf("%s: GET %s: got %s, want %s", tt.name, path, dump(got), dump(want))
			}
		}
	}
	for _, secret := range []string{org, ws, admin} {
		if strings.Contains(s.Log.String(), secret) {
			t.Error("a token is in the log")
		}
	}
}

// A token is taken from one header alone, whose scheme may be written in any case.
func TestWhereTheTokenStands(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER ", "Bearer  "} {
		req := s.Request(t, http.MethodGet, "/session", "", "")
		req.Header.Set("Authorization", scheme+s.Token)
		wantAnswer(t, scheme, s.Send(t, req), 200, "")
	}
	for _, query := range []string{"token=", "access_token=", "Authorization=Bearer%20", "bearer="} {
		a := s.Do(t, http.MethodGet, "/session?"+query+s.Token, "", "")
		wantAnswer(t, query, a, 401, "unauthenticated")
	}
	for _, header := range []string{"X-Api-Key", "X-Auth-Token", "Proxy-Authorization", "Cookie"} {
		req := s.Request(t, http.MethodGet, "/session", "", "")
		req.Header.Set(header, "token="+s.Token)
		wantAnswer(t, header, s.Send(t, req), 401, "unauthenticated")
	}
	a := s.Do(t, http.MethodPost, "/workspaces/local/exec", "", `{"cmd":["true"],"token":"`+s.Token+`"}`)
	wantAnswer(t, "in the body", a, 401, "unauthenticated")
	if log := s.Log.String(); strings.Contains(log, s.Token) || strings.Contains(log, "access_token") {
		t.Error("a query is in the log")
	}
}

// A token of a megabyte is refused before it is looked at.
func TestHeaderOverTheLimit(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	// The server may hang up before it has read all: that is no fault of the write.
	go io.WriteString(conn, "GET /session HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+long(1<<20)+"\r\n\r\n")
	if answer := readUntil(t, conn, "\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 431 ") {
		t.Errorf("got %q", answer)
	}
	wantAnswer(t, "others", s.Do(t, http.MethodGet, "/session", s.Token, ""), 200, "")
}

// Who somebody is doesn't depend on what they claim besides.
func TestForgedHeaders(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	a, b := newHome(t, s, "a"), newHome(t, s, "b")
	want := s.Do(t, http.MethodGet, "/session", a.token, "")
	forged := map[string]string{
		"X-Sallyport-Org": b.ID, "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "b.example", "X-Forwarded-User": "admin",
		"X-Real-Ip": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Http-Method-Override": "DELETE", "X-Method-Override": "DELETE",
		"X-Original-Url": "/orgs", "X-Rewrite-Url": "/orgs", "Host": "b.example",
	}
	forge := func(method, path, token, body string) stack.Answer {
		req := s.Request(t, method, path, token, body)
		for name, value := range forged {
			req.Header.Set(name, value)
		}
		req.Host = forged["Host"]
		return s.Send(t, req)
	}
	if got := forge("GET", "/session", a.token, ""); dump(got) != dump(want) {
		t.Errorf("got %s, want %s", dump(got), dump(want))
	}
	wantAnswer(t, "read with DELETE forged", forge("GET", "/workspaces/build", a.token, ""), 200, "")
	wantAnswer(t, "workspace of another", forge("GET", "/workspaces/"+b.ws.ID, a.token, ""), 404, "workspace_not_found")
	wantAnswer(t, "exec", forge("POST", "/workspaces/build/exec", a.token, `{"cmd":["true"]}`), 200, "")
	rows := rowsAt(t, s, a.token, "/workspaces/build/activity?type=workspace_exec")
	if len(rows) != 1 || rows[0].ClientAddr != "127.0.0.1" || rows[0].OrgID != a.ID {
		t.Errorf("rows %s", quote(rows))
	}
}

// What a proxy says of its client is believed of the proxies that are trusted.
func TestTrustedProxy(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_PROXIES_TRUSTED": "127.0.0.0/8,10.0.0.1"}})
	tests := []struct{ forwarded, want string }{
		{"", "127.0.0.1"},
		{"203.0.113.9", "203.0.113.9"},
		{"198.51.100.1, 203.0.113.9", "203.0.113.9"},
		{"198.51.100.1, 203.0.113.9, 10.0.0.1", "203.0.113.9"},
		{"2001:db8::1", "2001:db8::1"},
		{"203.0.113.9, nonsense", "127.0.0.1"},
		{"nonsense", "127.0.0.1"},
	}
	for _, tt := range tests {
		req := s.Request(t, http.MethodPost, "/workspaces/local/exec", s.Token, `{"cmd":["true"]}`)
		if tt.forwarded != "" {
			req.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		wantAnswer(t, tt.forwarded, s.Send(t, req), 200, "")
		if got := s.Execs(t)[0].ClientAddr; got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.forwarded, got, tt.want)
		}
	}
}

// GET /session tells each kind of caller who it is.
func TestSession(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	org := newToken(t, s, "/orgs/"+h.ID, "audit:read", "exec")
	ws := newToken(t, s, "/workspaces/"+h.ws.ID)
	tests := []struct {
		token string
		want  sallyport.Session
	}{
		{s.AdminToken, sallyport.Session{Actor: "admin-token", Scopes: sallyport.AllScopes()}},
		{org.Secret, sallyport.Session{Actor: "org-token:" + org.Prefix, OrgID: h.ID, Scopes: []sallyport.Scope{"exec", "audit:read"}}},
		{ws.Secret, sallyport.Session{Actor: "workspace-token:" + ws.Prefix, OrgID: h.ID, WorkspaceID: h.ws.ID, Scopes: sallyport.DefaultScopes()}},
	}
	for _, tt := range tests {
		a := s.Do(t, http.MethodGet, "/session", tt.token, "")
		if a.Status != 200 || strings.TrimSpace(a.Body) != quote(tt.want) {
			t.Errorf("got %d %s, want %s", a.Status, a.Body, quote(tt.want))
		}
	}
}
