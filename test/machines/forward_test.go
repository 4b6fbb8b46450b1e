package machines

import (
	"bytes"
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
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// dialForward opens a forward, or returns the body of the refusal.
func (m *machine) dialForward(t *testing.T, query string) (*websocket.Conn, string) {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), m.URL+"/workspaces/"+m.name+"/forward?"+query, &websocket.DialOptions{
		Subprotocols: []string{sallyport.SubprotocolForward}, HTTPHeader: http.Header{"Authorization": {"Bearer " + m.Token}},
	})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
		return conn, ""
	}
	if resp == nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return nil, string(body)
}

func (m *machine) forwardRow(t *testing.T) sallyport.Activity {
	t.Helper()
	var page sallyport.List[sallyport.Activity]
	m.Do(t, http.MethodGet, "/workspaces/"+m.name+"/forwards?limit=1", m.Token, "").Decode(t, &page)
	if len(page.Items) != 1 {
		t.Fatal("no row")
	}
	return page.Items[0]
}

// echoPort answers each connection with what it has sent, once that has ended.
func echoPort(t *testing.T) int {
	t.Helper()
	return loopback.Serve(t, func(conn *net.TCPConn) {
		all, _ := io.ReadAll(conn) // what came, where it was cut
		_, _ = conn.Write(all)
	}).Port
}

// A forward over OpenSSH: bytes both ways, the half-close, and what sshd refuses.
func TestForward(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	conn, refusal := m.dialForward(t, fmt.Sprintf("port=%d", echoPort(t)))
	if conn == nil {
		t.Fatal(refusal)
	}
	want := bytes.Repeat([]byte{0, 255, '\n'}, 300_000)
	for _, message := range [][]byte{want[:1], want[1:]} {
		if err := conn.Write(t.Context(), websocket.MessageBinary, message); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"eof"}`)); err != nil {
		t.Fatal(err)
	}
	got, last, status := readAll(t, conn)
	if !bytes.Equal(got, want) || last != `{"type":"eof"}` || status != websocket.StatusNormalClosure {
		t.Errorf("%d bytes, last %s, closed with %d", len(got), last, status)
	}
	if row := m.forwardRow(t); row.Status != "ok" || *row.InputBytes != int64(len(want)) || *row.OutputBytes != int64(len(want)) {
		t.Errorf("row %+v", row)
	}
	if conn, refusal := m.dialForward(t, "port=1"); conn != nil || !strings.Contains(refusal, `"reason":"refused"`) {
		t.Errorf("a closed port: %s", refusal)
	}
}

// readAll reads until the connection ends.
func readAll(t *testing.T, conn *websocket.Conn) (got []byte, last string, status websocket.StatusCode) {
	t.Helper()
	for {
		kind, message, err := conn.Read(t.Context())
		switch {
		case err != nil:
			return got, last, websocket.CloseStatus(err)
		case kind == websocket.MessageText:
			last = string(message)
		default:
			got = append(got, message...)
		}
	}
}

// What sshd's configuration forbids is told apart from what nobody answers.
func TestForwardProhibited(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{Config: []string{"AllowTcpForwarding no"}})
	conn, refusal := m.dialForward(t, fmt.Sprintf("port=%d", m.port(t)))
	if conn != nil || !strings.Contains(refusal, `"code":"forward_failed","reason":"prohibited"`) {
		t.Errorf("refusal %s", refusal)
	}
	if row := m.forwardRow(t); row.Status != "error" || row.Code != "forward_failed" || row.Reason != "prohibited" {
		t.Errorf("row %+v", row)
	}
}

// A machine that is lost is an error, never an end.
func TestForwardCut(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	conn, refusal := m.dialForward(t, fmt.Sprintf("port=%d", echoPort(t)))
	if conn == nil {
		t.Fatal(refusal)
	}
	m.sshd.KillConnections()
	_, last, status := readAll(t, conn)
	var frame sallyport.SocketError
	if err := json.Unmarshal([]byte(last), &frame); err != nil || frame.Code != sallyport.CodeExecTransport || status != websocket.StatusInternalError {
		t.Errorf("last %s, closed with %d", last, status)
	}
	if row := m.forwardRow(t); row.Status != "error" || row.Code != sallyport.CodeExecTransport {
		t.Errorf("row %+v", row)
	}
}
