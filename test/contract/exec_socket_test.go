package contract

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/internal/httpapi"
	"sallyport/test/stack"
)

// dialExec opens the WebSocket of an exec, or returns why it was refused.
func dialExec(t *testing.T, s *stack.Stack, token, workspace string, header http.Header) (*websocket.Conn, stack.Answer) {
	t.Helper()
	h := http.Header{"Authorization": {"Bearer " + token}}
	for name, values := range header {
		h[name] = values
	}
	conn, resp, err := websocket.Dial(t.Context(), s.URL+"/workspaces/"+workspace+"/exec", &websocket.DialOptions{Subprotocols: []string{sallyport.SubprotocolExec}, HTTPHeader: h})
	if err != nil {
		if resp == nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		return nil, stack.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(64 << 10) // a message of the server's is no larger
	return conn, stack.Answer{Status: resp.StatusCode}
}

// beginExec opens the WebSocket of an exec on the workspace called local, and sends the first
// message.
func beginExec(t *testing.T, s *stack.Stack, start string) *websocket.Conn {
	t.Helper()
	conn, a := dialExec(t, s, s.Token, "local", nil)
	if conn == nil {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	writeMessage(t, conn, websocket.MessageText, []byte(start))
	return conn
}

// socketAnswer is all that a server has sent.
type socketAnswer struct {
	stdout, stderr bytes.Buffer
	// started is the first message, and last the last one; nil where there is none.
	started, last map[string]any
	end           websocket.CloseError
}

func readExec(t *testing.T, conn *websocket.Conn) *socketAnswer {
	t.Helper()
	a := &socketAnswer{}
	a.readOn(t, conn)
	return a
}

// readOn reads until the connection ends.
func (a *socketAnswer) readOn(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil {
			errors.As(err, &a.end)
			return
		}
		switch {
		case a.last != nil:
			t.Errorf("%q behind the last message", message)
		case kind == websocket.MessageText:
			var frame map[string]any
			if err := json.Unmarshal(message, &frame); err != nil {
				t.Fatalf("%s: %v", message, err)
			}
			if frame["type"] == "started" {
				a.started = frame
			} else {
				a.last = frame
			}
		case a.started == nil:
			t.Errorf("%q before started", message)
		case len(message) > 1 && message[0] == 1:
			a.stdout.Write(message[1:])
		case len(message) > 1 && message[0] == 2:
			a.stderr.Write(message[1:])
		default:
			t.Errorf("a message %q", message)
		}
	}
}

// wantError demands an error as the last message, with its code in the close frame.
func (a *socketAnswer) wantError(t *testing.T, what string, status websocket.StatusCode, code string) {
	t.Helper()
	if a.last["type"] != "error" || a.last["code"] != code || a.last["error"] == "" || a.end.Code != status || a.end.Reason != code {
		t.Errorf("%s: last %v, closed with %d %q, want %d %s", what, a.last, a.end.Code, a.end.Reason, status, code)
	}
}

const eofFrame = `{"type":"stdin_eof"}`

// Stdin and output of any size pass both ways at once, byte for byte, and the row is as any
// exec's.
func TestExecSocket(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	const size = 9<<20 + 7
	conn := beginExec(t, s, `{"type":"start","cmd":["sh","-c","tee /dev/stderr; exit 3"],"max_output_bytes":20000000,"timeout_s":100000,"stream":false}`)
	random := io.LimitReader(rand.NewChaCha8([32]byte{1}), size)
	sum := sha256.New()
	sent := make(chan error, 1)
	go func() {
		w := func(kind websocket.MessageType, p []byte) error { return conn.Write(t.Context(), kind, p) }
		piece := make([]byte, 1_234_567)
		for {
			n, err := io.ReadFull(random, piece)
			sum.Write(piece[:n])
			if wrote := w(websocket.MessageBinary, piece[:n]); wrote != nil || err != nil {
				sent <- errors.Join(wrote, w(websocket.MessageText, []byte(eofFrame)))
				return
			}
		}
	}()
	a := readExec(t, conn)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if got := sha256.Sum256(a.stdout.Bytes()); a.stdout.Len() != size || !bytes.Equal(got[:], sum.Sum(nil)) || !bytes.Equal(a.stderr.Bytes(), a.stdout.Bytes()) {
		t.Errorf("%d and %d bytes came back", a.stdout.Len(), a.stderr.Len())
	}
	row := s.Execs(t)[0]
	if a.started["id"] != row.ID || a.started["timeout_s"] != 3600.0 || a.last["type"] != "exit" || a.last["exit_code"] != 3.0 || a.last["duration_ms"] == nil {
		t.Errorf("started %v, last %v", a.started, a.last)
	}
	if a.end.Code != websocket.StatusNormalClosure || a.end.Reason != "exit" {
		t.Errorf("closed with %d %q", a.end.Code, a.end.Reason)
	}
	if row.Status != "error" || *row.ExitCode != 3 || *row.StdinBytes != size || *row.StdoutBytes != size || *row.StdoutTruncated {
		t.Errorf("row %+v", row)
	}
}

// What is cut says so as in the raw framings, and a command that ends first has its answer
// whole, whatever else is sent.
func TestExecSocketOutput(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for start, want := range map[string]string{
		`{"type":"start","cmd":["printf","äöü"],"max_output_bytes":3}`:                            "ä\n[output truncated at 3 bytes]",
		`{"type":"start","cmd":["seq","9"],"output":{"head_bytes":4,"tail_bytes":4}}`:             "1\n2\n\n[10 bytes omitted]\n8\n9\n",
		`{"type":"start","cmd":["printf","äöü"],"output":{"head_bytes":3}}`:                       "ä\n[4 bytes omitted]\n",
		`{"type":"start","cmd":["sh","-c","head -c 99999 /dev/zero"],"max_output_bytes":9999999}`: strings.Repeat("\x00", 99999),
	} {
		conn := beginExec(t, s, start)
		writeMessage(t, conn, websocket.MessageBinary, make([]byte, 1<<20)) // nobody takes it
		if a := readExec(t, conn); a.stdout.String() != want || a.last["exit_code"] != 0.0 || (a.last["stdout_bytes"] != nil) != strings.Contains(start, "output\":") {
			t.Errorf("%s: %.100q %v", start, a.stdout.String(), a.last)
		}
	}
	writing := beginExec(t, s, `{"type":"start","cmd":["head","-c","3"]}`)
	go func() { // without end
		for writing.Write(t.Context(), websocket.MessageBinary, []byte(strings.Repeat("x", 1<<20))) == nil {
		}
	}()
	if a := readExec(t, writing); a.stdout.String() != "xxx" || a.last["exit_code"] != 0.0 {
		t.Errorf("%q %v", a.stdout.String(), a.last)
	}
}

// A signal reaches the command, also behind the end of stdin; one sent too early waits.
func TestExecSocketSignals(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, tt := range []struct {
		messages string
		exit     float64
	}{
		{`{"type":"signal","signal":"INT"}`, 130},
		{eofFrame + "\n" + `{"type":"signal","signal":"TERM"}`, 143},
		{strings.Repeat(`{"type":"signal","signal":"HUP"}`+"\n", 200) + `{"type":"signal","signal":"KILL"}`, 137},
	} {
		conn := beginExec(t, s, `{"type":"start","cmd":["sh","-c","trap '' HUP; echo ready; exec sleep 300"],"timeout_s":3600}`)
		if _, _, err := conn.Read(t.Context()); err != nil { // started
			t.Fatal(err)
		}
		if _, message, err := conn.Read(t.Context()); err != nil || string(message) != "\x01ready\n" {
			t.Fatalf("%q %v", message, err)
		}
		for message := range strings.SplitSeq(tt.messages, "\n") {
			if conn.Write(t.Context(), websocket.MessageText, []byte(message)) != nil {
				break // it has ended
			}
		}
		kind, message, err := conn.Read(t.Context())
		var last sallyport.ExecExit
		if err == nil {
			err = json.Unmarshal(message, &last)
		}
		if err != nil || kind != websocket.MessageText || float64(last.ExitCode) != tt.exit {
			t.Errorf("%.60s: %s %v", tt.messages, message, err)
		}
	}
	early := beginExec(t, s, `{"type":"start","cmd":["sleep","300"],"timeout_s":3600}`)
	writeMessage(t, early, websocket.MessageText, []byte(`{"type":"signal","signal":"TERM"}`))
	if a := readExec(t, early); a.last["exit_code"] != 143.0 {
		t.Errorf("early: %v", a.last)
	}
	for _, row := range rowsAt(t, s, s.Token, "/workspaces/local/activity") {
		if row.Type == sallyport.ActivityExecSignal {
			t.Errorf("row %+v", row)
		}
	}
}

// What is wrong with the first message is told, and nothing runs.
func TestExecSocketStart(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Times: httpapi.Times{TerminalStart: 2 * time.Second}})
	for start, code := range map[string]string{
		`x`: "invalid_frame", `[]`: "invalid_frame", `{}`: "invalid_frame", `{"cmd":["true"]}`: "invalid_frame", `{"type":"watch","cmd":["true"]}`: "invalid_frame", eofFrame: "invalid_frame",
		`{"type":"start","cmd":["true"],"cmd":["id"]}`: "invalid_frame", `{"type":"start","cmd":["true"]} {}`: "invalid_frame", `{"type":["start"],"cmd":["true"]}`: "invalid_frame",
		`{"type":"start","cmd":["true"],"cols":80}`: "unknown_field", `{"type":"start","cmd":["true"],"execBody":{}}`: "unknown_field",
		`{"type":"start"}`: "invalid_argv", `{"type":"start","cmd":["true"],"stdin":""}`: "invalid_stdin", `{"type":"start","cmd":["true"],"stdin_base64":""}`: "invalid_stdin",
		`{"type":"start","cmd":["true"],"output":{"head_bytes":-1}}`: "invalid_output", `{"type":"start","cmd":["true"],"timeout_s":1.5}`: "invalid_timeout",
	} {
		a := readExec(t, beginExec(t, s, start))
		a.wantError(t, start, websocket.StatusPolicyViolation, code)
		if a.started != nil {
			t.Errorf("%s: started", start)
		}
	}
	conn, _ := dialExec(t, s, s.Token, "local", nil)
	writeMessage(t, conn, websocket.MessageBinary, []byte(`{"type":"start","cmd":["true"]}`))
	readExec(t, conn).wantError(t, "bytes", websocket.StatusPolicyViolation, "invalid_frame")
	conn, _ = dialExec(t, s, s.Token, "local", nil)
	readExec(t, conn).wantError(t, "nothing", websocket.StatusPolicyViolation, "request_timeout")
	conn, _ = dialExec(t, s, s.Token, "local", nil)
	large := fmt.Sprintf(`{"type":"start","cmd":["true"],"cwd":%q}`, strings.Repeat("x", 2<<20))
	_ = conn.Write(t.Context(), websocket.MessageText, []byte(large)) // it is cut off meanwhile
	if a := readExec(t, conn); a.last != nil || a.end.Code != 0 && a.end.Code != websocket.StatusMessageTooBig {
		t.Errorf("too large: %v, closed with %d %q", a.last, a.end.Code, a.end.Reason)
	}
	if rows := s.Execs(t); len(rows) != 0 {
		t.Errorf("%d rows", len(rows))
	}
	failed := readExec(t, beginExec(t, s, `{"type":"start","cmd":["true"],"cwd":"/nowhere"}`))
	failed.wantError(t, "cwd", websocket.StatusPolicyViolation, "invalid_cwd")
	if failed.last["started"] != false {
		t.Errorf("%v", failed.last)
	}
}

