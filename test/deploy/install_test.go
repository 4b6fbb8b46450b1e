package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstall: make install puts the program, its completions and its pages below
// DESTDIR and PREFIX, and nothing elsewhere.
func TestInstall(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the program")
	}
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	to := t.TempDir()
	out, err := exec.Command("make", "-C", "../..", "--no-print-directory", "install", "DESTDIR="+to, "PREFIX=/opt/sallyport", "VERSION=v9.8.7-test", "BIN="+t.TempDir()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for file, words := range map[string]string{
		"bin/sallyport": "",
		"share/bash-completion/completions/sallyport":    "bash completion",
		"share/zsh/site-functions/_sallyport":            "#compdef sallyport",
		"share/fish/vendor_completions.d/sallyport.fish": "fish completion",
		"share/man/man1/sallyport.1":                     "v9.8.7-test",
		"share/man/man1/sallyport-exec.1":                "exit code",
	} {
		text, err := os.ReadFile(filepath.Join(to, "opt/sallyport", file))
		if err != nil || !strings.Contains(string(text), words) {
			t.Errorf("%s: %v, or not of %q", file, err, words)
		}
	}
	told, err := exec.Command(filepath.Join(to, "opt/sallyport/bin/sallyport"), "version").Output()
	if err != nil || !strings.Contains(string(told), "v9.8.7-test") {
		t.Errorf("%s, %v", told, err)
	}
	if others, err := filepath.Glob(to + "/*"); err != nil || len(others) != 1 {
		t.Errorf("also installed: %v, %v", others, err)
	}
}

// TestOneUnit: there is one unit and one path of the configuration, in deploy and in
// every page.
func TestOneUnit(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, page := range append(pages, "../../README.md", "../../deploy/systemd/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "/etc/sallyport.yaml") || strings.Contains(string(text), "\n    ExecStart=") {
			t.Errorf("%s has a unit or a path of its own", page)
		}
	}
	for _, unit := range []string{"sallyport.service", "sallyport-backup.service"} {
		text, err := os.ReadFile("../../deploy/systemd/" + unit)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "--config /etc/sallyport/server.yaml\n") {
			t.Errorf("%s has another configuration", unit)
		}
	}
}
