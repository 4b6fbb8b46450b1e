package contract

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// startDetached starts an exec, and returns its row.
func startDetached(t testing.TB, s *stack.Stack, argv ...string) sallyport.Activity {
	t.Helper()
	body, err := json.Marshal(sallyport.ExecRequest{Cmd: argv, Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	a := s.Do(t, http.MethodPost, "/workspaces/local/exec", s.Token, string(body))
	wantAnswer(t, "start", a, http.StatusAccepted, "")
	var row sallyport.Activity
	if err := json.Unmarshal([]byte(a.Body), &row); err != nil {
		t.Fatal(err)
	}
	path := execPath(row)
	if row.Status != sallyport.StatusRunning || !row.Detached || row.KeepS != 86400 || row.TimeoutS != 86400 ||
		a.Header.Get("Location") != path || a.Header.Get(sallyport.HeaderExecID) != row.ID || a.Header.Get(sallyport.HeaderTimeoutS) != "86400" {
		t.Fatal(dump(a))
	}
	return row
}

func execPath(row sallyport.Activity) string { return "/workspaces/local/execs/" + row.ID }

// awaitExec waits until an exec has ended.
func awaitExec(t testing.TB, s *stack.Stack, row sallyport.Activity) sallyport.Activity {
	t.Helper()
	for row.Status == sallyport.StatusRunning {
		get(t, s, s.Token, execPath(row)+"?wait_s=60", &row)
	}
	return row
}

// outputs is what an answer tells of an exec's output.
type outputs struct {
	stdout, stderr string
	frames         []sallyport.OutputFrame
	last           sallyport.OutputEnd
}

// readOutput reads an output whole, and demands that its offsets have neither gap nor overlap.
func readOutput(t testing.TB, s *stack.Stack, row sallyport.Activity, query string) outputs {
	t.Helper()
	a := s.Do(t, http.MethodGet, execPath(row)+"/output"+query, s.Token, "")
	wantAnswer(t, "output"+query, a, http.StatusOK, "")
	var o outputs
	next := map[string]int64{}
	lines := strings.Split(strings.TrimSuffix(a.Body, "\n"), "\n")
	for i, line := range lines {
		if i == len(lines)-1 {
			if err := json.Unmarshal([]byte(line), &o.last); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			break
		}
		if line == "" {
			continue
		}
		var f sallyport.OutputFrame
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.Truncated {
			t.Fatalf("%s: %v", line, err)
		}
		if at, ok := next[f.Stream]; ok && at != f.Offset {
			t.Errorf("%s: at %d comes %d", f.Stream, at, f.Offset)
		}
		next[f.Stream] = f.Offset + int64(len(f.Data)) + f.Skipped
		o.frames = append(o.frames, f)
		if f.Stream == sallyport.Stdout {
			o.stdout += f.Data
		} else {
			o.stderr += f.Data
		}
	}
	return o
}

// A detached exec answers when it has started; its end, its output and its row are told
// whenever they are asked for.
func TestDetached(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Home: t.TempDir()})
	row := startDetached(t, s, "sh", "-c", "echo é; echo err >&2; exit 3")
	row = awaitExec(t, s, row)
	if row.Status != sallyport.StatusError || row.ExitCode == nil || *row.ExitCode != 3 || row.StdoutBytes == nil || *row.StdoutBytes != 3 || row.OutputUntil == nil ||
		!row.OutputUntil.After(*row.CompletedAt) {
		t.Errorf("row %+v", row)
	}
	o := readOutput(t, s, row, "")
	if o.stdout != "é\n" || o.stderr != "err\n" || o.last.Status != sallyport.StatusError || *o.last.ExitCode != 3 || *o.last.Next.Stdout != 3 || *o.last.Next.Stderr != 4 {
		t.Errorf("%+v", o)
	}
	if o := readOutput(t, s, row, "?stream=stdout&since=-2"); o.stdout == "" || o.stderr != "" || o.frames[0].Offset != 1 || o.last.Next.Stderr != nil {
		t.Errorf("%+v", o)
	}
	if o := readOutput(t, s, row, "?since=3,2"); o.stdout != "" || o.stderr != "r\n" {
		t.Errorf("%+v", o)
	}
	for query, code := range map[string]string{
		"?stream=x": "invalid_stream", "?since=4": "invalid_since", "?since=9,0": "invalid_since", "?stream=stdout&since=4": "invalid_since", "?stream=stdout&since=1,1": "invalid_since",
		"?since=-0": "invalid_since", "?since=": "invalid_since", "?follow=yes": "invalid_follow", "?max_bytes=0": "invalid_max_bytes", "?max_bytes=1073741825": "invalid_max_bytes",
	} {
		wantAnswer(t, query, s.Do(t, http.MethodGet, execPath(row)+"/output"+query, s.Token, ""), http.StatusBadRequest, code)
	}
	for _, wait := range []string{"-1", "x", "1.5", ""} {
		wantAnswer(t, wait, s.Do(t, http.MethodGet, execPath(row)+"?wait_s="+wait, s.Token, ""), http.StatusBadRequest, "invalid_wait_s")
	}
	wantAnswer(t, "signal", s.Do(t, http.MethodPost, execPath(row)+"/signal", s.Token, `{"signal":"INT"}`), http.StatusConflict, "not_running")
	if rows := s.Execs(t); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
}

