package faults

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/test/stack"
)

// TestKilledWithKeys kills the server at random moments while it runs execs with an
// Idempotency-Key, and has every client send the same again: each command ran once, or
// not at all with an answer that says that nobody knows.
func TestKilledWithKeys(t *testing.T) {
	t.Parallel()
	const rounds, execs = 6, 16
	dir, marks, chance := filepath.Join(stack.MakeDataDir(t), "data"), filepath.Join(t.TempDir(), "marks"), newRand(t)
	send := func(s *stack.Stack, key string) (status int, body string) {
		req := s.Request(t, http.MethodPost, "/workspaces/local/exec", s.Token, `{"cmd":["sh","-c","echo `+key+` >>`+marks+`; sleep 0.1"]}`)
		req.Header.Set("Idempotency-Key", key)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err.Error() // killed
		}
		defer resp.Body.Close()
		var text strings.Builder
		buf := make([]byte, 4096)
		for err == nil {
			var n int
			n, err = resp.Body.Read(buf)
			text.Write(buf[:n])
		}
		return resp.StatusCode, text.String()
	}
	ran := func(key string) int {
		text, err := os.ReadFile(marks)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) == key {
				n++
			}
		}
		return n
	}
	seen := map[string]int{}
	for round := range rounds {
		server := startChild(t, childOptions{dataDir: dir})
		key := func(i int) string { return fmt.Sprintf("key-%d-%d", round, i) }
		var clients sync.WaitGroup
		for i := range execs {
			clients.Go(func() { send(server.Stack, key(i)) })
		}
		<-time.After(time.Duration(chance.Int64N(int64(400 * time.Millisecond))))
		server.kill()
		clients.Wait()

		server = startChild(t, childOptions{dataDir: dir})
		for i := range execs {
			status, body := send(server.Stack, key(i))
			n := ran(key(i))
			switch {
			case status == http.StatusOK && n == 1:
				seen["ran now"]++
			case status == http.StatusConflict && strings.Contains(body, `"already_run"`) && strings.Contains(body, `"status":"interrupted"`) && n <= 1:
				seen["interrupted"]++
			case status == http.StatusConflict && strings.Contains(body, `"already_run"`) && strings.Contains(body, `"exit_code":0`) && n == 1:
				seen["had run"]++
			default:
				t.Errorf("%s ran %d times, and the answer is %d %s", key(i), n, status, body)
			}
		}
		if code := server.terminate(t); code != 0 {
			t.Errorf("the server ended with %d", code)
		}
	}
	t.Logf("%v", seen)
}
