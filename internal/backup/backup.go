// Package backup copies a store while it is served from, and puts a copy in a store's
// place.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/config"
	"sallyport/internal/datadir"
	"sallyport/internal/disk"
	"sallyport/internal/limits"
	"sallyport/internal/store/sqlite"
)

// ErrExists is that a backup would replace a file, and was not told to.
var ErrExists = disk.ErrExists

// Contents is what a store, or a copy of one, holds.
type Contents = sqlite.Contents

// Options say where a backup goes.
type Options struct {
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
func Backup(ctx context.Context, cfg config.Config, o Options) (Contents, error) {
	if err := mustBeOurs(cfg, "backup", "pg_dump"); err != nil {
		return Contents{}, err
	}
	database := datadir.DatabaseFile(cfg.DataDir)
	if err := o.check(database); err != nil {
		return Contents{}, err
	}
	dir := os.TempDir()
	if o.Writer == nil {
		dir = filepath.Dir(o.File)
	}
	tmp, err := disk.NewScratch(dir, ".sallyport-backup-*")
	if err != nil {
		return Contents{}, fmt.Errorf("a backup can't be written to %s: %w", dir, disk.Cause(err))
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
		return Contents{}, err
	}
	if o.Writer != nil {
		return held, sendFile(ctx, o.Writer, tmp)
	}
	if err := disk.Place(tmp, o.File, o.Force); err != nil {
		return Contents{}, fmt.Errorf("backup %s: %w", o.File, err)
	}
	return held, nil
}

// check refuses, before any work, a backup that would be refused at its end. Force never
// applies to the store itself, nor to anything but a regular file.
func (o Options) check(database string) error {
	if o.Writer != nil {
		return nil
	}
	there, err := os.Stat(o.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("backup %s: %w", o.File, disk.Cause(err))
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
		return fmt.Errorf("backup %s: %w", o.File, disk.ErrExists)
	}
	return nil
}

// mustFit refuses a backup that would fill the disk of dir.
func mustFit(dir string, bytes int64) error {
	free, err := disk.FreeSpace(dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if needed := uint64(bytes) + limits.BackupBytesSpare; free.Bytes < needed {
		return fmt.Errorf("it takes %s with some to spare, and the disk of %s has %s free", disk.SizeText(needed), dir, disk.SizeText(free.Bytes))
	}
	return nil
}

// sendFile writes the content of a file.
func sendFile(ctx context.Context, w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return disk.Cause(err)
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

// mustBeOurs refuses work on the files of a store that has none in this data directory.
func mustBeOurs(c config.Config, doing, tool string) error {
	if c.Store.URL == "" {
		return nil
	}
	return fmt.Errorf("%s is for SQLite, and the records are in PostgreSQL (store.url): use its own %s", doing, tool)
}
