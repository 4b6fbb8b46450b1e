package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"sallyport/internal/config"
	"sallyport/internal/datadir"
	"sallyport/internal/disk"
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
func Restore(ctx context.Context, cfg config.Config, o RestoreOptions) (_ Contents, err error) {
	if err := mustBeOurs(cfg, "restore", "pg_restore"); err != nil {
		return Contents{}, err
	}
	source, size, err := o.open()
	if err != nil {
		return Contents{}, err
	}
	defer func() { _ = source.Close() }() // it was only read
	dir, err := datadir.Open(cfg.DataDir)
	if err != nil {
		return Contents{}, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := mustHoldNothing(ctx, dir); err != nil {
		return Contents{}, err
	}
	if err := mustFit(dir.Path, size); err != nil {
		return Contents{}, fmt.Errorf("restore %s: %w", o.name(), err)
	}
	tmp, err := take(ctx, dir, source)
	if err != nil {
		return Contents{}, fmt.Errorf("restore %s: %w", o.name(), err)
	}
	defer func() { _ = os.Remove(tmp) }() // it is gone when it was renamed
	held, err := sqlite.CheckCopy(ctx, tmp)
	if err != nil {
		return Contents{}, fmt.Errorf("restore %s: %w", o.name(), err)
	}
	if err := dir.GiveToOwner(tmp); err != nil {
		return Contents{}, fmt.Errorf("restore %s: %w", o.name(), err)
	}
	if err := disk.Place(tmp, dir.Database(), true); err != nil {
		return Contents{}, fmt.Errorf("restore to %s: %w", dir.Database(), err)
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
	// A database in use has its content in two files.
	if wal, err := os.Stat(o.File + "-wal"); err == nil && wal.Size() > 0 {
		return nil, 0, fmt.Errorf("restore %s: beside it is %[1]s-wal, so it is no backup but a database that was in use: make one with sallyport backup", o.File)
	}
	f, info, err := disk.Open(o.File)
	if err != nil {
		return nil, 0, fmt.Errorf("restore %s: %w", o.File, err)
	}
	return f, info.Size(), nil
}

// take copies the backup into the data directory, under a name of its own.
func take(ctx context.Context, d *datadir.Dir, source io.Reader) (tmp string, err error) {
	f, err := os.CreateTemp(d.Path, ".sallyport-restore-*") // 0600
	if err != nil {
		return "", disk.Cause(err)
	}
	_, err = io.Copy(f, &obedient{ctx: ctx, r: source})
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.Name()) // half a backup is none
		return "", disk.Cause(err)
	}
	return f.Name(), nil
}

// mustHoldNothing refuses a data directory whose store holds records, or may: what
// is left of a crash belongs to a database, and would be taken for the new one's.
func mustHoldNothing(ctx context.Context, d *datadir.Dir) error {
	for _, left := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(d.Database() + left); err == nil && info.Size() > 0 {
			return fmt.Errorf("data directory %s holds a store that did not end in order (%s%s): move both away, or choose another directory with --data-dir",
				d.Path, "sallyport.db", left)
		}
	}
	info, err := os.Stat(d.Database())
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory %s: %w", d.Path, disk.Cause(err))
	}
	// The lock is ours, so nobody has it open.
	found, err := sqlite.Inspect(ctx, d.Database(), sqlite.InspectOptions{Still: true})
	switch {
	case err != nil:
		return fmt.Errorf("data directory %s has a store already: move it away first: %w", d.Path, err)
	case !found.Checked, found.Orgs > 0, found.Rows > 0, found.SchemaVersion > found.WantedVersion:
		return fmt.Errorf("data directory %s has a store already, with %d organisations and %d rows of activity: "+
			"move %s away, or choose another directory with --data-dir", d.Path, found.Orgs, found.Rows, d.Database())
	}
	return nil
}
