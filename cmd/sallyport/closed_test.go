//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
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
		cmd := exec.Command("sh", "-c", `"$0" version `+redirection, program)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: exit code %d (%v), want %d: %s", redirection, got, err, want, stderr.String())
		}
	}
}
