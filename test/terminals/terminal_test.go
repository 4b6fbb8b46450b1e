package terminals

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/internal/httpapi"
	"sallyport/test/stack"
)

// A terminal from its start to its exit: size, type, environment, directory, keys that were
// typed before it had started, a resize, a signal to what is in the foreground, and the row.
func TestTerminal(t *testing.T) {
	each(t, stack.Options{}, func(t *testing.T, m *machine) {
		s := m.dial(t, m.Token, `{"type":"start","cols":120,"rows":40,"cmd":["bash","-i"],"cwd":"/tmp","env":{"A":"canary"},"timeout_s":3600}`)
		s.types(t, "stty size; echo \"$TERM $A $PWD $SALLYPORT_EXEC_ID\"\r")
		s.begin(t, sallyport.FrameStarted)
		f := s.first
		if f.Cols != 120 || f.Rows != 40 || f.TimeoutS != 3600 || f.IdleTimeoutS != 1800 || f.Recorded {
			t.Errorf("started %+v", f)
		}
		if row := m.row(t, f.ID); row.Status != sallyport.StatusRunning || row.Type != sallyport.ActivityTerminal {
			t.Errorf("row %+v", row)
		}
		go s.read(0)
		s.shows(t, "40 120\r\nxterm-256color canary /tmp "+f.ID+"\r\n")
		if strings.HasPrefix(s.text(), "from the rc file\r\nfrom the rc file") {
			t.Errorf("shown %q", s.text())
		}
		s.types(t, `sh -c 'trap "stty size" WINCH; trap "echo in''terrupted; exit 7" INT; echo rea''dy; while :; do sleep 0.05; done'; echo "code $?"`+"\r")
		s.shows(t, "ready")
		s.says(t, `{"type":"resize","cols":99}`)
		s.shows(t, "40 99\r\n")
		s.says(t, `{"type":"signal","signal":"INT"}`)
		s.shows(t, "interrupted\r\ncode 7")
		s.types(t, "exit 3\r")
		s.wantExit(t, 3, "")
		row := m.row(t, f.ID)
		if row.Status != sallyport.StatusError || *row.ExitCode != 3 || *row.Resumes != 0 || *row.Recorded || *row.OutputBytes != int64(len(s.text())) || *row.InputBytes == 0 || row.CompletedAt == nil {
			t.Errorf("row %+v", row)
		}
		if strings.Join(row.Argv, " ") != "bash -i" || row.Summary != "bash -i" || row.Cwd != "/tmp" || strings.Join(row.EnvNames, " ") != "A" || row.TimeoutS != 3600 {
			t.Errorf("row %+v", row)
		}
		if log := m.Log.String(); strings.Contains(log, "canary") {
			t.Error("the log has the environment")
		}
	})
}

// Without cmd it is the login shell, of 80 columns and 24 rows, and its row has no argv.
func TestLoginShell(t *testing.T) {
	each(t, stack.Options{}, func(t *testing.T, m *machine) {
		s := m.sit(t, `{"type":"start"}`)
		s.types(t, "stty size; exit\r")
		s.wantExit(t, 0, "")
		if !strings.Contains(s.text(), "24 80\r\n") {
			t.Errorf("shown %q", s.text())
		}
		if row := m.row(t, s.first.ID); row.Status != sallyport.StatusOK || row.Argv != nil || row.Summary != "login shell" || row.TimeoutS != 43200 {
			t.Errorf("row %+v", row)
		}
	})
}

// Who doesn't say in time what it wants is not waited for.
func TestSilentClient(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{Times: httpapi.Times{TerminalStart: 50 * time.Millisecond}})
	conn, _, err := websocket.Dial(t.Context(), m.URL+m.path("/terminal"), &websocket.DialOptions{
		Subprotocols: []string{sallyport.SubprotocolTerminal}, HTTPHeader: http.Header{"Authorization": {"Bearer " + m.Token}},
	})
	must(t, err)
	defer conn.CloseNow()
	s := &screen{conn: conn}
	go s.read(0)
	s.wantError(t, websocket.StatusPolicyViolation, sallyport.CodeRequestTimeout)
}

// What can't be started is said in the last message, with the contract's codes, and so is what
// may not be sent.
func TestRefusals(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	reader, _ := m.token(t, sallyport.ScopeTerminalRead)
	for _, tt := range []struct {
		first  string
		status websocket.StatusCode
		code   sallyport.Code
	}{
		{`x`, 1008, sallyport.CodeInvalidFrame},
		{`{"type":"start"} {}`, 1008, sallyport.CodeInvalidFrame},
		{`{"type":"start","type":"start"}`, 1008, sallyport.CodeInvalidFrame},
		{`{"type":"ack","received":0}`, 1008, sallyport.CodeInvalidFrame},
		{`{"type":"start","colz":1}`, 1008, sallyport.CodeUnknownField},
		{`{"type":"start","cols":-1}`, 1008, sallyport.CodeInvalidCols},
		{`{"type":"start","rows":1.5}`, 1008, sallyport.CodeInvalidRows},
		{`{"type":"start","cmd":[]}`, 1008, sallyport.CodeInvalidArgv},
		{`{"type":"start","cmd":"ls"}`, 1008, sallyport.CodeInvalidArgv},
		{`{"type":"start","env":{"UID":"1"}}`, 1008, sallyport.CodeInvalidEnv},
		{`{"type":"start","timeout_s":"1"}`, 1008, sallyport.CodeInvalidTimeout},
		{`{"type":"start","idle_timeout_s":"1"}`, 1008, sallyport.CodeInvalidIdleTimeoutS},
		{`{"type":"start","record":1}`, 1008, sallyport.CodeInvalidRecord},
		{`{"type":"start","cwd":"/no/such"}`, 1008, sallyport.CodeInvalidCwd},
		{`{"type":"resume","id":"x"}`, 1008, sallyport.CodeTerminalNotFound},
		{`{"type":"resume","id":"x","received":-1}`, 1008, sallyport.CodeInvalidFrame},
		{`{"type":"watch","id":"x"}`, 1008, sallyport.CodeScopeForbidden},
	} {
		token := m.Token
		if strings.Contains(tt.first, "watch") {
			token, _ = m.token(t, sallyport.ScopeTerminal)
		}
		s := m.dial(t, token, tt.first)
		go s.read(0)
		s.wantError(t, tt.status, tt.code)
	}
	s := m.dial(t, reader, `{"type":"start"}`)
	go s.read(0)
	s.wantError(t, 1008, sallyport.CodeScopeForbidden)
	if a := m.Do(t, http.MethodGet, m.path("/terminal"), m.Token, ""); a.Status != http.StatusUpgradeRequired || a.Header.Get("Upgrade") != "websocket" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	for _, frame := range []string{`{"type":"start"}`, `{"type":"ack","received":99}`, `{"type":"signal","signal":"STOP"}`, `{"type":"resize","cols":"1"}`, `[]`} {
		s := m.sit(t, `{"type":"start","cmd":["cat"]}`)
		s.says(t, frame)
		s.wantError(t, 1008, sallyport.CodeInvalidFrame)
		back := m.dial(t, m.Token, fmt.Sprintf(`{"type":"resume","id":%q}`, s.first.ID)) // the connection ended, not the terminal
		back.begin(t, sallyport.FrameResumed)
		must(t, back.conn.Close(websocket.StatusNormalClosure, ""))
	}
}
