package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/loopback"
	"sallyport/test/stack"
)

// echo serves one protocol that needs the half-close: it reads until the end, then answers
// what it has read, backwards and forwards as they came.
func echo(t *testing.T) (port int) {
	t.Helper()
	return loopback.Serve(t, func(conn *net.TCPConn) {
		all, err := io.ReadAll(conn)
		if err == nil {
			_, _ = conn.Write(all)
		}
	}).Port
}

// dialForward opens a forward, or returns why it was refused.
func dialForward(t *testing.T, s *stack.Stack, token, path string) (*websocket.Conn, stack.Answer) {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), s.URL+path, &websocket.DialOptions{
		Subprotocols: []string{sallyport.SubprotocolForward}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err != nil {
		if resp == nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		return nil, stack.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	return conn, stack.Answer{Status: resp.StatusCode, Header: resp.Header}
}

func forwardPath(h home, port int) string {
	return fmt.Sprintf("/workspaces/%s/forward?port=%d", h.ws.ID, port)
}

func writeMessage(t *testing.T, conn *websocket.Conn, kind websocket.MessageType, text []byte) {
	t.Helper()
	if err := conn.Write(t.Context(), kind, text); err != nil {
		t.Fatal(err)
	}
}

// readForward reads until the connection ends: the bytes, the last text message, and the close.
func readForward(ctx context.Context, conn interface {
	Read(context.Context) (websocket.MessageType, []byte, error)
}) (got []byte, last string, end websocket.CloseError) {
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil {
			errors.As(err, &end)
			return got, last, end
		}
		if kind == websocket.MessageText {
			last = string(message)
			continue
		}
		got = append(got, message...)
	}
}

// onlyLast reads a connection on which no direction ends by itself.
type onlyLast struct {
	t    *testing.T
	conn *websocket.Conn
}

func (o onlyLast) Read(ctx context.Context) (websocket.MessageType, []byte, error) {
	kind, message, err := o.conn.Read(ctx)
	if string(message) == `{"type":"eof"}` {
		o.t.Error("an end by force begins as one of the target's")
	}
	return kind, message, err
}

// wantEnd demands an error frame, with no word of an end before it, and a close with the same
// code.
func wantEnd(t *testing.T, conn *websocket.Conn, status websocket.StatusCode, code sallyport.Code) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, last, end := readForward(ctx, onlyLast{t, conn})
	var frame sallyport.SocketError
	if err := json.Unmarshal([]byte(last), &frame); err != nil || frame.Type != "error" || frame.Code != code || frame.Message == "" {
		t.Errorf("last %s, want %s", last, code)
	}
	if end.Code != status || end.Reason != string(code) {
		t.Errorf("closed with %d %q, want %d %q", end.Code, end.Reason, status, code)
	}
}

func forwardRow(t *testing.T, s *stack.Stack, h home, id string) (row sallyport.Activity) {
	t.Helper()
	get(t, s, h.token, "/workspaces/"+h.ws.ID+"/forwards/"+id, &row)
	return row
}

const canary = "canary-7f3a"

