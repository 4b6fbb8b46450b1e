//go:build linux

package machines

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// tenant is an organisation with a token that may set workspaces and run commands.
type tenant struct {
	*stack.Stack
	name, token string
	client      *client.Client
}

func newTenant(t *testing.T, s *stack.Stack, name string) *tenant {
	t.Helper()
	s.Do(t, http.MethodPost, "/orgs", s.AdminToken, `{"name":"`+name+`"}`)
	var token sallyport.Token
	s.Do(t, http.MethodPost, "/orgs/"+name+"/tokens", s.AdminToken, `{"name":"t","scopes":["exec","workspaces"]}`).Decode(t, &token)
	o := &tenant{Stack: s, name: name, token: token.Secret, client: client.New(s.URL, token.Secret)}
	t.Cleanup(o.client.Close)
	return o
}

// workspace names a machine, by a host key or by whichever it shows first.
func (o *tenant) workspace(t *testing.T, name string, m *sshd.Server, hostKey string) {
	t.Helper()
	c := (&machine{sshd: m}).connector(t, m.Addr)
	c.HostKey, c.TrustOnFirstUse = hostKey, hostKey == ""
	body, err := json.Marshal(sallyport.WorkspaceCreate{Name: name, Tier: 4, Connector: c})
	if err != nil {
		t.Fatal(err)
	}
	if a := o.Do(t, http.MethodPost, "/workspaces", o.token, string(body)); a.Status != http.StatusCreated {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
}

func (o *tenant) getsIn(t *testing.T, workspace string) {
	t.Helper()
	var out buffer
	done, err := o.client.Exec(t.Context(), client.Exec{Workspace: workspace, Cmd: []string{"id", "-u"}, Stdout: &out})
	if err != nil || done.ExitCode != 0 || out.String() == "" {
		t.Errorf("%s is kept out of its own machine: %s %q", o.name, quote(err), out.String())
	}
}

func (o *tenant) isRefused(t *testing.T, workspace string) {
	t.Helper()
	var known *sallyport.Error
	_, err := o.client.Exec(t.Context(), client.Exec{Workspace: workspace, Cmd: []string{"id", "-u"}})
	if !errors.As(err, &known) || known.Code != sallyport.CodeConnectFailed || known.Reason != sallyport.ReasonAuthFailed {
		t.Errorf("%s, by workspace %s: %s", o.name, workspace, quote(err))
		return
	}
	if !strings.Contains(known.Message, "the machine's clock and the server's may differ") {
		t.Errorf("a wrong clock is not named: %s", known.Message)
	}
}

// A machine opens to the organisation whose CA it trusts, and to no other: by whichever
// of its host keys that names it, whoever named it first, and after its workspace was
// deleted and made anew. The machine itself refuses.
func TestBorderIsTheMachines(t *testing.T) {
	for _, user := range []string{sshd.Ordinary, sshd.Root} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			s := stack.Start(t, stack.Options{})
			a, b := newTenant(t, s, "a"), newTenant(t, s, "b")
			dir, err := os.MkdirTemp("", "border-") // an ordinary user's sshd reads it
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			trusted, second := filepath.Join(dir, "ca.pub"), filepath.Join(dir, "ecdsa")
			if err := os.WriteFile(trusted, []byte(s.Do(t, http.MethodGet, "/ca", a.token, "").Body), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", second).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			m := sshd.Start(t, sshd.Options{User: user, Config: []string{"TrustedUserCAKeys " + trusted, "HostKey " + second}})
			text, err := os.ReadFile(second + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			ecdsa := strings.Join(strings.Fields(string(text))[:2], " ")
			ed25519 := connector.HostKeyLine(m.HostKey)

			// B names the machine first, by each of its keys and by none.
			b.workspace(t, "first", m, ed25519)
			b.workspace(t, "first-ecdsa", m, ecdsa)
			b.isRefused(t, "first")
			a.workspace(t, "own", m, ed25519)
			a.getsIn(t, "own")
			b.isRefused(t, "first")
			b.isRefused(t, "first-ecdsa")

			// B names what A hasn't named: another host key, or whichever is shown.
			b.workspace(t, "other-key", m, ecdsa)
			b.workspace(t, "first-use", m, "")
			for _, name := range []string{"other-key", "first-use"} {
				b.isRefused(t, name)
				if found, err := b.client.Diagnose(t.Context(), name); err != nil || found.OK {
					t.Errorf("diagnose of %s: %v, %+v", name, err, found)
				}
			}

			// A's workspace goes, and is made anew: by then B has known the machine longest.
			if err := a.client.DeleteWorkspace(t.Context(), "own"); err != nil {
				t.Fatal(err)
			}
			b.isRefused(t, "first")
			a.workspace(t, "anew", m, ecdsa)
			a.getsIn(t, "anew")
			b.isRefused(t, "first")
			b.isRefused(t, "other-key")
			a.getsIn(t, "anew")

			var org sallyport.Org
			s.Do(t, http.MethodGet, "/orgs/a", s.AdminToken, "").Decode(t, &org)
			// a's connections were all made for an exec.
			isFor := regexp.MustCompile("ID sallyport org/" + org.ID + " workspace/[0-9a-f-]{36} exec/[0-9a-f-]{36} ")
			for entry := range strings.Lines(m.Log()) {
				if strings.Contains(entry, "Accepted publickey") && !isFor.MatchString(entry) {
					t.Errorf("somebody else was let in, or it isn't said for what: %s", entry)
				}
			}
		})
	}
}

// A rotation without an overlap is in force at once: the next connection is made with the
// new key, and the machine that doesn't know it refuses until it does.
func TestRotatedCA(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	again := *m
	again.name = "again"
	if _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	s.Do(t, http.MethodPost, "/orgs/dev/ca/rotate", s.Token, `{"now":true}`)
	if _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil {
		t.Errorf("over the connection that there is: %v", err)
	}
	again.create(t, m.connector(t, m.sshd.Addr))
	var known *sallyport.Error
	if _, err := again.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); !errors.As(err, &known) || known.Reason != sallyport.ReasonAuthFailed {
		t.Errorf("a machine that trusts the old key alone: %s", quote(err))
	}
	m.trust(t)
	third := *m
	third.name = "third"
	third.create(t, m.connector(t, m.sshd.Addr))
	if _, err := third.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil {
		t.Errorf("a machine that has learnt the new key: %s", quote(err))
	}
}
