package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"sallyport"
	"sallyport/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
