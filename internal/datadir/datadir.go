// Package datadir holds a data directory: one process at a time has it.
package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/disk"
	"sallyport/internal/limits"
)

// Dir is a data directory that this process alone holds.
type Dir struct {
	// Path is that of the directory.
	Path string
	lock *os.File
}

// Open makes the directory if it must, and takes its lock, which lasts
// until Close or the end of the process, whatever ends it.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s can't be made: %w", path, disk.Cause(err))
	}
	lock, err := os.OpenFile(lockFile(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s can't be written: %w", path, disk.Cause(err))
	}
	if err := takeLock(lock); err != nil {
		by := ProcessText(readPID(lock))
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is in use by another sallyport%s: stop it, or choose another directory with --data-dir", path, by)
		}
		return nil, fmt.Errorf("data directory %s can't be locked: %w", path, err)
	}
	writePID(lock)
	return &Dir{Path: path, lock: lock}, nil
}

// takeLock waits a moment for a process that only tests the lock, as doctor does.
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

// writePID names the holder of the lock for messages. The lock itself is what counts, so
// a full disk costs only the name.
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

// ProcessText describes a process in a message.
func ProcessText(pid int) string {
	if pid == 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// Holder tells whether a process holds the data directory in path, and which, if
// it has told. It makes nothing.
func Holder(path string) (held bool, pid int, err error) {
	lock, err := os.Open(lockFile(path))
	if errors.Is(err, os.ErrNotExist) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, disk.Cause(err)
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

// DatabaseFile is the file of the embedded store in a data directory.
func DatabaseFile(dir string) string { return filepath.Join(dir, "sallyport.db") }

// Database is the file of the embedded store.
func (d *Dir) Database() string { return DatabaseFile(d.Path) }

// SealFile is the file of the seal, where no other is configured.
func SealFile(dataDir string) string { return filepath.Join(dataDir, "seal.key") }

// Close gives the directory up.
func (d *Dir) Close() error { return d.lock.Close() }

// GiveToOwner gives files that root has made to the owner of the data directory, the
// user that the server runs as.
func (d *Dir) GiveToOwner(paths ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(d.Path)
	if err != nil {
		return disk.Cause(err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	for _, path := range append(paths, d.lock.Name()) {
		if err := os.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			return disk.Cause(err)
		}
	}
	return nil
}
