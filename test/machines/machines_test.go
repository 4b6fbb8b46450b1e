//go:build linux

// Package machines runs execs on real machines: OpenSSH servers that the tests start,
// with every login shell that people have, as an ordinary user and as root.
package machines

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"sallyport/client"
	"sallyport/client/sallyport"
	_ "sallyport/test/apart"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

func TestMain(m *testing.M) {
	// An exec costs more than what it carries: few properties' checks, of many arguments each.
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// machine is a workspace on an OpenSSH server.
type machine struct {
	*stack.Stack
	sshd   *sshd.Server
	name   string // the workspace's
	client *client.Client
	ca     string // the file of the CA that it trusts
}

// newMachine starts an sshd that trusts the CA of the organisation dev, and makes a
// workspace of it.
func newMachine(t testing.TB, s *stack.Stack, o sshd.Options) *machine {
	t.Helper()
	m := &machine{Stack: s, ca: filepath.Join(t.TempDir(), "ca.pub"), client: client.New(s.URL, s.Token)}
	t.Cleanup(m.client.Close)
	m.trust(t)
	o.Config = append(o.Config, "TrustedUserCAKeys "+m.ca)
	m.sshd = sshd.Start(t, o)
	m.name = fmt.Sprintf("m%d", m.port(t))
	m.create(t, m.connector(t, m.sshd.Addr))
	return m
}

// trust gives the machine the keys of the CA that are in force.
func (m *machine) trust(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(m.ca, []byte(m.Do(t, http.MethodGet, "/ca", m.Token, "").Body), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) port(t testing.TB) int {
	t.Helper()
	_, text, err := net.SplitHostPort(m.sshd.Addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// connector reaches the machine at addr, with the CA.
func (m *machine) connector(t testing.TB, addr string) *sallyport.Connector {
	t.Helper()
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return &sallyport.Connector{Type: sallyport.ConnectorSSH, Host: host, Port: port, User: m.sshd.User, TrustOnFirstUse: true}
}

func (m *machine) create(t testing.TB, c *sallyport.Connector) {
	t.Helper()
	body, err := json.Marshal(sallyport.WorkspaceCreate{OrgID: m.Ready.OrgID, Name: m.name, Tier: 4, Connector: c})
	if err != nil {
		t.Fatal(err)
	}
	if a := m.Do(t, http.MethodPost, "/workspaces", m.AdminToken, string(body)); a.Status != http.StatusCreated {
		t.Fatalf("create: %d %s", a.Status, a.Body)
	}
}

// output is what an exec wrote, and how it ended.
type output struct {
	*client.ExecDone
	stdout, stderr buffer
}

type buffer struct{ b []byte }

func (b *buffer) Write(p []byte) (int, error) {
	b.b = append(b.b, p...)
	return len(p), nil
}

func (b *buffer) String() string { return string(b.b) }

// exec runs a command, and returns what it wrote also when it failed.
func (m *machine) exec(ctx context.Context, e client.Exec) (output, error) {
	var out output
	e.Workspace = m.name
	for _, w := range []struct {
		to *io.Writer
		b  *buffer
	}{{&e.Stdout, &out.stdout}, {&e.Stderr, &out.stderr}} {
		if *w.to == nil {
			*w.to = w.b
		}
	}
	var err error
	out.ExecDone, err = m.client.Exec(ctx, e)
	return out, err
}

// row is the newest row of the workspace.
func (m *machine) row(t testing.TB) sallyport.Activity {
	t.Helper()
	var page sallyport.List[sallyport.Activity]
	m.Do(t, http.MethodGet, "/workspaces/"+m.name+"/activity?type=workspace_exec&limit=1", m.Token, "").Decode(t, &page)
	if len(page.Items) != 1 {
		t.Fatal("no row")
	}
	return page.Items[0]
}

// quote is an error as the API tells it.
func quote(err error) string {
	var known *sallyport.Error
	if !errors.As(err, &known) {
		return fmt.Sprint(err)
	}
	text, err := json.Marshal(known)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
