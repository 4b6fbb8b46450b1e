//go:build linux

package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// upgrade is one store that the version before has begun, and what was run on it. Each
// command appends its name to a file when it begins.
type upgrade struct {
	ran, gate string
	ids       map[string]string // of execs, by their names
}

func newUpgrade(t *testing.T) *upgrade {
	t.Helper()
	dir, err := os.MkdirTemp("", "upgrade-")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o777) // commands run as whoever sshd logs in
	}
	if err != nil {
		t.Fatal(err)
	}
	return &upgrade{ran: filepath.Join(dir, "ran"), gate: filepath.Join(dir, "gate"), ids: map[string]string{}}
}

// command is one that says its name, and then does the rest.
func (u *upgrade) command(ws, name, rest string) client.Exec {
	return client.Exec{
		Workspace: ws, Cmd: []string{"sh", "-c", `echo "$1" >>"$2"; echo up; ` + rest, "sh", name, u.ran, u.gate},
		Env: map[string]string{"B": "2", "A": "1"}, IdempotencyKey: "key-of-" + name, Timeout: 100 * time.Second,
	}
}

// Commands that end by themselves, when the gate is opened, and never.
const (
	exits7    = "exit 7"
	untilGate = `until [ -e "$3" ]; do sleep 0.1; done; exit 7`
	forEver   = "exec sleep 100"
)

// run runs a command to its end.
func (u *upgrade) run(t *testing.T, api *client.Client, e client.Exec, name string) {
	t.Helper()
	done, err := api.Exec(t.Context(), e)
	if err != nil || done.ExitCode != 7 {
		t.Fatalf("%s: %+v, %v", name, done, err)
	}
	u.ids[name] = done.ExecID
}

// begin begins a command, and returns when it runs.
func (u *upgrade) begin(t *testing.T, api *client.Client, e client.Exec, name string) *client.Frames {
	t.Helper()
	frames, err := api.ExecFrames(t.Context(), e)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() { frames.Close() })
	if f, err := frames.Next(); err != nil || string(f.Data) != "up\n" {
		t.Fatalf("%s: first frame %q, %v", name, f.Data, err)
	}
	u.ids[name] = frames.ExecID
	return frames
}

// taken demands that a key answers with the exec that it was used for, and how that goes.
func (u *upgrade) taken(t *testing.T, api *client.Client, e client.Exec, name string, code sallyport.Code, status string) {
	t.Helper()
	for _, stream := range []bool{false, true} { // a key stands for one of them
		var err error
		if stream {
			var frames *client.Frames
			if frames, err = api.ExecFrames(t.Context(), e); err == nil {
				frames.Close()
			}
		} else {
			_, err = api.Exec(t.Context(), e)
		}
		var known *sallyport.Error
		if !errors.As(err, &known) || known.Code != code && known.Code != sallyport.CodeIdempotencyMismatch {
			t.Errorf("key of %s: %v", name, err)
			continue
		}
		if known.Code == code {
			if known.ExecID != u.ids[name] || known.Status != status {
				t.Errorf("key of %s: exec %q, status %q, want %q, %q", name, known.ExecID, known.Status, u.ids[name], status)
			}
			return
		}
	}
	t.Errorf("key of %s: it stands for something else", name)
}

// mismatched demands that a key that was used for something else is refused.
func (u *upgrade) mismatched(t *testing.T, api *client.Client, e client.Exec) {
	t.Helper()
	e.Cmd = append(e.Cmd, "more")
	if _, err := api.Exec(t.Context(), e); codeOf(err) != sallyport.CodeIdempotencyMismatch {
		t.Errorf("a key for something else: %v", err)
	}
}

