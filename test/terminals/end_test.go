package terminals

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// family starts an interactive shell with children of all sorts, which print a word each.
const family = `sh -c "echo here$((1)); exec sleep 601" & setsid sh -c "echo daemon$((1)); exec sleep 602" & nohup sh -c "echo nohup$((1)) >/dev/tty; exec sleep 603" >/dev/null 2>&1 & cat` + "\r"

func (m *machine) family(t testing.TB, token string) *screen {
	t.Helper()
	s := m.dial(t, token, `{"type":"start","cmd":["bash","--norc","-i"]}`)
	s.begin(t, sallyport.FrameStarted)
	go s.read(0)
	s.types(t, family)
	for _, word := range []string{"here1", "daemon1", "nohup1"} { // as they are printed, not as they are typed
		s.shows(t, word)
	}
	return s
}

// Each forced end takes all that the terminal has started with it, says so in its last message,
// and in its row, which is complete before.
func TestForcedEnds(t *testing.T) {
	endings := map[string]struct {
		rest   string
		end    func(*testing.T, *machine, string, string)
		status websocket.StatusCode
		code   sallyport.Code
		row    string
		reason string
	}{
		"killed": {end: func(t *testing.T, m *machine, id, _ string) {
			want(t, m.Do(t, http.MethodDelete, m.path("/terminals/"+id), m.Token, ""), http.StatusNoContent)
			want(t, m.Do(t, http.MethodDelete, m.path("/terminals/"+id), m.Token, ""), http.StatusConflict)
			if rows := m.rows(t, sallyport.ActivityTerminalKilled); len(rows) != 1 {
				t.Errorf("%d rows", len(rows))
			}
		}, status: 1008, code: sallyport.CodeKilled, row: sallyport.StatusCanceled, reason: "killed"},
		"revoked": {end: func(t *testing.T, m *machine, _, token string) {
			want(t, m.Do(t, http.MethodDelete, m.path("/tokens/"+token), m.Token, ""), http.StatusNoContent)
		}, status: 1008, code: sallyport.CodeRevoked, row: sallyport.StatusCanceled, reason: "revoked"},
		"tier": {end: func(t *testing.T, m *machine, _, _ string) {
			want(t, m.Do(t, http.MethodPatch, m.path(""), m.Token, `{"tier":2}`), http.StatusOK)
		}, status: 1008, code: sallyport.CodeExecTierForbidden, row: sallyport.StatusCanceled, reason: "exec_tier_forbidden"},
		"total": {rest: `,"timeout_s":2`, end: func(*testing.T, *machine, string, string) {}, status: 1008, code: sallyport.CodeTerminalTimeout, row: sallyport.StatusTimeout, reason: "total"},
		"idle":  {rest: `,"idle_timeout_s":2`, end: func(*testing.T, *machine, string, string) {}, status: 1008, code: sallyport.CodeTerminalTimeout, row: sallyport.StatusTimeout, reason: "idle"},
	}
	each(t, stack.Options{EndTime: time.Minute}, func(t *testing.T, m *machine) {
		for name, tt := range endings {
			if name == "tier" {
				continue // last: nothing may follow
			}
			token, tokenID := m.token(t, sallyport.ScopeTerminal)
			var s *screen
			if tt.rest == "" {
				s = m.family(t, token)
			} else {
				s = m.sit(t, `{"type":"start","cmd":["sh","-c","setsid sleep 602 & sleep 601"]`+tt.rest+`}`)
			}
			tt.end(t, m, s.first.ID, tokenID)
			e := s.wantError(t, tt.status, tt.code)
			if e.Started == nil || !*e.Started || (tt.row == sallyport.StatusTimeout) != (e.TimeoutS > 0) {
				t.Errorf("%s: %+v", name, e)
			}
			checkEnded(t, name, m.row(t, s.first.ID), tt.row, tt.reason)
		}
		tt := endings["tier"]
		s := m.family(t, m.Token)
		tt.end(t, m, s.first.ID, "")
		s.wantError(t, tt.status, tt.code)
		checkEnded(t, "tier", m.row(t, s.first.ID), tt.row, tt.reason)
	})
}

