package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/limits"
	"sallyport/internal/store/sqlite"
)

// StoreContents is what a store, or a copy of one, holds.
type StoreContents = sqlite.Contents

// BackupOptions say where a backup goes.
type BackupOptions struct {
	// File appears whole, with mode 0600, or not at all.
	File string
	// Force replaces what File holds already.
	Force bool
	// Writer takes the backup in File's place.
	Writer io.Writer
	// Progress is told how many bytes are copied of how many. It may be nil.
	Progress func(done, total int64)
}

// Backup copies the store, while a server may serve from it, to where the options
// say: one moment of it, with every commit up to it and none after. It tells what
// the copy holds, once that has been checked and is on disk.
func Backup(ctx context.Context, cfg Config, o BackupOptions) (StoreContents, error) {
	if err := cfg.mustBeOurs("backup", "pg_dump"); err != nil {
		return StoreContents{}, err
	}
	database := databaseFile(cfg.DataDir)
	if err := o.check(database); err != nil {
		return StoreContents{}, err
	}
	dir := os.TempDir()
	if o.Writer == nil {
		dir = filepath.Dir(o.File)
	}
	tmp, err := newScratch(dir, ".sallyport-backup-*")
	if err != nil {
		return StoreContents{}, fmt.Errorf("a backup can't be written to %s: %w", dir, cause(err))
	}
	defer func() { _ = os.Remove(tmp) }() // it is gone when it was renamed
	held, err := sqlite.Backup(ctx, database, tmp, func(done, total int64) error {
		if done == 0 {
			if err := mustFit(dir, total); err != nil {
				return err
			}
		}
		if o.Progress != nil {
			o.Progress(done, total)
		}
		return nil
	})
	if err != nil {
		return StoreContents{}, err
	}
	if o.Writer != nil {
		return held, sendFile(ctx, o.Writer, tmp)
	}
	if err := place(tmp, o.File, o.Force); err != nil {
		return StoreContents{}, fmt.Errorf("backup %s: %w", o.File, err)
	}
	return held, nil
}

// check refuses before any work what would be refused at its end. Force never
// reaches to the store itself, nor to what is no file.
func (o BackupOptions) check(database string) error {
	if o.Writer != nil {
		return nil
	}
	there, err := os.Stat(o.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("backup %s: %w", o.File, cause(err))
	}
	live, err := os.Stat(database)
	switch {
	case err == nil && os.SameFile(there, live):
		return fmt.Errorf("backup %s: it is the store itself, choose another file", o.File)
	case there.IsDir():
		return fmt.Errorf("backup %s: it is a directory, name a file in it", o.File)
	case !there.Mode().IsRegular():
		return fmt.Errorf("backup %s: it is not a regular file", o.File)
	case !o.Force:
		return fmt.Errorf("backup %s: %w", o.File, ErrFileExists)
	}
	return nil
}

// ErrFileExists is that a backup would replace a file, and was not told to.
var ErrFileExists = errors.New("there is a file of this name already")

// mustFit refuses what would fill the disk of dir.
func mustFit(dir string, bytes int64) error {
	free, err := diskSpace(dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if needed := uint64(bytes) + limits.BackupBytesSpare; free.bytes < needed {
		return fmt.Errorf("it takes %s with some to spare, and the disk of %s has %s free", sizeText(needed), dir, sizeText(free.bytes))
	}
	return nil
}

// newScratch makes an empty file with mode 0600 and returns its path.
func newScratch(dir, pattern string) (string, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// place gives the file tmp its name, once its content is on disk. A file that came
// to be there in the meantime is replaced only with force.
func place(tmp, name string, force bool) error {
	if err := syncPath(tmp); err != nil {
		return err
	}
	if !force {
		err := os.Link(tmp, name)
		switch {
		case err == nil:
			return syncPath(filepath.Dir(name))
		case errors.Is(err, fs.ErrExist):
			return ErrFileExists
		}
		// Not every file system has links. There the look comes before the act.
		if _, err := os.Lstat(name); err == nil {
			return ErrFileExists
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
		return cause(err)
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return cause(err)
}

// sendFile writes the content of a file.
func sendFile(ctx context.Context, w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return cause(err)
	}
	defer f.Close()
	if _, err := io.Copy(w, &obedient{ctx: ctx, r: f}); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// obedient is a reader that ends with its context, between two reads.
type obedient struct {
	ctx context.Context
	r   io.Reader
}

func (o *obedient) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	return o.r.Read(p)
}

// linkCause is cause for what takes two paths.
func linkCause(err error) error {
	if linkErr, ok := errors.AsType[*os.LinkError](err); ok {
		return linkErr.Err
	}
	return cause(err)
}

// sizeText is a number of bytes for a person.
func sizeText(bytes uint64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d bytes", bytes)
	}
	value, units := float64(bytes)/unit, []string{"KiB", "MiB", "GiB", "TiB", "PiB"}
	for value >= unit && len(units) > 1 {
		value, units = value/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %s", value, units[0])
}
