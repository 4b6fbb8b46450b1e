package contract

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// Running execs are listed, read and signalled by their id; the signal is on record
// before it is sent, and the command's own end is told to its own caller.
func TestExecs(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	ws := "/workspaces/" + h.ws.ID
	for _, tt := range []struct {
		signal, trap string
		code         int
		name         string
	}{
		{"TERM", "", 143, "TERM"}, {"KILL", "", 137, "KILL"}, {"INT", "trap 'exit 7' INT; ", 7, ""}, {"HUP", "trap 'exit 8' HUP; ", 8, ""},
	} {
		c := client.New(s.URL, h.token)
		started, ended := make(chan struct{}), make(chan *client.ExecDone, 1)
		go func() {
			defer c.Close()
			done, err := c.Exec(t.Context(), client.Exec{
				Workspace: h.ws.ID, Cmd: []string{"sh", "-c", tt.trap + "echo; while :; do sleep 0.05; done"}, Timeout: time.Minute,
				Stdout: onceWriter(func() { close(started) }),
			})
			if err != nil {
				t.Error(err)
			}
			ended <- done
		}()
		<-started
		var running sallyport.List[sallyport.Activity]
		s.Do(t, http.MethodGet, ws+"/execs?status=running", h.token, "").Decode(t, &running)
		if len(running.Items) != 1 || running.Items[0].Type != "workspace_exec" || running.Items[0].Status != "running" {
			t.Fatalf("running %s", quote(running))
		}
		one := ws + "/execs/" + running.Items[0].ID
		wantAnswer(t, "no signal", s.Do(t, http.MethodPost, one+"/signal", h.token, `{}`), 400, "invalid_signal")
		for _, bad := range []string{`"SIGTERM"`, `"term"`, `15`, `"STOP"`, `null`} {
			wantAnswer(t, bad, s.Do(t, http.MethodPost, one+"/signal", h.token, `{"signal":`+bad+`}`), 400, "invalid_signal")
		}
		wantAnswer(t, "signal", s.Do(t, http.MethodPost, one+"/signal", h.token, `{"signal":"`+tt.signal+`"}`), 204, "")
		done := <-ended
		if done == nil || done.ExitCode != tt.code || done.Signal != tt.name {
			t.Errorf("%s: ended with %+v", tt.signal, done)
		}
		var row sallyport.Activity
		s.Do(t, http.MethodGet, one, h.token, "").Decode(t, &row)
		if row.Status != "error" || row.ExitCode == nil || *row.ExitCode != tt.code {
			t.Errorf("row %s", quote(row))
		}
		wantAnswer(t, "after its end", s.Do(t, http.MethodPost, one+"/signal", h.token, `{"signal":"TERM"}`), 409, "not_running")
		signals := rowsAt(t, s, s.AdminToken, ws+"/activity?type=exec_signal&limit=1")
		if len(signals) != 1 || signals[0].Summary != tt.signal+" sent to exec "+row.ID || signals[0].Status != "ok" || !strings.HasPrefix(signals[0].Actor, "org-token:") {
			t.Errorf("rows %s", quote(signals))
		}
	}
	var all sallyport.List[sallyport.Activity]
	s.Do(t, http.MethodGet, ws+"/execs", h.token, "").Decode(t, &all)
	if len(all.Items) != 4 {
		t.Errorf("%d execs", len(all.Items))
	}
	wantAnswer(t, "a status of nobody", s.Do(t, http.MethodGet, ws+"/execs?status=denied", h.token, ""), 400, "invalid_status")
	sibling := newWorkspace(t, s, h.ID, "sibling", 4, true)
	for what, path := range map[string]string{
		"no such exec": ws + "/execs/" + nobody(), "no id": ws + "/execs/x", "another's": "/workspaces/" + sibling.ID + "/execs/" + all.Items[0].ID,
		"no exec": ws + "/execs/" + rowsAt(t, s, s.AdminToken, ws+"/activity?type=exec_signal")[0].ID,
	} {
		wantAnswer(t, what, s.Do(t, http.MethodGet, path, h.token, ""), 404, "not_found")
		wantAnswer(t, what+", signal", s.Do(t, http.MethodPost, path+"/signal", h.token, `{"signal":"TERM"}`), 404, "not_found")
	}
}

// onceWriter calls a function with the first output.
func onceWriter(f func()) *firstWrite { return &firstWrite{f: f} }

type firstWrite struct {
	f    func()
	done bool
}

func (w *firstWrite) Write(p []byte) (int, error) {
	if !w.done {
		w.done = true
		w.f()
	}
	return len(p), nil
}
