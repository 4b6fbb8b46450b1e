package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/limits"
)

// dataDir is a data directory that this process alone holds.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the directory if it must, and takes its lock, which lasts
// until Close or the end of the process, whatever ends it.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s can't be made: %w", path, cause(err))
	}
	lock, err := os.OpenFile(lockFile(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s can't be written: %w", path, cause(err))
	}
	if err := takeLock(lock); err != nil {
		by := processText(readPID(lock))
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is in use by another sallyport%s: stop it, or choose another directory with --data-dir", path, by)
		}
		return nil, fmt.Errorf("data directory %s can't be locked: %w", path, err)
	}
	writePID(lock)
	return &dataDir{path: path, lock: lock}, nil
}

// takeLock waits a moment for one who only looks whether it is held.
func takeLock(lock *os.File) error {
	const every = 10 * time.Millisecond
	for left := limits.LockTime; ; left -= every {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || left <= 0 {
			return err
		}
		<-time.After(every)
	}
}

// writePID tells whoever looks who holds the lock. The lock is what counts, so that
// a full disk only keeps them from knowing.
func writePID(lock *os.File) {
	_ = lock.Truncate(0)
	_, _ = lock.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
}

// readPID returns the process that holds the lock; 0 when it has not told.
func readPID(lock *os.File) int {
	text := make([]byte, 20)
	n, _ := lock.ReadAt(text, 0) // a short file ends before the buffer does
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return pid
}

// processText is what a message says of a process.
func processText(pid int) string {
	if pid == 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// holder tells whether a process holds the data directory in path, and which, if
// it has told. It makes nothing.
func holder(path string) (held bool, pid int, err error) {
	lock, err := os.Open(lockFile(path))
	if errors.Is(err, os.ErrNotExist) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, cause(err)
	}
	defer lock.Close() // which gives the lock up, too
	switch err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return true, readPID(lock), nil
	case err != nil:
		return false, 0, err
	}
	return false, 0, nil
}

func lockFile(dir string) string { return filepath.Join(dir, "lock") }

// databaseFile is the file of the embedded store in a data directory.
func databaseFile(dir string) string { return filepath.Join(dir, "sallyport.db") }

// database is the file of the embedded store.
func (d *dataDir) database() string { return databaseFile(d.path) }

// sealFile is the file of the seal, where no other is configured.
func sealFile(dataDir string) string { return filepath.Join(dataDir, "seal.key") }

// Close gives the directory up.
func (d *dataDir) Close() error { return d.lock.Close() }

// cause leaves out what the message says already: the path.
func cause(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
