package files

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func fifo(t testing.TB, m *machine, path string) {
	t.Helper()
	must(t, unix.Mkfifo(filepath.Join(m.dir, path), 0o644))
	m.own(t, filepath.Join(m.dir, path))
}

func chmod(t testing.TB, m *machine, path string, mode os.FileMode) {
	t.Helper()
	must(t, os.Chmod(filepath.Join(m.dir, path), mode))
}
