//go:build linux

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// seat is a connection to a terminal, at one of the servers.
type seat struct {
	conn  *websocket.Conn
	shown string
	last  string // the last control message
	end   websocket.CloseError
}

// sit connects to a server, and says what is wanted.
func (w *world) sit(t *testing.T, replica int, token, first string) *seat {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), w.Replicas[replica].URL()+"/workspaces/"+w.ws.ID+"/terminal", &websocket.DialOptions{
		Subprotocols: []string{sallyport.SubprotocolTerminal}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	s := &seat{conn: conn}
	s.say(t, first)
	return s
}

func (s *seat) say(t *testing.T, text string) {
	t.Helper()
	if err := s.conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func (s *seat) keys(t *testing.T, text string) {
	t.Helper()
	if err := s.conn.Write(t.Context(), websocket.MessageBinary, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// read reads until text is shown or told, or the end.
func (s *seat) read(t *testing.T, text string) {
	t.Helper()
	for text == "" || !strings.Contains(s.shown, text) && !strings.Contains(s.last, text) {
		kind, message, err := s.conn.Read(t.Context())
		switch {
		case err != nil:
			if !errors.As(err, &s.end) || text != "" {
				t.Fatalf("%v, shown %q, last %s", err, s.shown, s.last)
			}
			return
		case kind == websocket.MessageText:
			s.last = string(message)
		default:
			s.shown += string(message)
		}
	}
}

// A terminal of one server is taken up again, watched and ended at every other.
func testTerminal(t *testing.T, w *world) {
	token, err := w.admin.CreateToken(t.Context(), client.Owner{Org: w.org.ID}, sallyport.TokenCreate{
		Name: "terminals", Scopes: []sallyport.Scope{sallyport.ScopeTerminal, sallyport.ScopeTerminalRead},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range w.Replicas {
		other := (i + 1) % len(w.Replicas)
		s := w.sit(t, i, token.Secret, `{"type":"start","cmd":["sh","-c","echo here; while read -r x; do echo got $x; stty size; done; exit 5"]}`)
		s.read(t, "here\r\n")
		id := w.newest(t, token.Secret)
		_ = s.conn.CloseNow()

		back := w.sit(t, other, token.Secret, fmt.Sprintf(`{"type":"resume","id":%q,"received":%d}`, id, len(s.shown)))
		back.read(t, `"resumed"`)
		var resumed sallyport.TerminalResumed
		if err := json.Unmarshal([]byte(back.last), &resumed); err != nil || resumed.From != int64(len(s.shown)) || resumed.ID != id {
			t.Errorf("resumed %s", back.last)
		}
		back.say(t, `{"type":"resize","cols":99,"rows":33}`)
		watcher := w.sit(t, (i+2)%len(w.Replicas), token.Secret, fmt.Sprintf(`{"type":"watch","id":%q}`, id))
		watcher.read(t, `"watching"`)
		back.read(t, `{"type":"watchers","count":1}`)
		back.keys(t, "it\r")
		back.read(t, "got it\r\n33 99\r\n")
		watcher.read(t, "got it\r\n33 99\r\n")
		if i == 0 { // it ends by itself
			back.keys(t, "\x04")
			for _, all := range []*seat{back, watcher} {
				if all.read(t, ""); !strings.Contains(all.last, `"exit_code":5`) || all.end.Code != websocket.StatusNormalClosure {
					t.Errorf("last %s, closed with %d", all.last, all.end.Code)
				}
			}
		} else {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, w.Replicas[other].URL()+"/workspaces/"+w.ws.ID+"/terminals/"+id, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token.Secret)
			answer, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusNoContent {
				t.Errorf("DELETE: %d", answer.StatusCode)
			}
			if back.read(t, ""); !strings.Contains(back.last, `"killed"`) || back.end.Code != websocket.StatusPolicyViolation {
				t.Errorf("last %s, closed with %d", back.last, back.end.Code)
			}
		}
		eventually(t, "the terminal is over", func() bool {
			gone := w.sit(t, other, token.Secret, fmt.Sprintf(`{"type":"resume","id":%q}`, id))
			gone.read(t, "")
			return strings.Contains(gone.last, `"terminal_not_found"`)
		})
	}
}

// newest is the id of the terminal that was started last.
func (w *world) newest(t *testing.T, token string) (id string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.Replicas[0].URL()+"/workspaces/"+w.ws.ID+"/terminals?status=running", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var list sallyport.List[sallyport.Activity]
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil || len(list.Items) != 1 {
		t.Fatalf("%d terminals run, %v", len(list.Items), err)
	}
	return list.Items[0].ID
}
