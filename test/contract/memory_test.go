package contract

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// begin sends a request as it stands, and returns its connection.
func begin(t *testing.T, s *stack.Stack, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Bodies that are held open count in the budget, and not for ever: one organisation's are in
// its own way alone, but not in that of its small requests.
func TestBodiesInMemory(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_BUFFERED_OUTPUT_BYTES": "67108864"}})
	a, b := newHome(t, s, "a"), newHome(t, s, "b")
	large := `{"cmd":["true"],"stdin":"` + strings.Repeat("x", 1<<20) + `"}`
	exec := func(h home, body string) stack.Answer {
		return s.Do(t, http.MethodPost, "/workspaces/"+h.ws.ID+"/exec", h.token, body)
	}
	reader := newToken(t, s, "/workspaces/"+a.ws.ID, sallyport.ScopeAuditRead).Secret // can't even exec
	var held []net.Conn
	for range 32 { // two of its bytes for one of the body, and a half of 32 MiB
		held = append(held, begin(t, s, fmt.Sprintf("POST /workspaces/build/exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			reader, len(large), large[:len(large)-1])))
	}
	var full stack.Answer
	await(t, "the budget to be taken", func() bool {
		full = exec(a, large)
		return full.Status == http.StatusTooManyRequests
	})
	want429(t, "one more", full, "too_many_execs")
	if !strings.Contains(full.Body, `"reason":"memory"`) {
		t.Errorf("one more: %s", full.Body)
	}
	other := s.Do(t, http.MethodPost, "/workspaces", a.token, `{"name":"x","connector":{"type":"`+strings.Repeat("x", 1<<20)+`"}}`)
	want429(t, "one that is no exec", other, "rate_limited")
	wantAnswer(t, "a small one", exec(a, `{"cmd":["true"]}`), 200, "")
	wantAnswer(t, "another organisation's", exec(b, large), 200, "")
	for _, conn := range held {
		conn.Close()
	}
	await(t, "room", func() bool { return exec(a, large).Status == 200 })
}

// Many buffered execs with large caps come to a small budget: those that find no memory left
// are told so before anything runs, the others answer whole, and all of it is given back.
// What one organisation holds is in nobody else's way, nor in that of its small execs.
func TestBufferedOutputMemory(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_BUFFERED_OUTPUT_BYTES": "67108864"}})
	a, b := newHome(t, s, "a"), newHome(t, s, "b")
	const size = 4 << 20 // an organisation's half holds four such execs
	g := newGate(t)
	large := sh(g.wait() + "; head -c 4194304 /dev/zero | tr '\\0' x; head -c 4194304 /dev/zero | tr '\\0' y >&2")
	large.MaxOutputBytes = size
	exec := func(h home, e sallyport.ExecRequest) stack.Answer {
		return s.Do(t, http.MethodPost, "/workspaces/"+h.ws.ID+"/exec", h.token, quote(e))
	}
	running := func(h home) int {
		return len(rowsAt(t, s, h.token, "/orgs/"+h.ID+"/activity?type=workspace_exec&status=running"))
	}
	whole := func(answer stack.Answer) {
		t.Helper()
		wantAnswer(t, "large", answer, http.StatusOK, "")
		if x, y := strings.Count(answer.Body, "x"), strings.Count(answer.Body, "y"); x < size || y < size {
			t.Errorf("%d bytes of stdout, %d of stderr", x, y)
		}
	}

	const tried = 24
	answers := make(chan stack.Answer, tried)
	var all sync.WaitGroup
	for range tried {
		all.Go(func() { answers <- exec(a, large) })
	}
	for range tried - 4 {
		refused := <-answers
		want429(t, "large", refused, "too_many_execs")
		if !strings.Contains(refused.Body, `"reason":"memory"`) || refused.Header.Get(sallyport.HeaderExecID) != "" {
			t.Errorf("refused: %s %v", refused.Body, refused.Header)
		}
	}
	await(t, "four to run", func() bool { return running(a) == 4 })
	wantAnswer(t, "a small one", exec(a, sh("echo small")), http.StatusOK, "")
	streamed := large
	streamed.Stream = true
	streamed.Cmd = []string{"true"}
	wantAnswer(t, "a stream", exec(a, streamed), http.StatusOK, "")
	tier := newWorkspace(t, s, a.ID, "low", 2, true)
	wantAnswer(t, "tier, memory", s.Do(t, http.MethodPost, "/workspaces/"+tier.ID+"/exec", a.token, quote(large)), 403, "exec_tier_forbidden")
	want429(t, "memory, key", once(t, s, a.ws.ID, a.token, quote(large), "key"), "too_many_execs")

	theirs := make(chan stack.Answer, 1)
	go func() { theirs <- exec(b, large) }()
	await(t, "another's to run", func() bool { return running(b) == 1 })
	for range 5 {
		g.open(t)
	}
	whole(<-theirs)
	all.Wait()
	for range 4 {
		whole(<-answers)
	}
	if rows := rowsAt(t, s, a.token, "/orgs/"+a.ID+"/activity?type=workspace_exec"); len(rows) != 6 {
		t.Errorf("%d rows", len(rows))
	}
	// All is given back, whatever way an exec goes: so often there would not be enough.
	for i, e := range []sallyport.ExecRequest{
		{Cmd: []string{"true"}}, {Cmd: []string{"sleep", "9"}, TimeoutS: 1}, {Cmd: []string{"true"}, Cwd: "/no/such/dir"}, {Cmd: []string{"no-such-program"}}, {Cmd: []string{"false"}},
	} {
		e.MaxOutputBytes = 16 << 20 // the whole half
		if answer := exec(a, e); answer.Code() == "too_many_execs" {
			t.Errorf("exec %d: %s", i, answer.Body)
		}
	}
	g.open(t)
	wantAnswer(t, "with the key that was not taken", once(t, s, a.ws.ID, a.token, quote(large), "key"), http.StatusOK, "")
}
