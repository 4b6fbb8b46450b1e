package contract

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// wantEnded checks the last frame of a stream that the server ended.
func wantEnded(t testing.TB, last map[string]any, code string) {
	t.Helper()
	if _, exited := last["exit_code"]; exited || last["code"] != code || last["started"] != true || last["error"] == "" {
		t.Errorf("last frame %v, want %s", last, code)
	}
}

// wantCanceled checks that one of rows is that of an exec which the server ended.
func wantCanceled(t testing.TB, rows []sallyport.Activity, execID, reason string) {
	t.Helper()
	for _, row := range rows {
		if row.ID != execID {
			continue
		}
		if row.Status != "canceled" || row.Reason != reason || row.CompletedAt == nil || row.ExitCode != nil ||
			leavesSome(row) {
			t.Errorf("row %s, want canceled, %s", quote(row), reason)
		}
		return
	}
	t.Errorf("no row %s", execID)
}

// Deleting a workspace ends what runs there, kills its tokens, and keeps its rows
// in the organisation's activity.
func TestDeletingAWorkspaceEndsWhatRuns(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	other := newWorkspace(t, s, h.ID, "other", 4, true)
	token := newToken(t, s, "/workspaces/"+h.ws.ID).Secret
	g := newGate(t)
	doomed := []*live{
		openStream(t, s, "build", h.token, sh("echo up; exec sleep 600")),
		openStream(t, s, "build", token, sh("echo up; trap '' TERM; exec sleep 1")),
	}
	spared := openStream(t, s, other.ID, h.token, sh("echo up; "+g.wait()))
	marker := newGate(t)
	buffered := later(t, s.Request(t, "POST", "/workspaces/build/exec", h.token, quote(sh("echo >"+marker.path+"; sleep 600"))))
	if _, err := marker.pipe.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for _, l := range append(doomed, spared) {
		l.wantData(t, "stdout", "up\n")
	}
	wantAnswer(t, "delete", s.Do(t, "DELETE", "/workspaces/build", h.token, ""), 204, "")
	wantAnswer(t, "its token", s.Do(t, "GET", "/session", token, ""), 401, "unauthenticated")
	wantAnswer(t, "exec", s.Do(t, "POST", "/workspaces/build/exec", h.token, `{"cmd":["true"]}`), 404, "workspace_not_found")
	for _, l := range doomed {
		_, _, last := l.rest(t)
		wantEnded(t, last, "workspace_deleted")
	}
	if a := <-buffered; a.Code() != "workspace_deleted" {
		t.Errorf("buffered: %d %s", a.Status, a.Body)
	}
	g.open(t)
	if _, _, last := spared.rest(t); last["exit_code"] != 0.0 {
		t.Errorf("an exec elsewhere ended with %v", last)
	}
	rows := rowsAt(t, s, h.token, "/orgs/"+h.ID+"/activity?type=workspace_exec")
	for _, l := range doomed {
		wantCanceled(t, rows, l.execID, "workspace_deleted")
	}
	wantAnswer(t, "its activity", s.Do(t, "GET", "/workspaces/"+h.ws.ID+"/activity", h.token, ""), 404, "workspace_not_found")
	deleted := rowsAt(t, s, h.token, "/orgs/"+h.ID+"/activity?type=workspace_deleted")
	if len(deleted) != 1 || deleted[0].WorkspaceID != h.ws.ID {
		t.Errorf("rows %s", quote(deleted))
	}
}

// Revoking a token ends the streams that run under it, and no others.
func TestRevokingATokenEndsItsStreams(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	for _, home := range []string{"/orgs/" + h.ID, "/workspaces/" + h.ws.ID} {
		token := newToken(t, s, home)
		g := newGate(t)
		doomed := openStream(t, s, "build", token.Secret, sh("echo up; exec sleep 600"))
		spared := openStream(t, s, "build", h.token, sh("echo up; "+g.wait()))
		doomed.wantData(t, "stdout", "up\n")
		spared.wantData(t, "stdout", "up\n")
		wantAnswer(t, "revoke", s.Do(t, "DELETE", home+"/tokens/"+token.ID, h.token, ""), 204, "")
		_, _, last := doomed.rest(t)
		wantEnded(t, last, "revoked")
		g.open(t)
		if _, _, last := spared.rest(t); last["exit_code"] != 0.0 {
			t.Errorf("an exec of another token ended with %v", last)
		}
		wantCanceled(t, rowsAt(t, s, h.token, "/workspaces/build/activity?type=workspace_exec"), doomed.execID, "revoked")
	}
}

// A caller that was proven before its token was revoked, and whose body comes
// after, runs nothing: revoking works once it has answered.
func TestRevokedWhileTheBodyIsOnItsWay(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	token := newToken(t, s, "/orgs/"+h.ID)
	const body = `{"cmd":["true"]}`
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	// The server asks for the body once it has proven the caller.
	request := "POST /workspaces/build/exec HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n" +
		"Authorization: Bearer " + token.Secret + "\r\nContent-Length: 16\r\n\r\n"
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	if answer := readUntil(t, conn, "\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 100 ") {
		t.Fatalf("got %q", answer)
	}
	a := s.Do(t, http.MethodDelete, "/orgs/"+h.ID+"/tokens/"+token.ID, h.token, "")
	wantAnswer(t, "revoke", a, 204, "")
	if _, err := conn.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if answer := readUntil(t, conn, "}\n"); strings.Contains(answer, `"exit_code"`) {
		t.Errorf("a command ran under a revoked token: %q", answer)
	}
	for _, row := range rowsAt(t, s, h.token, "/orgs/"+h.ID+"/activity?type=workspace_exec") {
		if row.Status == "ok" {
			t.Errorf("row %s", quote(row))
		}
	}
}

// readUntil reads what comes, up to and with end.
func readUntil(t testing.TB, conn net.Conn, end string) string {
	t.Helper()
	var got strings.Builder
	one := make([]byte, 1)
	for !strings.HasSuffix(got.String(), end) {
		if _, err := conn.Read(one); err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		got.Write(one)
	}
	return got.String()
}
