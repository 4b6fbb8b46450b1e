//go:build linux

package machines

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/loopback"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// A diagnosis of whatever listens at an address says nothing of what that says, nor of an
// address that may not be dialled, and leaves a row each time.
func TestDiagnosisShowsOurWordsAlone(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	for name, greeting := range map[string]string{
		"mail":     "220 mail.corp.example ESMTP (secret-build 7)\r\n",
		"database": "J\x00\x00\x00\x0a8.0.36-secret",
		"lines":    "secret-hello\nsecret-again\n",
		"silence":  "",
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{Stack: s, sshd: m.sshd, client: m.client, name: name}
			m.create(t, m.connector(t, greets(t, greeting)))
			found, err := m.client.Diagnose(t.Context(), name)
			if err != nil || found.OK {
				t.Fatalf("%v, %+v", err, found)
			}
			step := found.Steps[3]
			if step.Name != sallyport.StepBanner || step.Status != sallyport.StepFail || step.Detail == "" {
				t.Errorf("step %+v", step)
			}
			for _, step := range found.Steps {
				if strings.Contains(step.Detail+step.Hint, "secret") {
					t.Errorf("step %s tells what the service said: %q", step.Name, step.Detail)
				}
			}
			row := m.diagnosed(t)
			if row.Status != sallyport.StatusError || row.Code != sallyport.CodeConnectFailed || row.Reason != sallyport.ReasonNoBanner || row.DurationMS == nil {
				t.Errorf("row %+v", row)
			}
		})
	}
	if found, err := m.client.Diagnose(t.Context(), m.name); err != nil || !found.OK || !strings.HasPrefix(found.Steps[3].Detail, "SSH-2.0-OpenSSH") {
		t.Errorf("%v, %+v", err, found)
	}
	if row := m.diagnosed(t); row.Status != sallyport.StatusOK || row.Actor == "" || row.CompletedAt == nil {
		t.Errorf("row %+v", row)
	}
}

// An SSH server may say other lines first; they are no reason to call it anything else.
func TestDiagnosisOfLinesBeforeTheBanner(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	other := &machine{Stack: s, sshd: m.sshd, client: m.client, name: "talkative"}
	other.create(t, m.connector(t, greetsBefore(t, "secret: be careful\r\n", m.sshd.Addr)))
	found, err := m.client.Diagnose(t.Context(), "talkative")
	if err != nil || !found.OK || !strings.HasPrefix(found.Steps[3].Detail, "SSH-2.0-OpenSSH") {
		t.Errorf("%v, %+v", err, found)
	}
}

// A diagnosis counts as a running exec, is refused beyond the limit, and leaves no row
// then; what hangs ends within the connect budget.
func TestDiagnosesAreLimited(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": "2s"}})
	m := newMachine(t, s, sshd.Options{})
	if a := m.Do(t, http.MethodPatch, "/orgs/"+m.Ready.OrgID, m.AdminToken, `{"limits":{"running_execs_per_workspace":1}}`); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	silent := &machine{Stack: s, sshd: m.sshd, client: m.client, name: "silent"}
	reached := make(chan struct{}, 1)
	silent.create(t, m.connector(t, loopback.Serve(t, func(conn *net.TCPConn) {
		reached <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	}).String()))
	first := make(chan error, 1)
	go func() {
		found, err := silent.client.Diagnose(t.Context(), silent.name)
		if err == nil && found.OK {
			err = errors.New("silence is taken for a machine")
		}
		first <- err
	}()
	<-reached
	if _, err := silent.client.Diagnose(t.Context(), silent.name); sallyport.CodeOf(err) != sallyport.CodeTooManyExecs {
		t.Errorf("got %v", err)
	}
	if _, err := silent.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); sallyport.CodeOf(err) != sallyport.CodeTooManyExecs {
		t.Errorf("got %v", err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	if row := silent.diagnosed(t); row.Status != sallyport.StatusError || row.Code != sallyport.CodeConnectTimeout {
		t.Errorf("row %+v", row)
	}
}

// diagnosed is the newest row of a diagnosis of the workspace.
func (m *machine) diagnosed(t *testing.T) sallyport.Activity {
	t.Helper()
	var page sallyport.List[sallyport.Activity]
	m.Do(t, http.MethodGet, "/workspaces/"+m.name+"/activity?type=workspace_diagnosed", m.Token, "").Decode(t, &page)
	if len(page.Items) != 1 {
		t.Fatalf("%d rows, want 1", len(page.Items))
	}
	return page.Items[0]
}

// greets is a service that says something, and then nothing more until it is left.
func greets(t *testing.T, greeting string) (addr string) {
	return loopback.Serve(t, func(conn *net.TCPConn) {
		_, _ = io.WriteString(conn, greeting)
		_, _ = conn.Read(make([]byte, 1))
	}).String()
}

// greetsBefore says something before it passes on what the server at addr says.
func greetsBefore(t *testing.T, greeting, addr string) string {
	return passesOn(t, greeting, func() string { return addr })
}

// passesOn says something, and passes on what the server says that is at addr just then.
func passesOn(t *testing.T, greeting string, addr func() string) string {
	return loopback.Serve(t, func(conn *net.TCPConn) {
		up, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", addr())
		if err != nil {
			return
		}
		defer up.Close()
		_, _ = io.WriteString(conn, greeting)
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(up, conn); up.Close() })
		_, _ = io.Copy(conn, up)
		conn.Close()
		both.Wait()
	}).String()
}
