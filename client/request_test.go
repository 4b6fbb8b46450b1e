package client_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func TestURLForms(t *testing.T) {
	var path string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		answerJSON(w, 200, sallyport.Session{Actor: "org-token:x"})
	})
	host := c.URL
	for suffix, want := range map[string]string{
		"": "/session", "/": "/session", "//": "/session", "/sallyport": "/sallyport/session", "/a/b/": "/a/b/session",
	} {
		c.URL = host + suffix
		if s, err := c.Session(t.Context()); err != nil || s.Actor != "org-token:x" || path != want {
			t.Errorf("%q: %s, %+v, %v", suffix, path, s, err)
		}
	}
}

func TestURLsThatAreNone(t *testing.T) {
	for _, bad := range []string{
		"", "localhost:8080", "127.0.0.1:8080", "sallyport.example.com", "ftp://h", "http://", "http://h?x=1", "http://h#x",
		"http://me:secret@h", "http://h\n", "%",
	} {
		c := client.New(bad, token)
		_, err := c.Session(t.Context())
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.HasPrefix(err.Error(), "ask who the token is: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A token is for one address: whoever redirects does not get it, nor gets to say
// where the command goes.
func TestRedirectsAreRefused(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("followed to %s with %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, status)
		})
		_, sessionErr := c.Session(t.Context())
		_, execErr := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}})
		for _, err := range []error{sessionErr, execErr} {
			var not *client.StatusError
			if !errors.As(err, &not) || not.StatusCode != status || !strings.HasPrefix(not.Location, other.URL) {
				t.Errorf("%d: %v", status, err)
			}
			if errors.Is(err, client.ErrCut) {
				t.Errorf("%d counts as cut", status)
			}
		}
	}
}

func TestAnswersThatAreNotOurs(t *testing.T) {
	tests := []struct {
		name        string
		status      int
		contentType string
		body        string
		want        string
	}{
		{"a proxy's page", 502, "text/html", "<html>Bad Gateway</html>", "the server answered 502 Bad Gateway, not in Sallyport's words"},
		{"an error of somebody else's", 500, "application/json", `{"error":"oops"}`, "the server answered 500 Internal Server Error, not in Sallyport's words"},
		{"an empty error", 503, "", "", "the server answered 503 Service Unavailable, not in Sallyport's words"},
		{"a server that speaks TLS", 400, "", "Client sent an HTTP request to an HTTPS server.\n", "the server speaks TLS, and was asked in plain HTTP"},
		{"a captive portal", 200, "text/html", "<html>Welcome</html>", `the answer is of type "text/html", not one of Sallyport's`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.contentType)
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.body))
			})
			_, getErr := c.GetWorkspace(t.Context(), "w")
			_, execErr := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}})
			for _, err := range []error{getErr, execErr} {
				var not *client.StatusError
				if !errors.As(err, &not) || not.Error() != tt.want || not.StatusCode != tt.status {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

func TestErrorOfOurs(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		e := sallyport.Errorf(sallyport.CodeInternal, "something went wrong")
		e.RequestID = "r-1"
		answerJSON(w, 500, e)
	})
	_, err := c.GetWorkspace(t.Context(), "web")
	var e *sallyport.Error
	if !errors.As(err, &e) || e.RequestID != "r-1" || err.Error() != "get workspace web: something went wrong" {
		t.Errorf("%v", err)
	}
}

func TestBrokenJSON(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sallyport.MediaJSON)
		w.Write([]byte(`{"id":`))
	})
	if _, err := c.GetWorkspace(t.Context(), "w"); err == nil || !strings.HasPrefix(err.Error(), "get workspace w: read the answer: ") {
		t.Error(err)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := client.Client{URL: "http://" + l.Addr().String()}
	_, err = c.ListWorkspaces(t.Context(), client.Page{})
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.HasPrefix(err.Error(), "list workspaces: reach http://127.0.0.1:") {
		t.Error(err)
	}
}

func TestNamesAreEscaped(t *testing.T) {
	var path string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		answerJSON(w, 200, sallyport.Workspace{})
	})
	for ref, want := range map[string]string{
		"../orgs/x": "/workspaces/..%2Forgs%2Fx", "a b?c#d": "/workspaces/a%20b%3Fc%23d", "%2e%2e": "/workspaces/%252e%252e",
	} {
		if _, err := c.GetWorkspace(t.Context(), ref); err != nil || path != want {
			t.Errorf("%q: %s, %v", ref, path, err)
		}
	}
	for _, ref := range []string{"", ".", ".."} {
		path = ""
		if _, err := c.GetWorkspace(t.Context(), ref); err == nil || path != "" {
			t.Errorf("%q asked for %s", ref, path)
		}
	}
}

func TestOnAnswer(t *testing.T) {
	const body = `{"actor":"org-token:x","new":[1,  2]}`
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sallyport.MediaJSON)
		w.Write([]byte(body))
	})
	var got string
	c.OnAnswer = func(json []byte) { got = string(json) }
	if _, err := c.Session(t.Context()); err != nil || got != body {
		t.Errorf("%q, %v", got, err)
	}
}
