package contract

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// once sends an exec with keys.
func once(t testing.TB, s *stack.Stack, workspace, token, body string, keys ...string) stack.Answer {
	t.Helper()
	req := s.Request(t, http.MethodPost, "/workspaces/"+workspace+"/exec", token, body)
	for _, key := range keys {
		req.Header.Add("Idempotency-Key", key)
	}
	return s.Send(t, req)
}

// The same key and body again never runs the command again, and says what became of it;
// the body is compared as it is understood.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	file := filepath.Join(t.TempDir(), "ran")
	body := func(more string) string {
		return `{"cmd":["sh","-c","echo ran >>` + file + `; exit 7"]` + more + `}`
	}
	first := once(t, s, h.ws.ID, h.token, body(`,"env":{"A":"1","B":"2"}`), "key-1")
	wantAnswer(t, "first", first, 200, "")
	for _, same := range []string{`,"env":{"B":"2","A":"1"}`, `,"timeout_s":30,"env":{"A":"1","B":"2"},"stream":false`, `,"env":{"A":"1","B":"2"},"timeout_s":null,"max_output_bytes":0`} {
		a := once(t, s, h.ws.ID, h.token, body(same), "key-1")
		wantAnswer(t, same, a, 409, "already_run")
		var told sallyport.Error
		a.Decode(t, &told)
		if told.ExecID != first.Header.Get("Sallyport-Exec-Id") || told.Status != "error" || told.ExitCode == nil || *told.ExitCode != 7 {
			t.Errorf("told %s", a.Body)
		}
		if a.Header.Get("Sallyport-Exec-Id") != "" {
			t.Errorf("an exec that was refused has the id %q", a.Header.Get("Sallyport-Exec-Id"))
		}
	}
	sibling := newWorkspace(t, s, h.ID, "sibling", 4, true)
	for what, a := range map[string]stack.Answer{
		"another command":   once(t, s, h.ws.ID, h.token, `{"cmd":["true"]}`, "key-1"),
		"another value":     once(t, s, h.ws.ID, h.token, body(`,"env":{"A":"1","B":"3"}`), "key-1"),
		"streamed":          once(t, s, h.ws.ID, h.token, body(`,"env":{"A":"1","B":"2"},"stream":true`), "key-1"),
		"another workspace": once(t, s, sibling.ID, h.token, body(`,"env":{"A":"1","B":"2"}`), "key-1"),
	} {
		wantAnswer(t, what, a, 422, "idempotency_mismatch")
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "ran\n" {
		t.Errorf("ran %q, %v", text, err)
	}
	if rows := rowsAt(t, s, s.AdminToken, "/orgs/a/activity?type=workspace_exec"); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}

	// It is an organisation's own.
	other := newHome(t, s, "b")
	wantAnswer(t, "another organisation", once(t, s, other.ws.ID, other.token, `{"cmd":["true"]}`, "key-1"), 200, "")
	wantAnswer(t, "another key", once(t, s, h.ws.ID, h.token, `{"cmd":["true"]}`, "key-2"), 200, "")
	wantAnswer(t, "without a key", once(t, s, h.ws.ID, h.token, `{"cmd":["true"]}`), 200, "")
	longest := strings.Repeat("k", 255)
	wantAnswer(t, "the longest", once(t, s, h.ws.ID, h.token, `{"cmd":["true"]}`, longest), 200, "")
	wantAnswer(t, "the longest again", once(t, s, h.ws.ID, h.token, `{"cmd":["true"]}`, longest), 409, "already_run")
	for _, bad := range [][]string{{""}, {longest + "k"}, {"a b"}, {"é"}, {"a", "b"}, {"a", "a"}} {
		wantAnswer(t, "a bad key", once(t, s, h.ws.ID, h.token, `{"cmd":["true"]}`, bad...), 400, "invalid_idempotency_key")
	}
}

// Of fifty calls at once with one key one runs; the others are told that it does, or did.
func TestIdempotencyAtOnce(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	file := filepath.Join(t.TempDir(), "ran")
	var ok, running, over atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			a := once(t, s, "local", s.Token, `{"cmd":["sh","-c","echo ran >>`+file+`; sleep 0.3"]}`, "k")
			switch {
			case a.Status == 200:
				ok.Add(1)
			case a.Status == 409 && a.Code() == "running":
				running.Add(1)
			case a.Status == 409 && a.Code() == "already_run":
				over.Add(1)
			default:
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "ran\n" || ok.Load() != 1 {
		t.Errorf("ran %q, %v; %d ran, %d were told that it runs, %d that it has run", text, err, ok.Load(), running.Load(), over.Load())
	}
	if rows := s.Execs(t); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
}

// An end in which nothing ran frees the key; an exec whose command ran keeps it, however
// it ended, also over a restart.
func TestIdempotencyFreed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stack.Start(t, stack.Options{DataDir: dir})
	const noDir = `{"cmd":["true"],"cwd":"/nowhere"}`
	for range 2 {
		wantAnswer(t, "no directory", once(t, s, "local", s.Token, noDir, "cwd"), 422, "invalid_cwd")
	}
	a := s.Do(t, http.MethodPost, "/workspaces", s.Token, `{"name":"dead","tier":3,"connector":{"type":"ssh","host":"127.0.0.1","port":1,"user":"u","trust_on_first_use":true}}`)
	wantAnswer(t, "workspace", a, 201, "")
	for range 2 {
		wantAnswer(t, "a dead machine", once(t, s, "dead", s.Token, `{"cmd":["true"]}`, "dead"), 502, "connect_failed")
	}
	wantAnswer(t, "timeout", once(t, s, "local", s.Token, `{"cmd":["sleep","9"],"timeout_s":1}`, "slow"), 504, "exec_timeout")
	wantAnswer(t, "done", once(t, s, "local", s.Token, `{"cmd":["true"]}`, "done"), 200, "")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = stack.Start(t, stack.Options{DataDir: dir})
	for key, want := range map[string]string{"slow": "timeout", "done": "ok"} {
		body := map[string]string{"slow": `{"cmd":["sleep","9"],"timeout_s":1}`, "done": `{"cmd":["true"]}`}[key]
		a := once(t, s, "local", s.Token, body, key)
		wantAnswer(t, key, a, 409, "already_run")
		if !strings.Contains(a.Body, `"status":"`+want+`"`) {
			t.Errorf("%s: %s", key, a.Body)
		}
	}
}
