package contract

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"sallyport/test/stack"
)

// Who holds a request's body back until the token is revoked does nothing with it any
// more: a token that is lost can't mint its successor.
func TestRevokedWhileBodyComes(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	for name, begin := range map[string]func(secret string) []string{
		"token": func(secret string) []string { return []string{"Authorization: Bearer " + secret} },
		"cookie": func(secret string) []string {
			c := openSession(t, s, secret)
			return []string{"Cookie: " + c.Name + "=" + c.Value}
		},
	} {
		for _, request := range []struct{ method, path, body string }{
			{"POST", "/orgs/" + h.ID + "/tokens", `{"name":"heir","scopes":["exec"]}`},
			{"POST", "/workspaces", `{"name":"left-behind"}`},
			{"PATCH", "/workspaces/build", `{"tier":4}`},
		} {
			t.Run(name+" "+request.path, func(t *testing.T) {
				token := newToken(t, s, "/orgs/"+h.ID, "exec", "workspaces", "tokens")
				conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				header := append(begin(token.Secret), "Host: localhost", "Content-Type: application/json", "Expect: 100-continue", fmt.Sprintf("Content-Length: %d", len(request.body)))
				fmt.Fprintf(conn, "%s %s HTTP/1.1\r\n%s\r\n\r\n", request.method, request.path, strings.Join(header, "\r\n"))
				answer := bufio.NewReader(conn)
				first, err := http.ReadResponse(answer, nil) // sent when the body is read: the caller is proven
				if err != nil || first.StatusCode != http.StatusContinue {
					t.Fatalf("%v, %v", first, err)
				}
				wantAnswer(t, "revoke", s.Do(t, "DELETE", "/orgs/"+h.ID+"/tokens/"+token.ID, s.AdminToken, ""), 204, "")
				fmt.Fprint(conn, request.body)
				resp, err := http.ReadResponse(answer, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("the revoked token is answered %s", resp.Status)
				}
			})
		}
	}
}
