//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
)

// call calls a route of one replica, and returns the answer's body.
func (w *world) call(t *testing.T, replica int, method, path, body string, want int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.Replicas[replica].URL()+"/workspaces/"+w.ws.ID+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token.Secret)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		t.Fatalf("%s %s: %d %s, %v", method, path, answer.StatusCode, text, err)
	}
	return string(text)
}

// detach starts a detached exec by way of one replica.
func (w *world) detach(t *testing.T, replica int, script string) sallyport.Activity {
	t.Helper()
	body, err := json.Marshal(sallyport.ExecRequest{Cmd: []string{"sh", "-c", script}, Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	var row sallyport.Activity
	if err := json.Unmarshal([]byte(w.call(t, replica, http.MethodPost, "/exec", string(body), http.StatusAccepted)), &row); err != nil {
		t.Fatal(err)
	}
	return row
}

// A detached exec is read, waited for, signalled and ended by way of any server, and has one end.
func testDetached(t *testing.T, w *world) {
	row := w.detach(t, 0, `trap "echo got; exit 7" INT; echo up; while :; do sleep 0.1; done`)
	eventually(t, "output on another server", func() bool {
		return strings.Contains(w.call(t, 1, http.MethodGet, "/execs/"+row.ID+"/output", "", http.StatusOK), `"data":"up\n"`)
	})
	w.call(t, 2, http.MethodPost, "/execs/"+row.ID+"/signal", `{"signal":"INT"}`, http.StatusNoContent)
	followed := w.call(t, 1, http.MethodGet, "/execs/"+row.ID+"/output?follow=true", "", http.StatusOK)
	if !strings.Contains(followed, `"exit_code":7`) || !strings.Contains(followed, `got\n`) {
		t.Errorf("followed: %s", followed)
	}
	for i := range w.Replicas {
		if text := w.call(t, i, http.MethodGet, "/execs/"+row.ID+"?wait_s=30", "", http.StatusOK); !strings.Contains(text, `"exit_code":7`) {
			t.Errorf("server %d: %s", i, text)
		}
	}
	row = w.detach(t, 1, "exec sleep 600")
	w.call(t, 2, http.MethodDelete, "/execs/"+row.ID, "", http.StatusNoContent)
	if text := w.call(t, 0, http.MethodGet, "/execs/"+row.ID, "", http.StatusOK); !strings.Contains(text, `"status":"canceled"`) {
		t.Error(text)
	}
	w.call(t, 1, http.MethodGet, "/execs/"+row.ID+"/output", "", http.StatusGone)
}

// outlives waits until a server tells the end of a detached exec whose own server was killed.
// Nobody asks for it: its row is listed alone.
func (w *world) outlives(t *testing.T, row sallyport.Activity) {
	t.Helper()
	eventually(t, "end of a detached exec whose server is dead", func() bool {
		var found sallyport.List[sallyport.Activity]
		text := w.call(t, 2, http.MethodGet, "/execs?detached=true&status=ok", "", http.StatusOK)
		if err := json.Unmarshal([]byte(text), &found); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(found.Items, func(ended sallyport.Activity) bool { return ended.ID == row.ID && *ended.ExitCode == 0 })
	})
}
