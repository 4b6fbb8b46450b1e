package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExists is that a file would be replaced, and was not to be.
var ErrExists = errors.New("there is a file of this name already")

// NewScratch makes an empty file with mode 0600 and returns its path.
func NewScratch(dir, pattern string) (string, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// Place gives the file tmp its name, once its content is on disk. A file that came
// to be there in the meantime is replaced only with force.
func Place(tmp, name string, force bool) error {
	if err := syncPath(tmp); err != nil {
		return err
	}
	if !force {
		err := os.Link(tmp, name)
		switch {
		case err == nil:
			return syncPath(filepath.Dir(name))
		case errors.Is(err, fs.ErrExist):
			return ErrExists
		}
		// Not every file system has links. There the look comes before the act.
		if _, err := os.Lstat(name); err == nil {
			return ErrExists
		}
	}
	if err := os.Rename(tmp, name); err != nil {
		return linkCause(err)
	}
	return syncPath(filepath.Dir(name))
}

// syncPath has the disk take what was written to a file, or the names of a
// directory.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return Cause(err)
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return Cause(err)
}

// linkCause is Cause for what takes two paths.
func linkCause(err error) error {
	if linkErr, ok := errors.AsType[*os.LinkError](err); ok {
		return linkErr.Err
	}
	return Cause(err)
}
