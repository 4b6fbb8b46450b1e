package files

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// Beyond so many at once an operation is refused, and leaves no row.
func TestTooManyTransfers(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_RUNNING_FILES_PER_WORKSPACE": "1"}}))
	conn := m.begin(t, "f")
	before := len(m.rows(t))
	if a := m.want(t, 429, "too_many_transfers", "GET", "", ""); a.Header.Get("Retry-After") == "" || a.Header.Get(sallyport.HeaderActivityID) != "" {
		t.Errorf("headers %v", a.Header)
	}
	if after := len(m.rows(t)); after != before {
		t.Errorf("%d rows, then %d", before, after)
	}
	conn.Close()
	m.await(t, func() bool { return m.rows(t)[0].Status == sallyport.StatusCanceled })
	m.want(t, 200, "", "GET", "", "")
}

// A token that is revoked ends what it writes, also while its holder sends nothing.
func TestRevokedWhileSilent(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Start(t, stack.Options{}))
	m.put(t, "f", "old")
	var token sallyport.Token
	m.Do(t, "POST", "/orgs/"+m.OrgID+"/tokens", m.Token, `{"name":"short","scopes":["files:write"]}`).Decode(t, &token)
	admin := m.Token
	m.Token = token.Secret
	conn := m.begin(t, "f")
	defer conn.Close()
	m.Token = admin
	m.Do(t, "DELETE", "/orgs/"+m.OrgID+"/tokens/"+token.ID, m.Token, "")
	m.await(t, func() bool { return m.rows(t)[0].Status == sallyport.StatusCanceled })
	if row := m.rows(t)[0]; row.Reason != "revoked" || m.read(t, "f") != "old" || m.names(t, "") != "f" {
		t.Errorf("row %+v, names %s", row, m.names(t, ""))
	}
}

// begin sends the header of a PUT, and the beginning of its body.
func (m *machine) begin(t testing.TB, path string) net.Conn {
	t.Helper()
	addr := strings.TrimPrefix(m.URL, "http://")
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	fmt.Fprintf(conn, "PUT /workspaces/%s/files/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", m.name, path, addr, m.Token)
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	fmt.Fprint(conn, "begun")
	return conn
}
