//go:build linux

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"sallyport/client/sallyport"
)

// A server that is out of descriptors says so, at once: a command that the machine refused
// to start is no command that may have started, its row knows no survivors, and its key is
// free. Nothing else of the server's goes under.
func TestOutOfFilesIsTold(t *testing.T) {
	t.Parallel()
	s := startChild(t, childOptions{openFiles: 150})
	const callers = 80
	counts := filepath.Join(t.TempDir(), "ran")
	// Commands go on until one was refused, so that they are many at once on any machine.
	release := sync.OnceFunc(func() {
		if err := os.WriteFile(counts+".go", nil, 0o600); err != nil {
			t.Error(err)
		}
	})
	results := make(chan result, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			r := tryRun(t, s, i, counts)
			if r.Reason == sallyport.ReasonCapacity {
				release()
			}
			results <- r
		})
	}
	all.Wait()
	close(results)
	ran := 0
	for r := range results {
		switch {
		case r.status == http.StatusOK:
			ran++
		case r.status == 0, r.Code == sallyport.CodeRateLimited: // the caps on connections and requests
		case r.status == http.StatusTooManyRequests && r.Reason == sallyport.ReasonCapacity && (r.Started == nil || !*r.Started):
		default:
			t.Errorf("%d %s %s, started %v: %s", r.status, r.Code, r.Reason, r.Started != nil && *r.Started, r.Message)
		}
	}
	text, err := os.ReadFile(counts)
	if n := bytes.Count(text, []byte("x")); err != nil || n != ran || ran == 0 {
		t.Errorf("%d commands ran, %d were answered so, %v", n, ran, err)
	}
	if t.Failed() {
		log, _ := os.ReadFile(s.logFile)
		t.Logf("%s", log)
	}
	refused := 0
	for _, row := range s.Execs(t) {
		if row.Code == sallyport.CodeTooManyExecs {
			refused++
		}
		if row.SurvivorsUnknown || row.Status == sallyport.StatusRunning {
			t.Errorf("row %+v", row)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused: there were files enough")
	}
	again := tryRun(t, s, callers, counts)
	if again.status != http.StatusOK {
		t.Errorf("afterwards: %+v", again)
	}
}

// result is how an exec was answered; its status is 0 for a connection that was closed.
type result struct {
	sallyport.Error
	status int
}

func tryRun(t *testing.T, s *child, n int, counts string) (r result) {
	body := fmt.Sprintf(`{"cmd":["sh","-c","echo x >>%s; until [ -e %s.go ]; do sleep 0.1; done"]}`, counts, counts)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/workspaces/local/exec", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Error(err)
		return r
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	req.Header.Set("Idempotency-Key", fmt.Sprint("n", n))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(req)
	if err != nil {
		return r
	}
	defer answer.Body.Close()
	r.status = answer.StatusCode
	text, err := io.ReadAll(answer.Body)
	if err == nil && r.status != http.StatusOK {
		err = json.Unmarshal(text, &r.Error)
	}
	if err != nil {
		t.Error(err)
	}
	return r
}