// Bytes go both ways, each direction ends by itself, and the row is complete when both have.
func TestForward(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	conn, a := dialForward(t, s, h.token, forwardPath(h, echo(t)))
	if conn == nil {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	id := a.Header.Get("Sallyport-Activity-Id")
	if row := forwardRow(t, s, h, id); row.Status != "running" || row.InputBytes != nil || !strings.HasPrefix(row.Target, "127.0.0.1:") {
		t.Errorf("row %+v", row)
	}
	want := bytes.Repeat([]byte(canary), 100_000)
	for rest := want; len(rest) > 0; {
		n := min(len(rest), 123_457)
		writeMessage(t, conn, websocket.MessageBinary, rest[:n])
		rest = rest[n:]
	}
	writeMessage(t, conn, websocket.MessageBinary, nil)
	writeMessage(t, conn, websocket.MessageText, []byte(`{"type":"eof"}`))
	got, last, end := readForward(t.Context(), conn)
	if !bytes.Equal(got, want) || last != `{"type":"eof"}` || end.Code != websocket.StatusNormalClosure {
		t.Errorf("%d bytes, last %s, closed with %d %q", len(got), last, end.Code, end.Reason)
	}
	row := forwardRow(t, s, h, id)
	if row.Status != "ok" || row.InputBytes == nil || *row.InputBytes != int64(len(want)) || row.OutputBytes == nil || *row.OutputBytes != int64(len(want)) || row.DurationMS == nil {
		t.Errorf("row %+v", row)
	}
	if all := s.Do(t, "GET", "/orgs/"+h.ID+"/activity", h.token, "").Body + s.Log.String(); strings.Contains(all, canary) {
		t.Error("content is in a row or in the log")
	}
}

// A plain GET passes the checks of a handshake, in their order, and then nothing happens.
func TestForwardOrderOfChecks(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h, other := newHome(t, s, "a"), newHome(t, s, "b")
	port := echo(t)
	ws := "/workspaces/" + h.ws.ID
	low := newWorkspace(t, s, h.ID, "low", 2, true)
	bare := newWorkspace(t, s, h.ID, "bare", 2, false)
	execOnly := newToken(t, s, ws, sallyport.ScopeExec).Secret
	good := fmt.Sprintf("?port=%d", port)
	for _, tt := range []struct {
		name, token, path string
		status            int
		code              string
	}{
		{"no token", "", ws + "/forward?port=x", 401, "unauthenticated"},
		{"a token in the URL", "", ws + "/forward" + good + "&token=" + h.token, 401, "unauthenticated"},
		{"query, workspace", other.token, ws + "/forward", 400, "invalid_port"},
		{"host, port", h.token, ws + "/forward?host=a%20b", 400, "invalid_host"},
		{"two hosts", h.token, ws + "/forward" + good + "&host=127.0.0.1&host=x", 400, "invalid_host"},
		{"port 0", h.token, ws + "/forward?port=0", 400, "invalid_port"},
		{"port 65536", h.token, ws + "/forward?port=65536", 400, "invalid_port"},
		{"another's", other.token, ws + "/forward" + good, 404, "workspace_not_found"},
		{"scope, host", execOnly, ws + "/forward" + good, 403, "scope_forbidden"},
		{"host, tier", h.token, "/workspaces/" + bare.ID + "/forward" + good, 400, "workspace_has_no_host"},
		{"tier, target", h.token, "/workspaces/" + low.ID + "/forward" + good + "&host=192.0.2.1", 403, "exec_tier_forbidden"},
		{"target", h.token, ws + "/forward" + good + "&host=192.0.2.1", 403, "forward_forbidden"},
		{"all is well", h.token, ws + "/forward" + good, 426, "upgrade_required"},
	} {
		plain := s.Do(t, "GET", tt.path, tt.token, "")
		wantAnswer(t, tt.name, plain, tt.status, tt.code)
		if tt.status == 426 {
			if plain.Header.Get("Upgrade") != "websocket" {
				t.Error("no Upgrade")
			}
			continue
		}
		conn, a := dialForward(t, s, tt.token, tt.path)
		if conn != nil || a.Status != tt.status || !strings.Contains(a.Body, `"code":"`+tt.code+`"`) {
			t.Errorf("%s, upgrade: %d %s", tt.name, a.Status, a.Body)
		}
	}
	for _, row := range rowsAt(t, s, h.token, ws+"/activity") {
		if row.Type == sallyport.ActivityForward {
			t.Errorf("something happened: %+v", row)
		}
	}
	handshake := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
		"Sec-WebSocket-Protocol": sallyport.SubprotocolForward,
	}
	for header, values := range map[string][]string{
		"Sec-WebSocket-Version": {"", "12"}, "Sec-WebSocket-Key": {"", "x", "AAAA"}, "Sec-WebSocket-Protocol": {"", "sallyport.terminal.v1"},
		"Origin": {"http://evil.example", "null"},
	} {
		for _, value := range values {
			req := s.Request(t, "GET", ws+"/forward?port=x", other.token, "")
			for k, v := range handshake {
				req.Header.Set(k, v)
			}
			req.Header.Set(header, value)
			status, code := 400, "invalid_handshake"
			if header == "Origin" {
				status, code = 403, "cross_origin_forbidden"
			}
			wantAnswer(t, header+" "+value, s.Send(t, req), status, code)
		}
	}
}