// A client that goes before the last message, or sends what it may not, has not ended stdin:
// the command is ended, and its row says so.
func TestExecSocketBreaksOff(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Times: httpapi.Times{Keepalive: 50 * time.Millisecond}})
	ended := filepath.Join(t.TempDir(), "ended")
	reads := fmt.Sprintf(`{"type":"start","cmd":["sh","-c","echo ready; cat >/dev/null; touch %s"],"timeout_s":3600}`, ended)
	waits := `{"type":"start","cmd":["sh","-c","echo ready; exec sleep 300"],"timeout_s":3600}`
	text := func(conn *websocket.Conn, s string) { writeMessage(t, conn, websocket.MessageText, []byte(s)) }
	for name, tt := range map[string]struct {
		start    string
		breakOff func(*websocket.Conn)
		code     string
	}{
		"it is gone":         {reads, func(conn *websocket.Conn) { _ = conn.CloseNow() }, ""},
		"it closes":          {reads, func(conn *websocket.Conn) { _ = conn.Close(websocket.StatusNormalClosure, "") }, ""},
		"it goes behind eof": {waits, func(conn *websocket.Conn) { text(conn, eofFrame); _ = conn.CloseNow() }, ""},
		"start again":        {reads, func(conn *websocket.Conn) { text(conn, reads) }, "invalid_frame"},
		"an unknown signal":  {reads, func(conn *websocket.Conn) { text(conn, `{"type":"signal","signal":"STOP"}`) }, "invalid_frame"},
		"another field":      {reads, func(conn *websocket.Conn) { text(conn, `{"type":"stdin_eof","x":1}`) }, "invalid_frame"},
		"eof again":          {waits, func(conn *websocket.Conn) { text(conn, eofFrame); text(conn, eofFrame) }, "invalid_frame"},
		"bytes behind eof": {waits, func(conn *websocket.Conn) {
			text(conn, eofFrame)
			writeMessage(t, conn, websocket.MessageBinary, []byte("x"))
		}, "invalid_frame"},
		"a message too large": {reads, func(conn *websocket.Conn) {
			_ = conn.Write(t.Context(), websocket.MessageBinary, make([]byte, 2<<20+1))
		}, "-"},
		"it goes, held back": {waits, func(conn *websocket.Conn) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // until nothing more of it is taken
			defer cancel()
			for conn.Write(ctx, websocket.MessageBinary, make([]byte, 1<<20)) == nil {
			}
		}, ""},
	} {
		before := len(s.Execs(t))
		conn := beginExec(t, s, tt.start)
		if _, _, err := conn.Read(t.Context()); err != nil { // started
			t.Fatal(err)
		}
		if _, message, err := conn.Read(t.Context()); err != nil || string(message) != "\x01ready\n" {
			t.Fatalf("%q %v", message, err)
		}
		tt.breakOff(conn)
		if tt.code == "invalid_frame" {
			_, message, _ := conn.Read(t.Context())
			if !strings.Contains(string(message), `"type":"error"`) || !strings.Contains(string(message), `"code":"invalid_frame"`) || !strings.Contains(string(message), `"started":true`) {
				t.Errorf("%s: last %s", name, message)
			}
		}
		if row := waitForExec(t, s, before); row.Status != sallyport.StatusCanceled || leavesSome(row) {
			t.Errorf("%s: row %+v", name, row)
		}
		_ = conn.CloseNow()
	}
	if _, err := os.Stat(ended); err == nil {
		t.Error("a command has seen an end of file")
	}
}

