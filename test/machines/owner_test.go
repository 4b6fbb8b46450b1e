//go:build linux

package machines

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"sallyport"
	"sallyport/client"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// A machine that trusts the CA is open to one organisation alone: the one that has known
// its host key longest, whoever else names it, with the key or without.
func TestMachineOfAnotherOrganisation(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	if _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	logins := strings.Count(m.sshd.Log(), "Accepted publickey")
	var org sallyport.Org
	s.Do(t, http.MethodPost, "/orgs", s.AdminToken, `{"name":"thief"}`).Decode(t, &org)
	var token sallyport.Token
	s.Do(t, http.MethodPost, "/orgs/thief/tokens", s.AdminToken, `{"name":"t","scopes":["exec","workspaces"]}`).Decode(t, &token)
	thief := client.New(s.URL, token.Secret)
	t.Cleanup(thief.Close)
	var ws sallyport.Workspace
	s.Do(t, http.MethodGet, "/workspaces/"+m.name, s.Token, "").Decode(t, &ws)
	for name, key := range map[string]string{"trusting": "", "knowing": ws.Connector.HostKey} {
		c := m.connector(t, m.sshd.Addr)
		c.HostKey = key
		body, err := json.Marshal(sallyport.WorkspaceCreate{Name: name, Tier: 4, Connector: c})
		if err != nil {
			t.Fatal(err)
		}
		if a := s.Do(t, http.MethodPost, "/workspaces", token.Secret, string(body)); a.Status != http.StatusCreated {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		for range 2 {
			var known *sallyport.Error
			_, err = thief.Exec(t.Context(), client.Exec{Workspace: name, Cmd: []string{"true"}})
			if !errors.As(err, &known) || known.Code != sallyport.CodeConnectFailed || known.Reason != "auth_failed" || !strings.Contains(known.Message, "refused the login: ") || strings.Contains(known.Message, "organisation") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if found, err := thief.Diagnose(t.Context(), name); err != nil || found.OK {
			t.Errorf("%s: %v, %+v", name, err, found)
		}
	}
	if got := strings.Count(m.sshd.Log(), "Accepted publickey"); got != logins {
		t.Errorf("%d logins of another organisation", got-logins)
	}
	if out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil || out.ExitCode != 0 {
		t.Errorf("the owner: %v", err)
	}
}
