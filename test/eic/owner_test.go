//go:build linux

package eic

import (
	"encoding/json"
	"net/http"
	"testing"

	"sallyport"
	"sallyport/client"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// An instance that one organisation has as a workspace lets no other in: it is answered
// as by a machine that refuses the key, to the letter, and the owner goes on.
func TestInstanceOfAnotherOrganisation(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	m := w.newMachine(t, sshd.Options{})
	m.must(t, "true")
	var org sallyport.Org
	w.Do(t, http.MethodPost, "/orgs", w.AdminToken, `{"name":"thief"}`).Decode(t, &org)
	var token struct{ Token string }
	w.Do(t, http.MethodPost, "/orgs/thief/tokens", w.AdminToken, `{"name":"t","scopes":["exec","workspaces"]}`).Decode(t, &token)
	thief := client.New(w.URL, token.Token)
	t.Cleanup(thief.Close)

	answers := map[string]string{}
	stranger := w.newMachine(t, sshd.Options{Config: []string{"AuthorizedKeysCommand none"}}) // takes no key
	for name, id := range map[string]string{"another's": m.id, "refused": stranger.id} {
		ws := sallyport.WorkspaceCreate{Name: "w" + id[len(id)-1:], Tier: 3, Connector: &sallyport.Connector{Type: sallyport.ConnectorEIC, InstanceID: id, User: m.sshd.User}}
		if _, err := thief.CreateWorkspace(t.Context(), ws); err != nil {
			t.Fatal(err)
		}
		_, err := thief.Exec(t.Context(), client.Exec{Workspace: ws.Name, Cmd: []string{"true"}})
		known := asKnown(err)
		if known == nil {
			t.Fatalf("%s: got %v", name, err)
		}
		text, err := json.Marshal(known)
		if err != nil {
			t.Fatal(err)
		}
		answers[name] = string(text)
	}
	if answers["another's"] != answers["refused"] {
		t.Errorf("they can be told apart: %v", answers)
	}
	m.must(t, "true")
}