// A reader that stops slows the command down, and the end by its time-out is told to it all the
// same when it reads on.
func TestExecSocketReaderStops(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	conn := beginExec(t, s, `{"type":"start","cmd":["cat","/dev/zero"],"timeout_s":1,"max_output_bytes":1073741824}`)
	row := waitForExec(t, s, 0)
	if row.Status != sallyport.StatusTimeout || leavesSome(row) || *row.StdoutBytes > 256<<20 {
		t.Errorf("row %+v", row)
	}
	a := readExec(t, conn)
	a.wantError(t, "the end", websocket.StatusPolicyViolation, "exec_timeout")
	if a.last["timeout_s"] != 1.0 {
		t.Errorf("%v", a.last)
	}
}

// All that refuses an exec refuses it before the upgrade, as far as it is known then, and a
// plain GET finds out.
func TestExecSocketOrderOfChecks(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h, other := newHome(t, s, "a"), newHome(t, s, "b")
	low := newWorkspace(t, s, h.ID, "low", 2, true)
	bare := newWorkspace(t, s, h.ID, "bare", 2, false)
	filesOnly := newToken(t, s, "/workspaces/"+h.ws.ID, sallyport.ScopeFilesRead).Secret
	for _, tt := range []struct {
		name, token, workspace string
		header                 http.Header
		status                 int
		code                   string
	}{
		{"no token", "", h.ws.ID, nil, 401, "unauthenticated"},
		{"another page's", other.token, h.ws.ID, http.Header{"Origin": {"http://evil.example"}}, 403, "cross_origin_forbidden"},
		{"key, workspace", other.token, h.ws.ID, http.Header{sallyport.HeaderIdempotencyKey: {"a b"}}, 400, "invalid_idempotency_key"},
		{"another's", other.token, h.ws.ID, nil, 404, "workspace_not_found"},
		{"scope", filesOnly, h.ws.ID, nil, 403, "scope_forbidden"},
		{"host, tier", h.token, bare.ID, nil, 400, "workspace_has_no_host"},
		{"tier", h.token, low.ID, nil, 403, "exec_tier_forbidden"},
		{"all is well", h.token, h.ws.ID, nil, 426, "upgrade_required"},
	} {
		req := s.Request(t, "GET", "/workspaces/"+tt.workspace+"/exec", tt.token, "")
		for name, values := range tt.header {
			req.Header[name] = values
		}
		plain := s.Send(t, req)
		wantAnswer(t, tt.name, plain, tt.status, tt.code)
		if tt.status == 426 {
			if plain.Header.Get("Upgrade") != "websocket" {
				t.Error("no Upgrade")
			}
			continue
		}
		if conn, a := dialExec(t, s, tt.token, tt.workspace, tt.header); conn != nil || a.Status != tt.status || !strings.Contains(a.Body, `"code":"`+tt.code+`"`) {
			t.Errorf("%s, upgrade: %d %s", tt.name, a.Status, a.Body)
		}
	}
	if rows := rowsAt(t, s, h.token, "/workspaces/"+h.ws.ID+"/execs"); len(rows) != 0 {
		t.Errorf("something happened: %+v", rows)
	}
}