// check demands that each command has run once, and has one row, with its end.
func (u *upgrade) check(t *testing.T, api *client.Client, ws string, ends map[string]string) {
	t.Helper()
	text, err := os.ReadFile(u.ran)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, name := range strings.Fields(string(text)) {
		times[name]++
	}
	rows := map[string][]sallyport.Activity{}
	list, err := api.ListExecs(t.Context(), ws, "", client.Page{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range list.Items {
		rows[row.ID] = append(rows[row.ID], row)
	}
	for name, status := range ends {
		found := rows[u.ids[name]]
		if times[name] != 1 || len(found) != 1 || found[0].Status != status || found[0].CompletedAt == nil {
			t.Errorf("%s ran %d times, want %s; rows %+v", name, times[name], status, found)
		}
	}
	if len(times) != len(ends) || len(rows) != len(ends) {
		t.Errorf("%d commands ran, and there are %d rows, want %d", len(times), len(rows), len(ends))
	}
}

// Servers of the version before are replaced one by one, with keys, running execs and
// leases in the store: both versions serve, a key answers as before, and nothing is lost or
// run twice.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	old := Before(t)
	w := newWorld(t, Options{Replicas: 2, Program: old, DrainTimeout: "60s"})
	u := newUpgrade(t)
	command := func(name, rest string) client.Exec { return u.command(w.ws.ID, name, rest) }
	first, second := w.at(t, 0, w.token.Secret), w.at(t, 1, w.token.Secret)
	u.run(t, first, command("done", exits7), "done")
	u.begin(t, first, command("killed", forEver), "killed")
	u.begin(t, second, command("signalled", forEver), "signalled")
	drained := u.begin(t, second, command("drained", untilGate), "drained")

	next := w.Client(t, w.Add(t).URL(), w.token.Secret)
	for i, api := range []*client.Client{first, second, next} {
		name := beside(i)
		u.run(t, api, command(name, exits7), name)
		for _, other := range []*client.Client{first, second, next} {
			u.taken(t, other, command(name, exits7), name, sallyport.CodeAlreadyRun, sallyport.StatusError)
		}
	}
	u.taken(t, next, command("done", exits7), "done", sallyport.CodeAlreadyRun, sallyport.StatusError)
	u.taken(t, next, command("drained", untilGate), "drained", sallyport.CodeRunning, "")
	u.mismatched(t, next, command("done", exits7))
	if err := next.SignalExec(t.Context(), w.ws.ID, u.ids["signalled"], "TERM"); err != nil {
		t.Errorf("a command of the version before: %v", err)
	}
	u.begin(t, next, command("signalled-too", forEver), "signalled-too")
	if err := second.SignalExec(t.Context(), w.ws.ID, u.ids["signalled-too"], "TERM"); err != nil {
		t.Errorf("by the version before: %v", err)
	}

	w.Replicas[0].Kill()
	stopped := w.Replicas[1].Stop(t)
	u.open(t)
	if last := lastFrame(t, drained); last.Result == nil || last.Result.ExitCode != 7 {
		t.Errorf("a command that was waited for ended with %+v", last)
	}
	stopped()
	for _, r := range w.Replicas {
		r.Upgrade(t)
	}
	eventually(t, "end of the killed server's exec", func() bool {
		row, err := next.GetExec(t.Context(), w.ws.ID, u.ids["killed"])
		return err == nil && row.Status != sallyport.StatusRunning
	})
	ends := map[string]string{
		"done": sallyport.StatusError, "killed": sallyport.StatusInterrupted, "drained": sallyport.StatusError,
		"signalled": sallyport.StatusError, "signalled-too": sallyport.StatusError,
	}
	for i := range 3 {
		ends[beside(i)] = sallyport.StatusError
	}
	again := w.at(t, 0, w.token.Secret)
	u.taken(t, again, command("killed", forEver), "killed", sallyport.CodeAlreadyRun, sallyport.StatusInterrupted)
	u.taken(t, again, command("drained", untilGate), "drained", sallyport.CodeAlreadyRun, sallyport.StatusError)
	u.check(t, again, w.ws.ID, ends)
}

// beside is the name of what one of three servers runs while there are two versions.
func beside(i int) string { return "beside-" + strconv.Itoa(i) }

// open lets the commands end that wait for it.
func (u *upgrade) open(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(u.gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func lastFrame(t *testing.T, frames *client.Frames) client.Frame {
	t.Helper()
	for {
		f, err := frames.Next()
		if err != nil {
			t.Fatal(err)
		}
		if f.Result != nil || f.Err != nil {
			return f
		}
	}
}

// A data directory that a server of the version before has left, killed with an exec that
// ran, is the new version's.
func TestUpgradeOfDataDirectory(t *testing.T) {
	t.Parallel()
	old := Before(t)
	admin := "admin-" + random()
	r := &Replica{
		Name: "alone", program: old, dir: filepath.Join(t.TempDir(), "alone"), drain: "5s",
		env: append(os.Environ(), "SALLYPORT_ADMIN_TOKEN="+admin, "SALLYPORT_CONNECTORS_LOCAL_ENABLED=true", "AWS_EC2_METADATA_DISABLED=true"),
	}
	t.Cleanup(func() { r.end(t) })
	r.Start(t)
	u := newUpgrade(t)
	api := newClient(t, r.URL(), admin)
	org, err := api.CreateOrg(t.Context(), sallyport.OrgCreate{Name: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	ws, err := api.CreateWorkspace(t.Context(), sallyport.WorkspaceCreate{
		OrgID: org.ID, Name: "here", Tier: sallyport.TierFullHost, Connector: &sallyport.Connector{Type: sallyport.ConnectorLocal},
	})
	if err != nil {
		t.Fatal(err)
	}
	done, killed := u.command(ws.ID, "done", exits7), u.command(ws.ID, "killed", forEver)
	u.run(t, api, done, "done")
	u.begin(t, api, killed, "killed")
	r.Kill()

	r.Upgrade(t)
	api = newClient(t, r.URL(), admin)
	u.taken(t, api, done, "done", sallyport.CodeAlreadyRun, sallyport.StatusError)
	u.taken(t, api, killed, "killed", sallyport.CodeAlreadyRun, sallyport.StatusInterrupted)
	u.mismatched(t, api, done)
	u.run(t, api, u.command(ws.ID, "after", exits7), "after")
	u.check(t, api, ws.ID, map[string]string{
		"done": sallyport.StatusError, "killed": sallyport.StatusInterrupted, "after": sallyport.StatusError,
	})
}

func newClient(t *testing.T, url, token string) *client.Client {
	t.Helper()
	api := client.New(url, token)
	t.Cleanup(api.Close)
	return api
}
