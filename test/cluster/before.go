//go:build linux

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// before is the commit of the version before: the last one with the first schemas, whose
// stores and servers this version must take over.
const before = "beeedf4eeed9b0b42bf0648accd205e056b9fae7"

// errNoHistory is of a clone that doesn't reach back to before.
var errNoHistory = errors.New("this clone has no commit " + before + ", of the version before: git fetch --unshallow")

// builtBefore is the program of the version before, made once for a test binary.
var builtBefore = sync.OnceValues(func() (string, error) {
	root, err := output(".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return "", errNoHistory // no clone at all
	}
	if _, err := output(root, "git", "cat-file", "-e", before+"^{commit}"); err != nil {
		return "", errNoHistory
	}
	program, err := built()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(program), "before") // so Clean removes it, too
	return filepath.Join(dir, "sallyport"), buildBefore(root, dir)
})

// buildBefore builds the old sources, with the libraries of this version: those are in the
// build cache already.
func buildBefore(root, dir string) error {
	source := filepath.Join(dir, "source")
	if err := os.MkdirAll(source, 0o700); err != nil {
		return err
	}
	archive := filepath.Join(dir, "source.tar")
	for _, step := range [][]string{
		{root, "git", "archive", "-o", archive, before},
		{source, "tar", "-xf", archive},
		{root, "cp", "go.mod", "go.sum", source},
		{source, "go", "mod", "edit", "-droprequire=sallyport/client", "-dropreplace=sallyport/client"}, // it was no module then
		{source, "go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "sallyport"), "./cmd/sallyport"},
	} {
		if _, err := output(step[0], step[1], step[2:]...); err != nil {
			return err
		}
	}
	return errors.Join(os.Remove(archive), os.RemoveAll(source))
}

// output runs a command in a directory, and returns what it says, without the newline.
func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	var said, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &failed
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %v: %w\n%s", name, args, err, failed.String())
	}
	return string(bytes.TrimSuffix(said.Bytes(), []byte("\n"))), nil
}

// Before is the program of the version before. Where the clone has no history it skips the
// test.
func Before(t testing.TB) string {
	t.Helper()
	program, err := builtBefore()
	if errors.Is(err, errNoHistory) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}
