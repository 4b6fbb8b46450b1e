package files

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// What ends attachments on their way, a form or a copy, leaves nothing of them: not on the
// machine, and not in the list. Each file's row says what it was.
func TestAttachEnded(t *testing.T) {
	t.Parallel()
	for how, begin := range map[string]func(*testing.T, *machine) (rows int){"form": beginForm, "copy": beginCopy} {
		for reason, end := range map[string]func(*testing.T, *machine, sallyport.Token){"revoked": revoke, "draining": drain} {
			t.Run(how+" "+reason, func(t *testing.T) {
				t.Parallel()
				m := embedded(t, stack.Start(t, stack.Options{
					Flags: map[string]string{"drain_timeout": "1ms"},
					Env: map[string]string{
						"SALLYPORT_LIMITS_ATTACHMENT_BYTES": "9000000000", "SALLYPORT_LIMITS_ATTACHMENTS_BYTES": "9000000000",
					},
				}))
				var token sallyport.Token
				m.Do(t, "POST", "/orgs/"+m.OrgID+"/tokens", m.Token, `{"name":"short","scopes":["attachments","files:read"]}`).Decode(t, &token)
				admin := m.Token
				m.Token = token.Secret
				n := begin(t, m)
				m.Token = admin
				end(t, m, token)
				for _, row := range m.rows(t)[:n] {
					if row.Op != "attach" || row.Status != sallyport.StatusCanceled || row.Reason != reason || row.CompletedAt == nil || row.SHA256 != "" {
						t.Errorf("row %+v", row)
					}
				}
				if left := m.left(t); left != "" {
					t.Errorf("left %s", left)
				}
			})
		}
	}
}

// beginForm sends a form's first file, and a part of its second.
func beginForm(t *testing.T, m *machine) (rows int) {
	addr := strings.TrimPrefix(m.URL, "http://")
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /workspaces/%s/attachments HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n", m.name, addr, m.Token)
	fmt.Fprint(conn, "--b\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\nwhole\r\n--b\r\nContent-Disposition: form-data; name=b; filename=b\r\n\r\n"+strings.Repeat("x", 3<<20))
	m.await(t, func() bool { return m.onDisk(t) >= 2 })
	return 2
}

// beginCopy has a file attached that takes long to copy.
func beginCopy(t *testing.T, m *machine) (rows int) {
	m.put(t, "large", "")
	must(t, os.Truncate(filepath.Join(m.dir, "large"), 8<<30))
	req := m.Request(t, http.MethodPost, "/workspaces/"+m.name+"/attachments", m.Token, `{"path":"large"}`)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		if answer, err := transport.RoundTrip(req); err == nil {
			answer.Body.Close()
			if answer.StatusCode < 400 {
				t.Errorf("the copy ended with %d", answer.StatusCode)
			}
		}
	}()
	t.Cleanup(func() { <-ended })
	m.await(t, func() bool { return m.onDisk(t) >= 1 })
	return 1
}

// onDisk counts the files of attachments that are on the machine, and hold something.
func (m *machine) onDisk(t *testing.T) (n int) {
	names, err := filepath.Glob(filepath.Join(m.dir, ".sallyport/attachments/*/*"))
	must(t, err)
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			n++
		}
	}
	return n
}

func revoke(t *testing.T, m *machine, token sallyport.Token) {
	m.Do(t, "DELETE", "/orgs/"+m.OrgID+"/tokens/"+token.ID, m.Token, "")
	m.await(t, func() bool { return m.rows(t)[0].CompletedAt != nil })
}

// drain ends the server, and starts another on its data.
func drain(t *testing.T, m *machine, _ sallyport.Token) {
	must(t, m.Stop())
	m.Stack = stack.Start(t, stack.Options{DataDir: m.DataDir})
}
