//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"

	_ "sallyport/test/apart"
)

// TestClosedOutput builds the program as make does, and runs it as a shell does
// whose user closes an output.
func TestClosedOutput(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the whole program")
	}
	program := filepath.Join(t.TempDir(), "sallyport")
	build := exec.Command("../../scripts/build", program, "test")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = io.WriteString(w, `{"stream":"stdout","data":"hello\n","truncated":false}`+"\n"+`{"exit_code":0,"duration_ms":1}`+"\n")
	}))
	defer server.Close()
	ends := func(args, redirection string, want int) {
		t.Helper()
		cmd := exec.Command("sh", "-c", `"$0" `+args+" "+redirection, program)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "SALLYPORT_URL=" + server.URL, "SALLYPORT_TOKEN=x"}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s %s: exit code %d (%v), want %d: %s", args, redirection, got, err, want, stderr.String())
		}
	}
	for redirection, want := range map[string]int{
		">&-":                        1,
		"<&- >&-":                    1,
		">/dev/full":                 1,
		">/dev/null":                 0,
		"1<>/dev/null":               0, // opened as Go does
		"<&-":                        0,
		"2>&-":                       0, // nothing is written there
		"<>/dev/null 1>&0 2>&0":      0, // as daemons have it
		"</dev/null >/dev/null 2>&1": 0,
	} {
		ends("version", redirection, want)
	}
	// The command's own exit code is 0, and what it printed is lost.
	for redirection, want := range map[string]int{">&-": 125, "<&- >&-": 125, ">/dev/full": 125, ">/dev/null": 0, "2>&-": 0} {
		ends("exec w echo hello", redirection, want)
		ends("exec --json w echo hello", redirection, want)
	}
}
