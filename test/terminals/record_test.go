package terminals

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// cast is a terminal's recording.
func (m *machine) cast(t testing.TB, id string) string {
	t.Helper()
	a := m.Do(t, http.MethodGet, m.path("/recordings/"+id), m.Token, "")
	if a.Status != http.StatusOK {
		t.Fatalf("recording: %d %s", a.Status, a.Body)
	}
	return a.Body
}

// A recorded terminal says so, and its recording has what was shown and each size, and nothing
// that was typed and not shown. A workspace may want all recorded.
func TestRecorded(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	s := m.sit(t, `{"type":"start","cols":90,"rows":20,"record":true,"cmd":["sh","-c","stty -echo; echo ready; read -r x; echo shown-$TERM; exit 3"],"env":{"TERM":"vt100"}}`)
	s.shows(t, "ready")
	s.says(t, `{"type":"resize","cols":91}`)
	s.types(t, "typed-canary\r")
	s.wantExit(t, 3, "")
	cast := m.cast(t, s.first.ID)
	head, events, _ := strings.Cut(cast, "\n")
	if !s.first.Recorded || !strings.Contains(head, `"width":90`) || !strings.Contains(head, `"TERM":"vt100"`) ||
		!strings.Contains(events, `"r", "91x20"`) || !strings.Contains(events, `shown-vt100`) || strings.Contains(cast, "typed-canary") {
		t.Errorf("recorded %t: %s", s.first.Recorded, cast)
	}
	if row := m.row(t, s.first.ID); !*row.Recorded {
		t.Errorf("row %+v", row)
	}
	want(t, m.Do(t, http.MethodPatch, m.path(""), m.Token, `{"record_terminals":true}`), http.StatusOK)
	s = m.sit(t, `{"type":"start","record":false,"cmd":["echo","here"]}`)
	s.wantExit(t, 0, "")
	if !s.first.Recorded || !strings.Contains(m.cast(t, s.first.ID), "here") {
		t.Errorf("%+v", s.first)
	}
}

// Where nothing can be recorded there is no terminal, and no row; where a recording is full the
// terminal ends.
func TestRecordingFails(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "recordings")
	must(t, os.WriteFile(dir, nil, 0o600))
	m := embedded(t, stack.Options{Env: map[string]string{"SALLYPORT_RECORDINGS_DIR": dir, "SALLYPORT_RECORDINGS_BYTES_MAX": fmt.Sprint(64 << 10)}})
	s := m.dial(t, m.Token, `{"type":"start","record":true,"cmd":["true"]}`)
	go s.read(0)
	s.wantError(t, websocket.StatusTryAgainLater, sallyport.CodePlatformUnavailable)
	if rows := m.rows(t, sallyport.ActivityTerminal); len(rows) != 0 {
		t.Errorf("%d rows", len(rows))
	}
	must(t, os.Remove(dir))
	s = m.sit(t, `{"type":"start","record":true,"cmd":["yes"]}`)
	s.wantError(t, websocket.StatusPolicyViolation, sallyport.CodeRecordingFull)
	if row := m.row(t, s.first.ID); row.Status != sallyport.StatusError || row.Code != sallyport.CodeRecordingFull || *row.Survivors != 0 {
		t.Errorf("row %+v", row)
	}
	if cast := m.cast(t, s.first.ID); len(cast) > 64<<10 || len(cast) < 48<<10 { // an event that doesn't fit is left out
		t.Errorf("%d bytes are recorded", len(cast))
	}
}