func checkEnded(t *testing.T, name string, row sallyport.Activity, status, reason string) {
	t.Helper()
	// Others' processes on this machine may be such that the row can't tell; the processes do.
	noSurvivors := row.SurvivorsUnknown || row.Survivors != nil && *row.Survivors == 0
	if row.Status != status || row.Reason != reason || !noSurvivors || row.ExitCode != nil || row.CompletedAt == nil {
		t.Errorf("%s: row %+v", name, row)
	}
	until(t, name+" leaves no process", func() bool { return !isThere(row.ID) }, func() any { return row.ID }) // one that was killed takes a moment
}

// isThere tells whether this machine has a process of a terminal.
func isThere(id string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	for _, file := range files {
		if environ, err := os.ReadFile(file); err == nil && bytes.Contains(environ, []byte("SALLYPORT_EXEC_ID="+id+"\x00")) {
			return true
		}
	}
	return false
}

// An organisation goes with its last workspace's terminal: that is ended as its workspace's
// deletion ends it, and its row is completed behind the organisation's end.
func TestDeleted(t *testing.T) {
	each(t, stack.Options{EndTime: time.Minute}, func(t *testing.T, m *machine) {
		s := m.family(t, m.Token)
		for _, path := range []string{"/workspaces/local", m.path("")} {
			want(t, m.Do(t, http.MethodDelete, path, m.Token, ""), http.StatusNoContent)
		}
		want(t, m.Do(t, http.MethodDelete, "/orgs/"+m.OrgID, m.AdminToken, ""), http.StatusNoContent)
		s.wantError(t, 1008, sallyport.CodeWorkspaceDeleted)
		var rows sallyport.List[sallyport.Activity]
		m.Do(t, http.MethodGet, "/activity?type="+sallyport.ActivityTerminal, m.AdminToken, "").Decode(t, &rows)
		if len(rows.Items) != 1 || rows.Items[0].ID != s.first.ID {
			t.Fatalf("rows %+v", rows.Items)
		}
		checkEnded(t, "deleted", rows.Items[0], sallyport.StatusCanceled, "workspace_deleted")
	})
}

// A terminal that a page has started ends with the page's session, though its token lives on,
// and with no other session.
func TestSessionEnded(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{EndTime: time.Minute})
	open := func() (cookie string, s *screen) {
		a := m.Do(t, http.MethodPost, "/session", m.Token, "")
		want(t, a, http.StatusCreated)
		cookie, _, _ = strings.Cut(a.Header.Get("Set-Cookie"), ";")
		s, err := m.dialAs(t, http.Header{"Cookie": {cookie}, "Origin": {m.URL}}, `{"type":"start","cmd":["sh","-c","setsid sleep 602 & cat"]}`)
		must(t, err)
		s.begin(t, sallyport.FrameStarted)
		go s.read(0)
		return cookie, s
	}
	cookie, doomed := open()
	_, spared := open()
	logout := m.Request(t, http.MethodDelete, "/session", "", "")
	logout.Header.Set("Cookie", cookie)
	want(t, m.Send(t, logout), http.StatusNoContent)
	doomed.wantError(t, 1008, sallyport.CodeRevoked)
	checkEnded(t, "session", m.row(t, doomed.first.ID), sallyport.StatusCanceled, "revoked")
	spared.types(t, "\x04")
	spared.wantExit(t, 0, "")
}

// A terminal ends when its token expires.
func TestTokenExpired(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{EndTime: time.Minute})
	for life := 3; ; life *= 2 { // until one lives long enough for a start
		var token sallyport.Token
		m.Do(t, http.MethodPost, m.path("/tokens"), m.Token, fmt.Sprintf(`{"name":"short","scopes":["terminal"],"expires_in_s":%d}`, life)).Decode(t, &token)
		s, err := m.dialAs(t, http.Header{"Authorization": {"Bearer " + token.Secret}}, `{"type":"start","cmd":["sh","-c","setsid sleep 602 & sleep 601"]}`)
		if err != nil {
			continue
		}
		_, text, err := s.conn.Read(t.Context())
		must(t, err)
		must(t, json.Unmarshal(text, &s.first))
		if s.first.Type != sallyport.FrameStarted {
			continue
		}
		go s.read(0)
		s.wantError(t, 1008, sallyport.CodeRevoked)
		checkEnded(t, "expired", m.row(t, s.first.ID), sallyport.StatusCanceled, "revoked")
		return
	}
}

