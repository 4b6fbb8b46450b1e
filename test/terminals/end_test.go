package terminals

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// family starts an interactive shell with children of all sorts, which print a word each.
const family = `sh -c "echo here; exec sleep 601" & setsid sh -c "echo daemon; exec sleep 602" & nohup sh -c "echo nohup >/dev/tty; exec sleep 603" >/dev/null 2>&1 & cat` + "\r"

func (m *machine) family(t testing.TB, token, rest string) *screen {
	t.Helper()
	s := m.dial(t, token, `{"type":"start","cmd":["bash","--norc","-i"]`+rest+`}`)
	s.begin(t, sallyport.FrameStarted)
	go s.read(0)
	s.types(t, family)
	for _, word := range []string{"\nhere", "\ndaemon", "\nnohup"} {
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
				s = m.family(t, token, "")
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
		s := m.family(t, m.Token, "")
		tt.end(t, m, s.first.ID, "")
		s.wantError(t, tt.status, tt.code)
		checkEnded(t, "tier", m.row(t, s.first.ID), tt.row, tt.reason)
	})
}

func checkEnded(t *testing.T, name string, row sallyport.Activity, status, reason string) {
	t.Helper()
	if row.Status != status || row.Reason != reason || row.Survivors == nil || *row.Survivors != 0 || row.ExitCode != nil {
		t.Errorf("%s: row %+v", name, row)
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
			s := m.family(t, m.Token, "")
			_ = leave(s)
			row := m.endedRow(t, s.first.ID)
			if row.Status != sallyport.StatusCanceled || row.Reason != reason || row.Survivors == nil || *row.Survivors != 2 {
				t.Errorf("%s: row %+v", reason, row)
			}
		}
	})
}

// The server that ends says so first, lets a terminal end by itself, and ends it when its time
// is over.
func TestDrain(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{EndTime: time.Minute, Flags: map[string]string{"drain_timeout": "3s"}})
	s := m.family(t, m.Token, "")
	stopped := make(chan error, 1)
	go func() { stopped <- m.Stop() }()
	s.told(t, `{"type":"notice","code":"draining","left_s":3}`)
	s.wantError(t, websocket.StatusGoingAway, sallyport.CodeDraining)
	must(t, <-stopped)
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
