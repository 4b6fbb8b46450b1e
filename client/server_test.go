package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// TestMain looks for goroutines that a client has left behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftBehind(); code == 0 && left != "" {
		fmt.Fprintln(os.Stderr, "goroutines are left behind:\n\n"+left)
		code = 1
	}
	os.Exit(code)
}

// leftBehind returns the goroutines of clients, and of their connections, that don't
// end.
func leftBehind() (left string) {
	const tries, pause = 100, 50 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for range tries {
		buf := make([]byte, 1<<20)
		left = ""
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			isOurs := strings.Contains(stack, "sallyport/client.") || strings.Contains(stack, "net/http.")
			if isOurs && !strings.Contains(stack, "leftBehind") {
				left += stack + "\n\n"
			}
		}
		if left == "" {
			break
		}
		<-tick.C
	}
	return left
}

const token = "sp_org_test"

// serve starts a server that answers with h, and returns a client of it.
func serve(t testing.TB, h http.HandlerFunc) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	c := client.New(srv.URL, token)
	t.Cleanup(func() {
		c.Close()
		srv.Close()
	})
	return c
}

// answerFrames answers an exec as the contract has it: one frame a line, each
// flushed.
func answerFrames(w http.ResponseWriter, lines ...string) {
	w.Header().Set("Content-Type", sallyport.MediaNDJSON)
	w.Header().Set(sallyport.HeaderExecID, "0198-exec")
	w.Header().Set(sallyport.HeaderTimeoutS, "30")
	for _, line := range lines {
		fmt.Fprintln(w, line)
		w.(http.Flusher).Flush()
	}
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", sallyport.MediaJSON)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// readBody decodes a request's body, strictly.
func readBody(t testing.TB, r *http.Request, into any) {
	t.Helper()
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
}
