package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
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
	name := filepath.Join(path, "lock")
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s can't be written: %w", path, cause(err))
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is in use by another sallyport: stop it, or choose another directory with --data-dir", path)
		}
		return nil, fmt.Errorf("data directory %s can't be locked: %w", path, err)
	}
	return &dataDir{path: path, lock: lock}, nil
}

// database is the file of the embedded store.
func (d *dataDir) database() string { return filepath.Join(d.path, "sallyport.db") }

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
