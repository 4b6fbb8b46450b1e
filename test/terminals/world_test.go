// Package terminals holds terminals as clients use them: over the wire, on the embedded host
// and on a real sshd.
package terminals

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	_ "sallyport/test/apart"
	"sallyport/test/program"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// TestMain is the program itself where it is called by its name.
func TestMain(m *testing.M) {
	if program.IsCalled() {
		os.Exit(runProgram())
	}
	goleak.VerifyTestMain(m)
}

// machine is a workspace of a server.
type machine struct {
	*stack.Stack
	workspace string
}

func embedded(t testing.TB, o stack.Options) *machine {
	m := &machine{Stack: stack.Start(t, o), workspace: "here"}
	m.create(t, sallyport.Connector{Type: sallyport.ConnectorLocal})
	return m
}

func openSSH(t testing.TB, o stack.Options) *machine {
	m, _ := onSSHD(t, stack.Start(t, o), "there", sshd.Options{LoginShell: "bash", RC: "echo from the rc file\n"})
	return m
}

// onSSHD is a workspace of s on a machine of its own, with a real sshd.
func onSSHD(t testing.TB, s *stack.Stack, workspace string, o sshd.Options) (*machine, *sshd.Server) {
	t.Helper()
	m := &machine{Stack: s, workspace: workspace}
	ca := filepath.Join(t.TempDir(), "ca.pub")
	must(t, os.WriteFile(ca, []byte(m.Do(t, http.MethodGet, "/ca", m.Token, "").Body), 0o644))
	o.Config = append(o.Config, "TrustedUserCAKeys "+ca)
	server := sshd.Start(t, o)
	host, port, err := net.SplitHostPort(server.Addr)
	must(t, err)
	c := sallyport.Connector{Type: sallyport.ConnectorSSH, Host: host, User: server.User, TrustOnFirstUse: true}
	_, err = fmt.Sscan(port, &c.Port)
	must(t, err)
	m.create(t, c)
	return m, server
}

func (m *machine) create(t testing.TB, c sallyport.Connector) {
	t.Helper()
	body, err := json.Marshal(sallyport.WorkspaceCreate{Name: m.workspace, Tier: 4, Connector: &c})
	must(t, err)
	if a := m.Do(t, http.MethodPost, "/workspaces", m.Token, string(body)); a.Status != http.StatusCreated {
		t.Fatalf("workspace: %d %s", a.Status, a.Body)
	}
}

func each(t *testing.T, o stack.Options, test func(*testing.T, *machine)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, embedded(t, o))
	})
	t.Run("openssh", func(t *testing.T) {
		t.Parallel()
		test(t, openSSH(t, o))
	})
}

// screen is one connection to a terminal.
type screen struct {
	conn *websocket.Conn
	// first is the answer to the first message.
	first sallyport.TerminalResumed

	mu    sync.Mutex // guards the fields below
	shown bytes.Buffer
	// frames are the control messages but the first.
	frames []string
	ended  *websocket.CloseError
}

// path is where terminals of the workspace are.
func (m *machine) path(rest string) string { return "/workspaces/" + m.workspace + rest }

// dial connects, and sends a first message.
func (m *machine) dial(t testing.TB, token, first string) *screen {
	t.Helper()
	s, err := m.dialAs(t, http.Header{"Authorization": {"Bearer " + token}}, first)
	must(t, err)
	return s
}

// dialAs is dial with any credential; an empty first message is none.
func (m *machine) dialAs(t testing.TB, credential http.Header, first string) (*screen, error) {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), m.URL+m.path("/terminal"), &websocket.DialOptions{
		Subprotocols: []string{sallyport.SubprotocolTerminal}, HTTPHeader: credential,
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(64 << 10) // the server's messages have no more
	s := &screen{conn: conn}
	if first != "" {
		s.says(t, first)
	}
	return s, nil
}

// sit starts a terminal, and reads what comes.
func (m *machine) sit(t testing.TB, first string) *screen {
	t.Helper()
	s := m.dial(t, m.Token, first)
	s.begin(t, sallyport.FrameStarted)
	go s.read(0)
	return s
}

// begin reads the answer to the first message.
func (s *screen) begin(t testing.TB, want string) {
	t.Helper()
	_, text, err := s.conn.Read(t.Context())
	must(t, err)
	must(t, json.Unmarshal(text, &s.first))
	if s.first.Type != want {
		t.Fatalf("got %s, want %s", text, want)
	}
}

