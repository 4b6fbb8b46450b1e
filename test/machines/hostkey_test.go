//go:build linux

package machines

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// as is the machine, used by another token of the organisation's.
func (m *machine) as(t *testing.T, name string) (other *machine, actor string) {
	t.Helper()
	var token sallyport.Token
	a := m.Do(t, http.MethodPost, "/orgs/"+m.Ready.OrgID+"/tokens", m.AdminToken, `{"name":"`+name+`","scopes":["exec"]}`)
	a.Decode(t, &token)
	c := client.New(m.URL, token.Secret)
	t.Cleanup(c.Close)
	return &machine{Stack: m.Stack, sshd: m.sshd, name: m.name, client: c}, "org-token:" + token.Prefix
}

// Callers share the connections to a machine, and each is recorded for what it causes: the
// first for the key that was pinned, once, and another for the key that has changed since.
func TestHostKeyRowsNameTheirCaller(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": "3s"}})
	first, second := newMachine(t, s, sshd.Options{}), newMachine(t, s, sshd.Options{})
	var addr atomic.Pointer[string]
	addr.Store(&first.sshd.Addr)
	shared := &machine{Stack: s, sshd: first.sshd, client: first.client, name: "shared"}
	shared.create(t, shared.connector(t, passesOn(t, "", func() string { return *addr.Load() })))
	alice, isAlice := shared.as(t, "alice")
	bob, isBob := shared.as(t, "bob")

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	started := make(chan struct{}, limits.SessionsPerConnection)
	for range limits.SessionsPerConnection { // all that a connection takes
		running.Go(func() {
			up := writerFunc(func(p []byte) (int, error) { started <- struct{}{}; return len(p), nil })
			_, _ = alice.exec(ctx, client.Exec{Cmd: []string{"sh", "-c", "echo up; exec sleep 600"}, Stdout: up})
		})
		<-started
	}
	addr.Store(&second.sshd.Addr) // another machine stands there now
	if _, err := bob.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err == nil {
		t.Error("a command ran on a machine with another key")
	}
	cancel()
	running.Wait()

	var rows sallyport.List[sallyport.Activity]
	s.Do(t, http.MethodGet, "/workspaces/shared/activity", s.Token, "").Decode(t, &rows)
	pinned, changed := 0, 0
	for _, row := range rows.Items {
		switch row.Type {
		case sallyport.ActivityHostKeyPinned:
			if pinned++; row.Actor != isAlice {
				t.Errorf("the key was pinned by %s, want %s", row.Actor, isAlice)
			}
		case sallyport.ActivityHostKeyMismatch:
			if changed++; row.Actor != isBob {
				t.Errorf("the changed key was met by %s, want %s", row.Actor, isBob)
			}
		}
	}
	if pinned != 1 || changed == 0 {
		t.Errorf("%d rows of a pinned key, want 1, and %d of a changed one", pinned, changed)
	}
}