// What doesn't go with detach is refused, and nothing runs.
func TestDetachedRefused(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Home: t.TempDir()})
	for body, code := range map[string]string{
		`{"cmd":["true"],"detach":true,"stream":true}`: "invalid_detach", `{"cmd":["true"],"detach":true,"output":{}}`: "invalid_detach",
		`{"cmd":["true"],"keep_s":1}`: "invalid_keep_s", `{"cmd":["true"],"detach":true,"keep_s":-1}`: "invalid_keep_s",
		`{"cmd":["true"],"detach":true,"max_output_bytes":65535}`: "invalid_max_output_bytes", `{"cmd":["true"],"detach":true,"max_output_bytes":1073741825}`: "invalid_max_output_bytes",
		`{"cmd":[],"detach":true}`: "invalid_argv", `{"cmd":["true"],"detach":true,"stdin":"a","stdin_base64":"YQ=="}`: "invalid_stdin",
	} {
		wantAnswer(t, body, s.Exec(t, body), http.StatusBadRequest, code)
	}
	wantAnswer(t, "streamed", streamExec(t, s, `{"cmd":["true"],"detach":true}`+"\n", strings.NewReader("")), http.StatusBadRequest, "invalid_detach")
	if rows := s.Execs(t); len(rows) != 0 {
		t.Errorf("%d rows", len(rows))
	}
	wantAnswer(t, "cwd", s.Exec(t, `{"cmd":["true"],"detach":true,"cwd":"/nowhere"}`), http.StatusUnprocessableEntity, "invalid_cwd")
	plain := s.Exec(t, `{"cmd":["true"]}`).Header.Get(sallyport.HeaderExecID)
	for _, of := range []struct{ method, path string }{{http.MethodGet, "/output"}, {http.MethodDelete, ""}} {
		wantAnswer(t, of.path, s.Do(t, of.method, "/workspaces/local/execs/"+plain+of.path, s.Token, ""), http.StatusConflict, "not_detached")
		wantAnswer(t, of.path, s.Do(t, of.method, "/workspaces/local/execs/"+nobody()+of.path, s.Token, ""), http.StatusNotFound, "not_found")
	}
}

// Another tenant sees nothing of it, and a token without the scope is refused.
func TestDetachedOfOthers(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Home: t.TempDir()})
	row := startDetached(t, s, "sleep", "60")
	other := newHome(t, s, "other")
	for _, of := range []struct{ method, path, body string }{
		{http.MethodGet, "", ""}, {http.MethodGet, "?wait_s=1", ""}, {http.MethodGet, "/output", ""}, {http.MethodPost, "/signal", `{"signal":"INT"}`}, {http.MethodDelete, "", ""},
	} {
		path := "/workspaces/" + row.WorkspaceID + "/execs/" + row.ID + of.path
		wantAnswer(t, of.path, s.Do(t, of.method, path, other.token, of.body), http.StatusNotFound, "workspace_not_found")
		wantAnswer(t, of.path, s.Do(t, of.method, "/workspaces/"+other.ws.ID+"/execs/"+row.ID+of.path, other.token, of.body), http.StatusNotFound, "not_found")
	}
	wantAnswer(t, "delete", s.Do(t, http.MethodDelete, execPath(row), s.Token, ""), http.StatusNoContent, "")
}

