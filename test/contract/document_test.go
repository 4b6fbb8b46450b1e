package contract

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/test/stack"
)

// The documentation is anyone's, and kept as long as it is the same.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for path, mediaType := range map[string]string{"/openapi.json": "application/json", "/docs": "text/html; charset=utf-8"} {
		a := s.Do(t, "GET", path, "", "")
		etag := a.Header.Get("ETag")
		if a.Status != 200 || a.Header.Get("Content-Type") != mediaType || a.Header.Get("Cache-Control") != "no-cache" || etag == "" {
			t.Errorf("%s: %d %v", path, a.Status, a.Header)
		}
		wantMarks(t, path, a)
		for given, want := range map[string]int{etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200} {
			for _, method := range []string{"GET", "HEAD"} {
				req := s.Request(t, method, path, "", "")
				req.Header.Set("If-None-Match", given)
				b := s.Send(t, req)
				if b.Status != want || b.Header.Get("ETag") != etag || want == 304 && b.Body != "" || want == 200 && method == "GET" && b.Body != a.Body {
					t.Errorf("%s %s, which has %s: %d, %d bytes, %v", method, path, given, b.Status, len(b.Body), b.Header)
				}
			}
		}
		// A page whose name was made to lead here.
		req := s.Request(t, "GET", path, "", "")
		req.Host = "evil.example"
		wantAnswer(t, path+" on another name", s.Send(t, req), 421, "misdirected_request")
	}
	if policy := s.Do(t, "GET", "/docs", "", "").Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") ||
		strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
}

// TestDocumentNamesNobody: what a stranger may read tells nothing of who is here.
func TestDocumentNamesNobody(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "secret-name")
	for _, path := range []string{"/openapi.json", "/docs", "/healthz", "/readyz"} {
		body := s.Do(t, "GET", path, "", "").Body
		for _, canary := range []string{h.ID, h.Name, h.token, h.ws.ID, s.OrgID, s.WorkspaceID, s.Token, s.AdminToken, s.DataDir} {
			if strings.Contains(body, canary) {
				t.Errorf("%s has %s", path, canary)
			}
		}
	}
}

// TestRequestFields: what a route says that it takes is what the document says.
func TestRequestFields(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	var doc struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	s.Do(t, "GET", "/openapi.json", "", "").Decode(t, &doc)
	for _, tt := range []struct{ method, path, schema string }{
		{"POST", "/orgs/" + h.ID + "/ca/rotate", "CARotate"},
		{"POST", "/orgs", "OrgCreate"},
		{"PATCH", "/orgs/" + h.ID, "OrgPatch"},
		{"POST", "/orgs/" + h.ID + "/tokens", "TokenCreate"},
		{"POST", "/workspaces", "WorkspaceCreate"},
		{"PATCH", "/workspaces/" + h.ws.ID, "WorkspacePatch"},
		{"POST", "/workspaces/" + h.ws.ID + "/tokens", "TokenCreate"},
		{"POST", "/workspaces/" + h.ws.ID + "/exec", "ExecRequest"},
	} {
		a := s.Do(t, tt.method, tt.path, s.AdminToken, `{"nobody-knows-this":1}`)
		wantAnswer(t, tt.path, a, http.StatusBadRequest, "unknown_field")
		var e struct{ Error string }
		if err := json.Unmarshal([]byte(a.Body), &e); err != nil {
			t.Fatal(err)
		}
		taken := strings.Split(regexp.MustCompile(`there are (.*)$`).FindStringSubmatch(e.Error)[1], ", ")
		var described []string
		for name := range doc.Components.Schemas[tt.schema].Properties {
			described = append(described, name)
		}
		slices.Sort(taken)
		slices.Sort(described)
		if !slices.Equal(taken, described) {
			t.Errorf("%s %s takes %v; %s has %v", tt.method, tt.path, taken, tt.schema, described)
		}
	}
}

// What asks for a WebSocket and is no handshake is answered as the document says.
func TestRefusedHandshakes(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for connection, want := range map[string]int{"close": http.StatusUpgradeRequired, "Upgrade": http.StatusBadRequest} {
		req := s.Request(t, "GET", "/orgs/dev/events", s.Token, "")
		req.Header.Set("Upgrade", "websocket")
		req.Header.Set("Connection", connection)
		if a := s.Send(t, req); a.Status != want {
			t.Errorf("connection %s: %d %s", connection, a.Status, a.Body)
		}
	}
}