func want(t *testing.T, a stack.Answer, status int) {
	t.Helper()
	if a.Status != status {
		t.Errorf("%d %s, want %d", a.Status, a.Body, status)
	}
}

// A client that leaves, or stays lost, hangs up: what was meant to survive that does, and is
// counted. A page that is left is lost, and may come again.
func TestHangUp(t *testing.T) {
	each(t, stack.Options{Env: map[string]string{"SALLYPORT_TERMINALS_RESUME": "2s"}}, func(t *testing.T, m *machine) {
		for reason, leave := range map[string]func(*screen) error{
			"hangup": func(s *screen) error { return s.conn.Close(websocket.StatusNormalClosure, "") },
			"lost":   func(s *screen) error { return s.conn.Close(websocket.StatusGoingAway, "") },
		} {
			s := m.family(t, m.Token)
			_ = leave(s)
			row := m.endedRow(t, s.first.ID)
			if row.Status != sallyport.StatusCanceled || row.Reason != reason || row.Survivors == nil || *row.Survivors != 2 {
				t.Errorf("%s: row %+v", reason, row)
			}
		}
	})
}

// A client that leaves while its machine is still being reached hangs up, though its connection is
// broken by the time that it could be answered.
func TestHangUpWhileReaching(t *testing.T) {
	t.Parallel()
	m, machine := onSSHD(t, stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_TERMINALS_RESUME": "2s"}}), "there", sshd.Options{})
	machine.Stop()
	var tcp *net.TCPConn
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		tcp, _ = conn.(*net.TCPConn)
		return conn, err
	}}
	conn, _, err := websocket.Dial(t.Context(), m.URL+m.path("/terminal"), &websocket.DialOptions{
		Subprotocols: []string{sallyport.SubprotocolTerminal}, HTTPHeader: http.Header{"Authorization": {"Bearer " + m.Token}},
		HTTPClient: &http.Client{Transport: transport},
	})
	must(t, err)
	defer conn.CloseNow() //nolint:errcheck // it is broken by then
	must(t, conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"start","cmd":["sleep","1000"]}`)))
	var rows []sallyport.Activity
	until(t, "the terminal's row", func() bool {
		rows = m.rows(t, sallyport.ActivityTerminal)
		return len(rows) == 1
	}, func() any { return rows })
	_, err = tcp.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}) // a close frame, 1000
	must(t, err)
	must(t, tcp.SetLinger(0)) // a reset, with the frame before it
	must(t, tcp.Close())
	machine.Cont()
	if row := m.endedRow(t, rows[0].ID); row.Status != sallyport.StatusCanceled || row.Reason != "hangup" {
		t.Errorf("row %+v", row)
	}
}

// The server that ends says so first, lets a terminal end by itself, and ends it when its time
// is over.
func TestDrain(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{EndTime: time.Minute, Flags: map[string]string{"drain_timeout": "3s"}})
	s := m.family(t, m.Token)
	stopped := make(chan error, 1)
	go func() { stopped <- m.Stop() }()
	s.told(t, `{"type":"notice","code":"draining","left_s":3}`)
	s.wantError(t, websocket.StatusGoingAway, sallyport.CodeDraining)
	must(t, <-stopped)
	next := &machine{Stack: stack.Start(t, stack.Options{DataDir: m.DataDir}), workspace: m.workspace}
	checkEnded(t, "drain", next.row(t, s.first.ID), sallyport.StatusCanceled, "draining")
}

// What a terminal shows or is typed stands in no row and no log.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	s := m.sit(t, `{"type":"start","cmd":["sh","-c","read -r x; echo shown-canary"]}`)
	s.types(t, "typed-canary\r")
	s.wantExit(t, 0, "")
	text := m.Log.String() + fmt.Sprintf("%+v", m.rows(t, ""))
	for _, word := range []string{"typed-canary", "shown-canary "} {
		if strings.Contains(text, word) {
			t.Errorf("%s leaks", word)
		}
	}
}
