//go:build linux

package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// tenant is an organisation of its own, with a workspace build on this machine.
type tenant struct {
	s     *stack.Stack
	id    string
	token string
}

func newTenant(t testing.TB, s *stack.Stack, name string) *tenant {
	t.Helper()
	made := &tenant{s: s}
	make := func(path, body string, into any) {
		t.Helper()
		a := s.Do(t, http.MethodPost, path, s.AdminToken, body)
		if a.Status != http.StatusCreated {
			t.Fatalf("POST %s: %d %s", path, a.Status, a.Body)
		}
		a.Decode(t, into)
	}
	var org sallyport.Org
	make("/orgs", fmt.Sprintf(`{"name":%q}`, name), &org)
	made.id = org.ID
	make("/workspaces", fmt.Sprintf(`{"org_id":%q,"name":"build","tier":4,"connector":{"type":"local"}}`, org.ID), &sallyport.Workspace{})
	made.token = made.newToken(t)
	return made
}

// newToken makes one more token of it.
func (n *tenant) newToken(t testing.TB) string {
	t.Helper()
	scopes, err := json.Marshal(sallyport.AllScopes())
	if err != nil {
		t.Fatal(err)
	}
	var token sallyport.Token
	n.s.Do(t, http.MethodPost, "/orgs/"+n.id+"/tokens", n.s.AdminToken, fmt.Sprintf(`{"name":"one","scopes":%s}`, scopes)).Decode(t, &token)
	return token.Secret
}

// tryDial opens a connection; nil is one that the server has closed already.
func tryDial(t testing.TB, s *stack.Stack) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		return nil
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// statusOf reads the beginning of an answer; 0 is a connection that was closed.
func statusOf(conn net.Conn) int {
	line, err := bufio.NewReader(conn).ReadString('\n')
	if _, status, ok := strings.Cut(line, " "); err == nil && ok && len(status) >= 3 {
		n, _ := strconv.Atoi(status[:3])
		return n
	}
	return 0
}

// One organisation opens what holds a connection for as long as it likes, three hundred of
// each, where the process may have 256 files open. Others are served, each time.
func TestConnectionsWithoutEnd(t *testing.T) {
	t.Parallel()
	const files, tried = 256, 300
	server := startChild(t, childOptions{openFiles: files})
	hostile := newTenant(t, server.Stack, "hostile")
	neighbour := newCaller(t, server.Stack)
	served := func(what string) {
		t.Helper()
		conn := dial(t, server.Stack)
		askHealth(t, conn)
		conn.Close()
		neighbour.mustServe(t)
		t.Logf("served beside %s", what)
	}
	served("nothing")

	var tokens []string
	for range 8 {
		tokens = append(tokens, hostile.newToken(t))
	}
	open, refused := 0, 0
	for i := range tried {
		conn := tryDial(t, server.Stack)
		if conn == nil {
			continue
		}
		fmt.Fprintf(conn, "GET /orgs/%s/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", hostile.id, tokens[i%len(tokens)])
		switch status := statusOf(conn); status {
		case http.StatusOK:
			open++
		case http.StatusTooManyRequests:
			refused++
		default:
			t.Fatalf("event stream %d: status %d", i, status)
		}
	}
	if most := files / 4; open > most || open == 0 || open+refused != tried {
		t.Errorf("%d streams are open and %d refused, of %d", open, refused, tried)
	}
	served(fmt.Sprintf("%d event streams", open))

	for i := range tried { // a caller that drips: the body never comes
		if conn := tryDial(t, server.Stack); conn != nil {
			_, _ = io.WriteString(conn, "POST /workspaces/build/exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+tokens[i%len(tokens)]+"\r\nContent-Length: 100\r\n\r\n{")
		}
	}
	served("bodies that never come")
	for range tried {
		if conn := tryDial(t, server.Stack); conn != nil {
			_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\n")
		}
	}
	served("headers that never come")
	if log := string(server.log(t)); !strings.Contains(log, "connections are as many as there may be") {
		t.Error("the log doesn't say that there was no room")
	}
	if code := server.terminate(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}
