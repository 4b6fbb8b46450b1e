//go:build linux

package faults

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// TestVersionEverywhere: the program has one version, wherever it tells it.
func TestVersionEverywhere(t *testing.T) {
	t.Parallel()
	p := startProgram(t, serverArgs())
	told, err := exec.Command(p.cmd.Path, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var document struct{ Info struct{ Version string } }
	if err := json.Unmarshal([]byte(p.server.Do(t, http.MethodGet, "/openapi.json", "", "").Body), &document); err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{
		"sallyport version": string(told), "the log": p.logText(t), "/openapi.json": document.Info.Version,
		"/docs": p.server.Do(t, http.MethodGet, "/docs", "", "").Body, "/metrics": p.server.Do(t, http.MethodGet, "/metrics", "", "").Body,
	} {
		if !strings.Contains(text, programVersion) {
			t.Errorf("%s doesn't tell %s", where, programVersion)
		}
	}
}

// TestNobodyMay: a server that nobody could do anything with says so at its start, and
// no other does.
func TestNobodyMay(t *testing.T) {
	t.Parallel()
	const warning = "no admin token and no organisation"
	p := startProgram(t, programOptions{args: []string{"server"}})
	if text := p.logText(t); !strings.Contains(text, warning) {
		t.Errorf("nobody is warned:\n%s", text)
	}
	for _, o := range []programOptions{serverArgs(), {}} {
		if text := startProgram(t, o).logText(t); strings.Contains(text, warning) {
			t.Errorf("%v:\n%s", o.args, text)
		}
	}
}