// A server that comes and goes leaves the exec alone: the next one follows it, and tells its end.
func TestDetachedOutlivesTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stack.Start(t, stack.Options{DataDir: dir, Home: dir})
	row := startDetached(t, s, "sh", "-c", "echo first; while ! [ -e "+dir+"/go ]; do sleep 0.1; done; echo second")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = stack.Start(t, stack.Options{DataDir: dir, Home: dir})
	var now sallyport.Activity
	get(t, s, s.Token, execPath(row), &now)
	if now.Status != sallyport.StatusRunning || now.SeenAt == nil {
		t.Errorf("behind the restart: %+v", now)
	}
	req := s.Request(t, http.MethodGet, execPath(row)+"/output?follow=true", s.Token, "")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for _, want := range []string{`"data":"first\n"`, `"data":"second\n"`, `"status":"ok"`} {
		for lines.Scan() && lines.Text() == "" {
			continue
		}
		if !strings.Contains(lines.Text(), want) {
			t.Fatalf("got %s, want %s", lines.Text(), want)
		}
		if strings.Contains(want, "first") {
			if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if row = awaitExec(t, s, row); row.Status != sallyport.StatusOK || len(s.Execs(t)) != 1 {
		t.Errorf("row %+v", row)
	}
}

// Its end is in its row without anybody's asking for it.
func TestDetachedEndsUnasked(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Home: t.TempDir()})
	row := startDetached(t, s, "true")
	await(t, "the row ends", func() bool { return s.Execs(t)[0].Status == sallyport.StatusOK })
	if got := s.Execs(t)[0]; got.ID != row.ID || *got.ExitCode != 0 {
		t.Errorf("row %+v", got)
	}
}

// The same key is the same exec, whether it runs or has ended; another body isn't.
func TestDetachedIdempotency(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Home: t.TempDir()})
	send := func(body string) (stack.Answer, sallyport.Activity) {
		req := s.Request(t, http.MethodPost, "/workspaces/local/exec", s.Token, body)
		req.Header.Set(sallyport.HeaderIdempotencyKey, "a-key")
		a := s.Send(t, req)
		var row sallyport.Activity
		_ = json.Unmarshal([]byte(a.Body), &row) // an error is no row
		return a, row
	}
	const body = `{"cmd":["true"],"detach":true}`
	a, first := send(body)
	wantAnswer(t, "first", a, http.StatusAccepted, "")
	a, second := send(body)
	wantAnswer(t, "second", a, http.StatusOK, "")
	if second.ID != first.ID || a.Header.Get(sallyport.HeaderExecID) != first.ID {
		t.Error(dump(a))
	}
	awaitExec(t, s, first)
	if a, third := send(body); a.Status != http.StatusOK || third.ID != first.ID || third.Status != sallyport.StatusOK {
		t.Error(dump(a))
	}
	a, _ = send(`{"cmd":["true"]}`)
	wantAnswer(t, "another", a, http.StatusUnprocessableEntity, "idempotency_mismatch")
	if rows := s.Execs(t); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
}

// DELETE ends what runs, and removes the output unless it is to be kept; it may be asked again.
func TestDetachedDelete(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Home: t.TempDir()})
	row := startDetached(t, s, "sh", "-c", "echo begun; exec sleep 600")
	await(t, "output", func() bool { return readOutput(t, s, row, "").stdout == "begun\n" })
	wantAnswer(t, "keep", s.Do(t, http.MethodDelete, execPath(row)+"?output=keep", s.Token, ""), http.StatusNoContent, "")
	var now sallyport.Activity
	get(t, s, s.Token, execPath(row), &now)
	if now.Status != sallyport.StatusCanceled || now.ExitCode != nil || leavesSome(now) {
		t.Errorf("row %+v", now)
	}
	if o := readOutput(t, s, row, ""); o.stdout != "begun\n" || o.last.Status != sallyport.StatusCanceled || o.last.Code != sallyport.CodeCanceled {
		t.Errorf("%+v", o)
	}
	for range 2 {
		wantAnswer(t, "delete", s.Do(t, http.MethodDelete, execPath(row), s.Token, ""), http.StatusNoContent, "")
	}
	wantAnswer(t, "output", s.Do(t, http.MethodGet, execPath(row)+"/output", s.Token, ""), http.StatusGone, "output_gone")
	wantAnswer(t, "query", s.Do(t, http.MethodDelete, execPath(row)+"?output=x", s.Token, ""), http.StatusBadRequest, "invalid_output")
	if rows := rowsAt(t, s, s.AdminToken, "/activity?type=exec_signal"); len(rows) != 1 {
		t.Errorf("%d rows of signals", len(rows))
	}
}

