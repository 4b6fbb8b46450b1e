package doctor

import (
	"context"
	"errors"
	"io/fs"

	"sallyport/internal/config"
	"sallyport/internal/datadir"
	"sallyport/internal/store"
)

// seal looks whether the private keys in the database can be opened.
func (d *doctor) seal(context.Context) {
	const check = "seal"
	if d.store == nil {
		return
	}
	path := d.cfg.Keys.SealFile
	if path == "" {
		path = datadir.SealFile(d.cfg.DataDir)
	}
	seal, err := config.ReadSeal(path)
	stored := d.store.CAKeys
	switch isMissing := errors.Is(err, fs.ErrNotExist); {
	case isMissing && len(stored) == 0:
		d.ok(check, "there is none yet; the next start makes it")
		return
	case isMissing:
		d.fail(check, "restore the file from a copy, or name it with "+"keys.seal_file",
			"%s is missing, and the database holds private keys that only it opens", path)
		return
	case err != nil:
		d.fail(check, d.asItsOwner(), "%s: %s", path, err)
		return
	}
	for _, key := range stored {
		if err := key.Check(seal); err != nil {
			d.fail(check, "restore the file that has sealed it, or add its key below the first", "%s doesn't open the private keys in the database: %s", path, err)
			return
		}
	}
	d.ok(check, "%s opens the private keys in the database; keep a copy of it elsewhere", path)
}

// staleMachines looks for machines that trust the SSH CA that all organisations shared.
func (d *doctor) staleMachines(ctx context.Context) {
	stale := d.stale
	if d.store != nil {
		stale = d.store.StaleMachines
	}
	if len(stale) == 0 {
		return
	}
	count, names := store.NameMachines(stale)
	d.warn("ssh ca", "give each the keys that sallyport ca show --org ORG prints: docs/keys.md",
		"%s machines have let no server in since each organisation has an SSH CA of its own, and may trust the one before alone: %s", count, names)
}
