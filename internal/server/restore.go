package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"sallyport/internal/store/sqlite"
)

// RestoreOptions say what to restore.
type RestoreOptions struct {
	// File is the backup.
	File string
	// Reader gives the backup in File's place.
	Reader io.Reader
}

// Restore puts a backup in the place of the store, in a data directory that no
// process holds and that has no store with records in it. It tells what the store
// then holds. The backup is copied and checked first: the store is there whole, or
// not at all. A server that starts on it closes the rows of what ran when the
// backup was taken.
func Restore(ctx context.Context, cfg Config, o RestoreOptions) (_ StoreContents, err error) {
	if err := cfg.mustBeOurs("restore", "pg_restore"); err != nil {
		return StoreContents{}, err
	}
	source, size, err := o.open()
	if err != nil {
		return StoreContents{}, err
	}
	defer func() { _ = source.Close() }() // it was only read
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return StoreContents{}, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := dir.mustHoldNothing(ctx); err != nil {
		return StoreContents{}, err
	}
	if err := mustFit(dir.path, size); err != nil {
		return StoreContents{}, fmt.Errorf("restore %s: %w", o.name(), err)
	}
	tmp, err := dir.take(ctx, source)
	if err != nil {
		return StoreContents{}, fmt.Errorf("restore %s: %w", o.name(), err)
	}
	defer func() { _ = os.Remove(tmp) }() // it is gone when it was renamed
	held, err := sqlite.CheckCopy(ctx, tmp)
	if err != nil {
		return StoreContents{}, fmt.Errorf("restore %s: %w", o.name(), err)
	}
	if err := dir.giveBack(tmp); err != nil {
		return StoreContents{}, fmt.Errorf("restore %s: %w", o.name(), err)
	}
	if err := place(tmp, dir.database(), true); err != nil {
		return StoreContents{}, fmt.Errorf("restore to %s: %w", dir.database(), err)
	}
	return held, nil
}

func (o RestoreOptions) name() string {
	if o.Reader != nil {
		return "from stdin"
	}
	return o.File
}

// open opens the backup; its size is 0 where nobody knows it before its end.
func (o RestoreOptions) open() (_ io.ReadCloser, size int64, err error) {
	if o.Reader != nil {
		return io.NopCloser(o.Reader), 0, nil
	}
	// What a database that is in use holds is in two files.
	if wal, err := os.Stat(o.File + "-wal"); err == nil && wal.Size() > 0 {
		return nil, 0, fmt.Errorf("restore %s: beside it is %[1]s-wal, so it is no backup but a database that was in use: make one with sallyport backup", o.File)
	}
	f, info, err := openFile(o.File)
	if err != nil {
		return nil, 0, fmt.Errorf("restore %s: %w", o.File, err)
	}
	return f, info.Size(), nil
}

// take copies the backup into the data directory, under a name of its own.
func (d *dataDir) take(ctx context.Context, source io.Reader) (tmp string, err error) {
	f, err := os.CreateTemp(d.path, ".sallyport-restore-*") // 0600
	if err != nil {
		return "", cause(err)
	}
	_, err = io.Copy(f, &obedient{ctx: ctx, r: source})
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.Name()) // half a backup is none
		return "", cause(err)
	}
	return f.Name(), nil
}

// mustHoldNothing refuses a data directory whose store holds records, or may: what
// is left of a crash belongs to a database, and would be taken for the new one's.
func (d *dataDir) mustHoldNothing(ctx context.Context) error {
	for _, left := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(d.database() + left); err == nil && info.Size() > 0 {
			return fmt.Errorf("data directory %s holds a store that did not end in order (%s%s): move both away, or choose another directory with --data-dir",
				d.path, "sallyport.db", left)
		}
	}
	info, err := os.Stat(d.database())
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory %s: %w", d.path, cause(err))
	}
	// The lock is ours, so nobody has it open.
	found, err := sqlite.Inspect(ctx, d.database(), sqlite.InspectOptions{Still: true})
	switch {
	case err != nil:
		return fmt.Errorf("data directory %s has a store already: move it away first: %w", d.path, err)
	case !found.Checked, found.Orgs > 0, found.Rows > 0, found.SchemaVersion > found.WantedVersion:
		return fmt.Errorf("data directory %s has a store already, with %d organisations and %d rows of activity: "+
			"move %s away, or choose another directory with --data-dir", d.path, found.Orgs, found.Rows, d.database())
	}
	return nil
}

// giveBack makes what root has made the data directory's owner's, as whom the
// server runs.
func (d *dataDir) giveBack(paths ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(d.path)
	if err != nil {
		return cause(err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	for _, path := range append(paths, d.lock.Name()) {
		if err := os.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			return cause(err)
		}
	}
	return nil
}