// read reads until the end, and acks each message where it is told from where on.
func (s *screen) read(acked int64) {
	for {
		kind, message, err := s.conn.Read(context.Background())
		s.mu.Lock()
		switch {
		case err != nil:
			s.ended = &websocket.CloseError{}
			errors.As(err, s.ended)
		case kind == websocket.MessageText:
			s.frames = append(s.frames, string(message))
		default:
			s.shown.Write(message)
		}
		n := int64(s.shown.Len())
		s.mu.Unlock()
		if err != nil {
			return
		}
		if acked > 0 {
			_ = s.conn.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `{"type":"ack","received":%d}`, acked-1+n))
		}
	}
}

func (s *screen) says(t testing.TB, text string) {
	t.Helper()
	must(t, s.conn.Write(t.Context(), websocket.MessageText, []byte(text)))
}

func (s *screen) types(t testing.TB, keys string) {
	t.Helper()
	must(t, s.conn.Write(t.Context(), websocket.MessageBinary, []byte(keys)))
}

// text is what is shown so far.
func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// shows waits until text is shown.
func (s *screen) shows(t testing.TB, text string) {
	t.Helper()
	until(t, fmt.Sprintf("%q is shown", text), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return bytes.Contains(s.shown.Bytes(), []byte(text))
	}, func() any { return s.text() })
}

// told waits for a control message.
func (s *screen) told(t testing.TB, text string) {
	t.Helper()
	until(t, text, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, f := range s.frames {
			if f == text {
				return true
			}
		}
		return false
	}, func() any { return s.frames })
}

// last waits for the end, and returns the last message and the close.
func (s *screen) last(t testing.TB) (frame string, end websocket.CloseError) {
	t.Helper()
	until(t, "the connection ends", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.ended != nil
	}, func() any { return s.text() })
	if len(s.frames) > 0 {
		frame = s.frames[len(s.frames)-1]
	}
	return frame, *s.ended
}

// wantError demands an error as the last message, and a close with its code.
func (s *screen) wantError(t testing.TB, status websocket.StatusCode, code sallyport.Code) (e sallyport.SocketError) {
	t.Helper()
	text, end := s.last(t)
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Type != sallyport.FrameError || e.Code != code || e.Message == "" || end.Code != status || end.Reason != string(code) {
		t.Errorf("last %q, closed with %d %q, want %d %s", text, end.Code, end.Reason, status, code)
	}
	return e
}

// wantExit demands an exit as the last message.
func (s *screen) wantExit(t testing.TB, code int, signal string) {
	t.Helper()
	text, end := s.last(t)
	var e sallyport.TerminalExit
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Type != sallyport.FrameExit || e.ExitCode != code || e.Signal != signal || end.Code != websocket.StatusNormalClosure {
		t.Errorf("last %q, closed with %d %q, want exit %d %s", text, end.Code, end.Reason, code, signal)
	}
}

// row is that of a terminal.
func (m *machine) row(t testing.TB, id string) (row sallyport.Activity) {
	t.Helper()
	a := m.Do(t, http.MethodGet, m.path("/terminals/"+id), m.Token, "")
	if a.Status != http.StatusOK {
		t.Fatalf("row: %d %s", a.Status, a.Body)
	}
	a.Decode(t, &row)
	return row
}

// rows are the workspace's of a type, all where it is empty, newest first.
func (m *machine) rows(t testing.TB, rowType string) []sallyport.Activity {
	t.Helper()
	query := "?limit=100"
	if rowType != "" {
		query += "&type=" + rowType
	}
	a := m.Do(t, http.MethodGet, m.path("/activity"+query), m.Token, "")
	var list sallyport.List[sallyport.Activity]
	a.Decode(t, &list)
	return list.Items
}

// endedRow is the row once it is complete.
func (m *machine) endedRow(t testing.TB, id string) (row sallyport.Activity) {
	t.Helper()
	until(t, "the row is complete", func() bool {
		row = m.row(t, id)
		return row.CompletedAt != nil
	}, func() any { return row })
	return row
}

// token makes a token with scopes.
func (m *machine) token(t testing.TB, scopes ...sallyport.Scope) (token, id string) {
	t.Helper()
	body, err := json.Marshal(sallyport.TokenCreate{Name: "test", Scopes: scopes})
	must(t, err)
	a := m.Do(t, http.MethodPost, "/workspaces/"+m.workspace+"/tokens", m.Token, string(body))
	if a.Status != http.StatusCreated {
		t.Fatalf("token: %d %s", a.Status, a.Body)
	}
	var made struct{ ID, Token string }
	a.Decode(t, &made)
	return made.Token, made.ID
}

func until(t testing.TB, what string, holds func() bool, is func() any) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("it never was: %s: %.2000q", what, fmt.Sprint(is()))
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
