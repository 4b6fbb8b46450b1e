//go:build linux

package cluster

import (
	"net/http"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// goneTime is within what a caller hears that the database is gone, with what a loaded
// machine adds.
const goneTime = 2*time.Second + 2*time.Second

// While the database is halted, or down, or comes up again, callers hear so soon, nothing
// runs, what ran already goes on, and all is well by itself when it is back.
func TestDatabaseGone(t *testing.T) {
	w := newWorld(t, Options{Replicas: 1})
	api := w.at(t, 0, w.token.Secret)
	mark := "/tmp/marked-" + w.ws.ID
	run := func() error {
		_, err := api.Exec(t.Context(), client.Exec{Workspace: w.ws.ID, Cmd: []string{"sh", "-c", "echo >>" + mark}})
		return err
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []struct {
		name        string
		begin, over func()
	}{
		{"halted", w.Postgres.Pause, w.Postgres.Resume},
		{"stopped", func() { w.Postgres.Stop(t) }, func() { w.Postgres.Start(t) }},
		{"killed", func() { w.Postgres.Kill(t) }, func() { w.Postgres.Start(t) }},
	} {
		held := w.start(t, api)
		fault.begin()
		longest := time.Duration(0)
		for range 4 {
			for what, call := range map[string]func() error{
				"exec":  run,
				"read":  func() error { _, err := api.GetWorkspace(t.Context(), w.ws.ID); return err },
				"write": func() error { _, err := w.admin.CreateOrg(t.Context(), sallyport.OrgCreate{Name: "never"}); return err },
				"ready": func() error { return ready(t, w.Replicas[0].URL()) },
			} {
				began := time.Now()
				if err := call(); codeOf(err) != sallyport.CodePlatformUnavailable {
					t.Errorf("%s: %s is answered %v", fault.name, what, err)
				}
				if took := time.Since(began); took > goneTime {
					t.Errorf("%s: %s is answered after %v", fault.name, what, took)
				} else if took > longest {
					longest = took
				}
			}
		}
		t.Logf("%s: callers hear it after %v at most", fault.name, longest)
		if status := get(t, w.Replicas[0].URL()+"/healthz"); status != http.StatusOK {
			t.Errorf("%s: health is %d", fault.name, status)
		}
		fault.over()
		began := time.Now()
		eventually(t, "exec when the database is back", func() bool { return run() == nil })
		t.Logf("%s: commands run again after %v", fault.name, time.Since(began))
		held.hangUp()
		eventually(t, "end of the row of what ran", func() bool {
			row, err := api.GetExec(t.Context(), w.ws.ID, held.frames.ExecID)
			return err == nil && row.Status != sallyport.StatusRunning
		})
	}
	var out lines
	if _, err := api.Exec(t.Context(), client.Exec{Workspace: w.ws.ID, Cmd: []string{"sh", "-c", "wc -l <" + mark + "; rm " + mark}, Stdout: &out}); err != nil || out.String() != "4\n" {
		t.Errorf("of 4 execs that went well %q ran, %v", out.String(), err)
	}
	for _, err := range w.admin.AllExecs(t.Context(), w.ws.ID, sallyport.StatusRunning) {
		t.Errorf("a row is open, %v", err)
	}
}

// ready is what the server says of whether it can serve.
func ready(t *testing.T, url string) error {
	t.Helper()
	if get(t, url+"/readyz") != http.StatusServiceUnavailable {
		return nil
	}
	return sallyport.Errorf(sallyport.CodePlatformUnavailable, "not ready")
}

// get returns the status of a GET, 0 for none.
func get(t *testing.T, url string) int {
	t.Helper()
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := web.Get(url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