// A signal reaches a command that doesn't ignore it, its own time-out ends it, and its token's
// revocation.
func TestDetachedEnds(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Home: t.TempDir()})
	signalled := startDetached(t, s, "sh", "-c", `trap "echo got; exit 9" INT; echo ready; while :; do sleep 0.1; done`)
	await(t, "output", func() bool { return readOutput(t, s, signalled, "").stdout == "ready\n" })
	wantAnswer(t, "signal", s.Do(t, http.MethodPost, execPath(signalled)+"/signal", s.Token, `{"signal":"INT"}`), http.StatusNoContent, "")
	if row := awaitExec(t, s, signalled); row.ExitCode == nil || *row.ExitCode != 9 {
		t.Errorf("row %+v", row)
	}

	a := s.Exec(t, `{"cmd":["sleep","60"],"detach":true,"timeout_s":1}`)
	var late sallyport.Activity
	if err := json.Unmarshal([]byte(a.Body), &late); err != nil {
		t.Fatal(err)
	}
	if late = awaitExec(t, s, late); late.Status != sallyport.StatusTimeout || late.Code != sallyport.CodeExecTimeout {
		t.Errorf("row %+v", late)
	}

	token := newToken(t, s, "/orgs/"+late.OrgID, sallyport.ScopeExec)
	a = s.Do(t, http.MethodPost, "/workspaces/"+late.WorkspaceID+"/exec", token.Secret, `{"cmd":["sleep","600"],"detach":true}`)
	wantAnswer(t, "start", a, http.StatusAccepted, "")
	var revoked sallyport.Activity
	if err := json.Unmarshal([]byte(a.Body), &revoked); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, "revoke", s.Do(t, http.MethodDelete, fmt.Sprintf("/orgs/%s/tokens/%s", late.OrgID, token.ID), s.AdminToken, ""), http.StatusNoContent, "")
	if row := awaitExec(t, s, revoked); row.Status != sallyport.StatusCanceled || row.Reason != string(sallyport.CodeRevoked) {
		t.Errorf("row %+v", row)
	}
}

// Whoever isn't the one who started it leaves a row when reading its output.
func TestDetachedReadByAnother(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Home: t.TempDir()})
	row := awaitExec(t, s, startDetached(t, s, "echo", "read me"))
	readOutput(t, s, row, "")
	token := newToken(t, s, "/orgs/"+row.OrgID, sallyport.ScopeExec)
	for range 2 {
		wantAnswer(t, "output", s.Do(t, http.MethodGet, "/workspaces/"+row.WorkspaceID+"/execs/"+row.ID+"/output", token.Secret, ""), http.StatusOK, "")
	}
	if rows := rowsAt(t, s, s.AdminToken, "/activity?type=exec_output_read"); len(rows) != 1 || !strings.Contains(rows[0].Summary, row.ID) {
		t.Errorf("rows %+v", rows)
	}
}

// Detached execs are listed by themselves, and their machine isn't lost from sight.
func TestDetachedListed(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Home: t.TempDir()})
	home := newHome(t, s, "acme")
	start := func(body string) sallyport.Activity {
		a := s.Do(t, http.MethodPost, "/workspaces/build/exec", home.token, body)
		var row sallyport.Activity
		_ = json.Unmarshal([]byte(a.Body), &row) // a plain exec answers with frames
		return row
	}
	start(`{"cmd":["true"]}`)
	row := start(`{"cmd":["sleep","600"],"detach":true}`)
	for query, want := range map[string]int{"": 2, "?detached=false": 2, "?detached=true": 1, "?detached=true&status=running": 1, "?detached=true&status=ok": 0} {
		if found := list[sallyport.Activity](t, s, home.token, "/workspaces/build/execs"+query).Items; len(found) != want || want == 1 && found[0].ID != row.ID {
			t.Errorf("%q: %d execs", query, len(found))
		}
	}
	wantAnswer(t, "detached", s.Do(t, http.MethodGet, "/workspaces/build/execs?detached=1", home.token, ""), http.StatusBadRequest, "invalid_detach")

	patch := func(connector string) stack.Answer {
		return s.Do(t, http.MethodPatch, "/workspaces/build", home.token, `{"connector":`+connector+`}`)
	}
	wantAnswer(t, "no machine", patch(`null`), http.StatusConflict, "detached_running")
	wantAnswer(t, "root", patch(`{"root":"/tmp"}`), http.StatusOK, "")
	wantAnswer(t, "delete", s.Do(t, http.MethodDelete, "/workspaces/build/execs/"+row.ID, home.token, ""), http.StatusNoContent, "")
	wantAnswer(t, "no machine", patch(`null`), http.StatusOK, "")
}

// The output goes from its machine when it has been kept long enough, unasked.
func TestDetachedOutputGoes(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	s := stack.Start(t, stack.Options{Home: home})
	a := s.Exec(t, `{"cmd":["echo","kept"],"detach":true,"keep_s":1}`)
	wantAnswer(t, "start", a, http.StatusAccepted, "")
	var row sallyport.Activity
	if err := json.Unmarshal([]byte(a.Body), &row); err != nil {
		t.Fatal(err)
	}
	await(t, "the output is gone", func() bool {
		spools, err := os.ReadDir(home + "/.sallyport/execs")
		return err == nil && len(spools) == 0
	})
	wantAnswer(t, "output", s.Do(t, http.MethodGet, execPath(row)+"/output", s.Token, ""), http.StatusGone, "output_gone")
	if row = awaitExec(t, s, row); row.Status != sallyport.StatusOK || row.KeepS != 1 {
		t.Errorf("row %+v", row)
	}
}