// A key stands for the first message, and an exec ends with its token.
func TestExecSocketEnds(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	start := func(token, cmd string, header http.Header) *websocket.Conn {
		conn, a := dialExec(t, s, token, h.ws.ID, header)
		if conn == nil {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		writeMessage(t, conn, websocket.MessageText, []byte(`{"type":"start","timeout_s":3600,"cmd":`+cmd+`}`))
		return conn
	}
	key := http.Header{sallyport.HeaderIdempotencyKey: {"once"}}
	once := start(h.token, `["cat"]`, key)
	writeMessage(t, once, websocket.MessageText, []byte(eofFrame))
	first := readExec(t, once)
	again := readExec(t, start(h.token, `["cat"]`, key))
	again.wantError(t, "again", websocket.StatusPolicyViolation, "already_run")
	if first.last["exit_code"] != 0.0 || again.last["exec_id"] != first.started["id"] {
		t.Errorf("%v, then %v", first.last, again.last)
	}
	readExec(t, start(h.token, `["id"]`, key)).wantError(t, "another", websocket.StatusPolicyViolation, "idempotency_mismatch")

	token := newToken(t, s, "/workspaces/"+h.ws.ID, sallyport.ScopeExec)
	conn := start(token.Secret, `["sleep","300"]`, nil)
	if _, _, err := conn.Read(t.Context()); err != nil { // started
		t.Fatal(err)
	}
	wantAnswer(t, "revoke", s.Do(t, "DELETE", "/workspaces/"+h.ws.ID+"/tokens/"+token.ID, h.token, ""), 204, "")
	a := &socketAnswer{started: map[string]any{}}
	a.readOn(t, conn)
	a.wantError(t, "revoked", websocket.StatusPolicyViolation, "revoked")
	if row := rowsAt(t, s, h.token, "/workspaces/"+h.ws.ID+"/execs?limit=1")[0]; row.Status != "canceled" || row.Reason != "revoked" || leavesSome(row) {
		t.Errorf("row %+v", row)
	}
}