// What the machine can't connect to is told apart, and leaves its row.
func TestForwardFails(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	wantAnswer(t, "allow", s.Do(t, "PATCH", "/workspaces/build", h.token, `{"forward_allow":["loopback:*","no-such.invalid:80"]}`), 200, "")
	closed, err := loopback.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for path, reason := range map[string]string{
		forwardPath(h, closed):                       "refused",
		forwardPath(h, 80) + "&host=no-such.invalid": "",
	} {
		conn, a := dialForward(t, s, h.token, path)
		var refusal sallyport.Error
		if conn != nil || a.Status != 502 {
			t.Fatalf("%s: %d %s", path, a.Status, a.Body)
		}
		if err := json.Unmarshal([]byte(a.Body), &refusal); err != nil || refusal.Code != "forward_failed" || refusal.Reason != reason {
			t.Errorf("%s: %s", path, a.Body)
		}
		row := rowsAt(t, s, h.token, "/workspaces/build/activity?type=workspace_forward&limit=1")[0]
		if row.Status != "error" || row.Code != "forward_failed" || row.Reason != reason || row.InputBytes != nil {
			t.Errorf("%s: row %+v", path, row)
		}
	}
}

// Whatever ends a forward by force says so in the last frame, the close and the row.
func TestForwardEnds(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	hold := loopback.Serve(t, func(conn *net.TCPConn) { _, _ = io.Copy(io.Discard, conn) }).Port
	for _, tt := range []struct {
		name string
		end  func(token sallyport.Token, id string) stack.Answer
		code sallyport.Code
	}{
		{"DELETE", func(_ sallyport.Token, id string) stack.Answer {
			return s.Do(t, "DELETE", "/workspaces/"+h.ws.ID+"/forwards/"+id, h.token, "")
		}, "killed"},
		{"revoked", func(token sallyport.Token, _ string) stack.Answer {
			return s.Do(t, "DELETE", "/workspaces/"+h.ws.ID+"/tokens/"+token.ID, h.token, "")
		}, "revoked"},
		{"tier", func(sallyport.Token, string) stack.Answer {
			a := s.Do(t, "PATCH", "/workspaces/"+h.ws.ID, h.token, `{"tier":2}`)
			a.Status -= 200 - 204
			return a
		}, "exec_tier_forbidden"},
		{"workspace", func(sallyport.Token, string) stack.Answer {
			return s.Do(t, "DELETE", "/workspaces/"+h.ws.ID, h.token, "")
		}, "workspace_deleted"},
	} {
		if tt.code == "workspace_deleted" {
			wantAnswer(t, "tier", s.Do(t, "PATCH", "/workspaces/"+h.ws.ID, h.token, `{"tier":4}`), 200, "")
		}
		token := newToken(t, s, "/workspaces/"+h.ws.ID, sallyport.ScopeForward)
		conn, a := dialForward(t, s, token.Secret, forwardPath(h, hold))
		if conn == nil {
			t.Fatalf("%s: %d %s", tt.name, a.Status, a.Body)
		}
		id := a.Header.Get("Sallyport-Activity-Id")
		if a := tt.end(token, id); a.Status != 204 {
			t.Errorf("%s: %d %s", tt.name, a.Status, a.Body)
		}
		wantEnd(t, conn, websocket.StatusPolicyViolation, tt.code)
		row := rowsAt(t, s, h.token, "/orgs/a/activity?type=workspace_forward&limit=1")[0]
		if row.ID != id || row.Status != "canceled" || row.Reason != string(tt.code) || row.InputBytes == nil {
			t.Errorf("%s: row %+v", tt.name, row)
		}
		if tt.code == "killed" {
			wantAnswer(t, "again", s.Do(t, "DELETE", "/workspaces/"+h.ws.ID+"/forwards/"+id, h.token, ""), 409, "not_running")
			if killed := rowsAt(t, s, h.token, "/orgs/a/activity?type=forward_killed"); len(killed) != 1 {
				t.Errorf("%d rows", len(killed))
			}
		}
	}
}

