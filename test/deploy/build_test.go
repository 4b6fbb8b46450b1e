package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build runs scripts/build with a program in Go's place, or none. The test's tools are
// Debian's.
func build(t *testing.T, fake string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if fake != "" {
		if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\n"+fake), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("../../scripts/build", filepath.Join(dir, "sallyport"), "v1")
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestBuildSaysWhatIsMissing: a bare machine is told in one sentence what to install.
func TestBuildSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/bin/go"); err == nil {
		t.Skip("Debian's Go is installed")
	}
	for name, c := range map[string]struct{ fake, words string }{
		"no Go":  {"", "or newer, and there is none in PATH"},
		"old Go": {`echo "go version go1.19.8 linux/amd64"`, "is Go 1.19.8: https://go.dev/doc/install"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := build(t, c.fake)
			if err == nil || !strings.Contains(out, "build: this takes Go 1.") || !strings.Contains(out, c.words) || strings.Count(out, "\n") != 1 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// TestBuildShowsThatItLives: a compile that takes its time tells what it is at; one that
// fails tells the compiler's words and not what went well.
func TestBuildShowsThatItLives(t *testing.T) {
	t.Parallel()
	release := filepath.Join(t.TempDir(), "release")
	// It ends when the line has been told that the test is about.
	slow := `case "$1" in
version) echo "go version go1.26.8 linux/amd64" ;;
build)
	echo "golang.org/x/crypto/ssh" >&2
	until [ -e "$RELEASE" ]; do sleep 0.1; done
	echo "# sallyport/x" >&2
	echo "x.go:1:1: it doesn't compile" >&2
	exit 1 ;;
esac`

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\n"+slow), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("../../scripts/build", filepath.Join(dir, "sallyport"), "v1")
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "RELEASE=" + release, "BUILD_TELL_EVERY=1", "SSL_CERT_DIR=/"}
	told := &firstLine{release: release}
	cmd.Stdout, cmd.Stderr = told, told
	err := cmd.Run()
	out := told.text.String()
	if err == nil || !strings.Contains(out, " 1 packages compiled, at golang.org/x/crypto/ssh\n") ||
		!strings.Contains(out, "# sallyport/x\nx.go:1:1: it doesn't compile\nbuild: go build failed\n") || strings.Contains(out, "\ngolang.org") {
		t.Errorf("%v: %s", err, out)
	}
}

// firstLine makes a file when something is written to it.
type firstLine struct {
	text    strings.Builder
	release string
}

func (f *firstLine) Write(p []byte) (int, error) {
	if err := os.WriteFile(f.release, nil, 0o600); err != nil {
		return 0, err
	}
	return f.text.Write(p)
}
