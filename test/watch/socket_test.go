package watch

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/loopback"
	"sallyport/test/stack"
)

// dialSocket opens a WebSocket about the workspace local, and sends a first message, if any.
func dialSocket(t *testing.T, s *stack.Stack, path, subprotocol, first string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), s.URL+"/workspaces/local"+path, &websocket.DialOptions{
		Subprotocols: []string{subprotocol}, HTTPHeader: http.Header{"Authorization": {"Bearer " + s.Token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	if first != "" {
		send(t, conn, websocket.MessageText, first)
	}
	return conn
}

func send(t *testing.T, conn *websocket.Conn, kind websocket.MessageType, text string) {
	t.Helper()
	if err := conn.Write(t.Context(), kind, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// receive reads a message.
func receive(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	_, message, err := conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(message)
}

// Terminals and forwards are seen while they run, and so is who watches; what they have
// carried counts when they are over, with nothing of what a caller said.
func TestMetricsOfTerminalsAndForwards(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	echo := loopback.Serve(t, func(conn *net.TCPConn) { _, _ = io.Copy(struct{ io.Writer }{conn}, conn) })
	forward := dialSocket(t, s, fmt.Sprintf("/forward?port=%d", echo.Port), sallyport.SubprotocolForward, "")
	terminal := dialSocket(t, s, "/terminal", sallyport.SubprotocolTerminal, `{"type":"start","record":true,"cmd":["sh","-c","stty raw -echo; echo CaNaRy; head -c 5"]}`)
	var started sallyport.TerminalStarted
	if err := json.Unmarshal([]byte(receive(t, terminal)), &started); err != nil {
		t.Fatal(err)
	}
	watcher := dialSocket(t, s, "/terminal", sallyport.SubprotocolTerminal, `{"type":"watch","id":"`+started.ID+`"}`)
	receive(t, watcher)
	now := scrapeOf(t, s)
	for kind, want := range map[string]float64{"terminal": 1, "forward": 1, "file": 0} {
		if n := now.value("sallyport_acts_running", "kind", kind); n != want {
			t.Errorf("%v acts of kind %s run, want %v", n, kind, want)
		}
	}
	if execs, watchers := now.value("sallyport_execs_running"), now.value("sallyport_terminal_watchers"); execs != 0 || watchers != 1 {
		t.Errorf("%v execs run, %v watch", execs, watchers)
	}
	_ = watcher.CloseNow()
	await(t, "the watcher to be gone", func() bool { return scrapeOf(t, s).value("sallyport_terminal_watchers") == 0 })

	_ = terminal.CloseNow()
	back := dialSocket(t, s, "/terminal", sallyport.SubprotocolTerminal, `{"type":"resume","id":"`+started.ID+`"}`)
	shown := ""
	for !strings.Contains(shown, "CaNaRy\n") { // the modes are set before
		shown += receive(t, back)
	}
	send(t, back, websocket.MessageBinary, "12345")
	for !strings.Contains(shown, `"exit"`) {
		shown += receive(t, back)
	}
	send(t, forward, websocket.MessageBinary, "1234")
	send(t, forward, websocket.MessageText, `{"type":"eof"}`)
	for carried := ""; !strings.HasSuffix(carried, `{"type":"eof"}`); {
		carried += receive(t, forward)
	}
	_, _, _ = back.Read(t.Context()) // their closes
	_, _, _ = forward.Read(t.Context())
	if a := s.Do(t, http.MethodGet, "/workspaces/local/forward?host=192.0.2.1&port=1", s.Token, ""); a.Status != http.StatusForbidden {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	await(t, "both to be over", func() bool {
		now = scrapeOf(t, s)
		return now.value("sallyport_act_duration_seconds", "kind", "terminal", "outcome", "ok") == 1 &&
			now.value("sallyport_act_duration_seconds", "kind", "forward", "outcome", "ok") == 1
	})
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"sallyport_act_bytes_total", []string{"direction", "input", "kind", "terminal"}, 5},
		{"sallyport_act_bytes_total", []string{"direction", "output", "kind", "terminal"}, float64(len("CaNaRy\n12345"))},
		{"sallyport_act_bytes_total", []string{"direction", "input", "kind", "forward"}, 4},
		{"sallyport_act_bytes_total", []string{"direction", "output", "kind", "forward"}, 4},
		{"sallyport_acts_running", []string{"kind", "terminal"}, 0},
		{"sallyport_acts_running", []string{"kind", "forward"}, 0},
		{"sallyport_terminal_resumes_total", nil, 1},
	} {
		if n := now.value(tt.name, tt.labels...); n != tt.want {
			t.Errorf("%s %v is %v, want %v", tt.name, tt.labels, n, tt.want)
		}
	}
	if n := now.value("sallyport_recording_bytes_total"); n < float64(len("CaNaRy\n12345")) {
		t.Errorf("%v bytes are recorded", n)
	}
	if page := s.Do(t, http.MethodGet, "/metrics", "", "").Body; strings.Contains(page, "CaNaRy") || strings.Contains(page, started.ID) || strings.Contains(page, "192.0.2.1") {
		t.Error("the metrics tell what a caller did")
	}
}