// What is no control message, or comes out of its turn, ends the connection.
func TestForwardFrames(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	hold := loopback.Serve(t, func(conn *net.TCPConn) { _, _ = io.ReadAll(conn); <-t.Context().Done() }).Port
	type message struct {
		kind websocket.MessageType
		text string
	}
	text := func(s string) message { return message{websocket.MessageText, s} }
	eof, code := text(`{"type":"eof"}`), sallyport.CodeInvalidFrame
	for name, messages := range map[string][]message{
		"no JSON": {text("x")}, "no object": {text("[]")}, "empty": {text("")}, "an unknown type": {text(`{"type":"EOF"}`)}, "no type": {text(`{}`)},
		"another field": {text(`{"type":"eof","x":null}`)}, "twice the field": {text(`{"type":"eof","type":"eof"}`)}, "more behind": {text(`{"type":"eof"} {}`)},
		"eof again": {eof, eof}, "bytes behind eof": {eof, {websocket.MessageBinary, "x"}},
	} {
		conn, a := dialForward(t, s, h.token, forwardPath(h, hold))
		if conn == nil {
			t.Fatalf("%s: %d %s", name, a.Status, a.Body)
		}
		for _, m := range messages {
			writeMessage(t, conn, m.kind, []byte(m.text))
		}
		wantEnd(t, conn, websocket.StatusPolicyViolation, code)
		if row := forwardRow(t, s, h, a.Header.Get("Sallyport-Activity-Id")); row.Status != "error" || row.Code != code {
			t.Errorf("%s: row %+v", name, row)
		}
	}
	conn, a := dialForward(t, s, h.token, forwardPath(h, hold))
	_ = conn.Write(t.Context(), websocket.MessageBinary, make([]byte, 2<<20+1)) // it is cut off meanwhile
	if _, _, end := readForward(t.Context(), conn); end.Code != 0 && end.Code != websocket.StatusMessageTooBig {
		t.Errorf("too large: closed with %d %q", end.Code, end.Reason)
	}
	awaitRow(t, s, h, a.Header.Get("Sallyport-Activity-Id"), "error")
	conn, a = dialForward(t, s, h.token, forwardPath(h, hold))
	_ = conn.CloseNow()
	awaitRow(t, s, h, a.Header.Get("Sallyport-Activity-Id"), "canceled")
}

// awaitRow waits until a forward's row has the status.
func awaitRow(t *testing.T, s *stack.Stack, h home, id, status string) {
	t.Helper()
	for row := forwardRow(t, s, h, id); row.Status != status; row = forwardRow(t, s, h, id) {
		if row.Status != "running" {
			t.Fatalf("row %+v, want %s", row, status)
		}
	}
}

// Two hundred at once, and no more than the limits allow.
func TestForwardsAtOnce(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	port := echo(t)
	const most = 200
	setLimits(t, s, "a", fmt.Sprintf(`{"running_forwards_per_workspace":%d}`, most))
	conns := make([]*websocket.Conn, most)
	for i := range conns {
		var a stack.Answer
		if conns[i], a = dialForward(t, s, h.token, forwardPath(h, port)); conns[i] == nil {
			t.Fatalf("%d: %d %s", i, a.Status, a.Body)
		}
	}
	if conn, a := dialForward(t, s, h.token, forwardPath(h, port)); conn != nil || a.Status != 429 || !strings.Contains(a.Body, "too_many_forwards") {
		t.Errorf("one more: %d %s", a.Status, a.Body)
	}
	for i, conn := range conns {
		text := fmt.Appendf(nil, "%d", i)
		writeMessage(t, conn, websocket.MessageBinary, text)
		writeMessage(t, conn, websocket.MessageText, []byte(`{"type":"eof"}`))
		if got, _, end := readForward(t.Context(), conn); !bytes.Equal(got, text) || end.Code != websocket.StatusNormalClosure {
			t.Fatalf("%d: %q, %d %q", i, got, end.Code, end.Reason)
		}
	}
	if running := rowsAt(t, s, h.token, "/workspaces/build/forwards?status=running"); len(running) != 0 {
		t.Errorf("%d still run", len(running))
	}
}
