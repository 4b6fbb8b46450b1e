package faults

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// A terminal of a server that was killed is interrupted when the next one starts, which ends
// what the terminal has left on the machine.
func TestKilledWithTerminal(t *testing.T) {
	t.Parallel()
	data := stack.MakeDataDir(t)
	server := startChild(t, childOptions{dataDir: data})
	conn, _, err := websocket.Dial(t.Context(), server.URL+"/workspaces/local/terminal", &websocket.DialOptions{
		Subprotocols: []string{sallyport.SubprotocolTerminal}, HTTPHeader: http.Header{"Authorization": {"Bearer " + server.Token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	start := `{"type":"start","cmd":["sh","-c","trap '' HUP; setsid sh -c 'echo there; exec sleep 600' & sleep 600"]}`
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(start)); err != nil {
		t.Fatal(err)
	}
	var started sallyport.TerminalStarted
	for shown := ""; !strings.Contains(shown, "there"); {
		kind, message, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if kind == websocket.MessageBinary {
			shown += string(message)
		} else if err := json.Unmarshal(message, &started); err != nil {
			t.Fatal(err)
		}
	}
	server.kill()
	if len(running([]string{started.ID})) == 0 {
		t.Error("nothing of the terminal has survived its server: the test shows nothing")
	}
	next := startChild(t, childOptions{dataDir: data})
	var row sallyport.Activity
	await(t, startTimeMax, "the end of the row", func() bool {
		next.Do(t, http.MethodGet, "/workspaces/local/terminals/"+started.ID, next.Token, "").Decode(t, &row)
		return row.CompletedAt != nil
	})
	if row.Status != sallyport.StatusInterrupted || row.Survivors == nil || *row.Survivors != 0 {
		t.Errorf("row %+v", row)
	}
	mustBeGone(t, []sallyport.Activity{row})
}
