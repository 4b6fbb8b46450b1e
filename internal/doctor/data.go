package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/internal/config"
	"sallyport/internal/datadir"
	"sallyport/internal/disk"
	"sallyport/internal/limits"
	"sallyport/internal/store/postgres"
	"sallyport/internal/store/sqlite"
)

// dataDir looks at the directory, and whether a server holds it.
func (d *doctor) dataDir(context.Context) {
	const check = "data directory"
	d.dir = d.cfg.DataDir
	info, err := os.Stat(d.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.missingDataDir()
		return
	case err != nil:
		d.fail(check, d.asItsOwner(), "%s: %s", d.dir, disk.Cause(err))
		return
	case !info.IsDir():
		d.fail(check, "choose another with --data-dir", "%s is not a directory", d.dir)
		return
	}
	if err := unix.Access(d.dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		d.fail(check, d.asItsOwner(), "%s can't be used by you: %s; it is %s", d.dir, err, ownerText(info))
		return
	}
	if d.held, d.pid, err = datadir.Holder(d.dir); err != nil {
		d.fail(check, d.asItsOwner(), "%s: its lock can't be read: %s", d.dir, err)
		return
	}
	d.isThere = true
	state := "free: no server runs on it"
	if d.held {
		state = "held by a sallyport" + datadir.ProcessText(d.pid)
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o002 != 0:
		d.fail(check, "chmod 700 "+d.dir, "%s can be written by everyone on this machine (mode %04o)", d.dir, mode)
	case mode&0o055 != 0:
		d.warn(check, "chmod 700 "+d.dir, "%s can be read by others than its owner (mode %04o); it is %s", d.dir, mode, state)
	default:
		d.ok(check, "%s is %s, %s", d.dir, ownerText(info), state)
	}
	if name := networkFileSystem(d.dir); name != "" {
		d.fail(check, "choose a directory on a disk of this machine", "%s is on %s: SQLite's write-ahead log doesn't work there", d.dir, name)
	}
}

// missingDataDir tells whether a start could make the directory.
func (d *doctor) missingDataDir() {
	wanted := d.dir
	for {
		d.dir = filepath.Dir(d.dir)
		if _, err := os.Stat(d.dir); err == nil || d.dir == filepath.Dir(d.dir) {
			break
		}
	}
	if err := unix.Access(d.dir, unix.W_OK|unix.X_OK); err != nil {
		d.fail("data directory", "make it, and give it to the server's user; or choose another with --data-dir",
			"%s is not there, and you can't make it: %s: %s", wanted, d.dir, err)
		return
	}
	d.ok("data directory", "%s is not there; a start makes it", wanted)
}

// asItsOwner is what to do where this user may not look.
func (d *doctor) asItsOwner() string {
	return "look as the user that the server runs as: sudo -u USER sallyport doctor"
}

// ownerText says whose a file is, and with which mode.
func ownerText(info fs.FileInfo) string {
	owner := "somebody's"
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = strconv.Itoa(int(st.Uid)) + "'s"
		if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
			owner = u.Username + "'s"
		}
	}
	return fmt.Sprintf("%s (mode %04o)", owner, info.Mode().Perm())
}

func (d *doctor) disk(context.Context) {
	const check, hint = "disk", "make room: nothing is run while the activity log can't be written"
	s, err := disk.FreeSpace(d.dir)
	if err != nil {
		d.fail(check, "", "%s: %s", d.dir, err)
		return
	}
	free := fmt.Sprintf("%s of %s free", disk.SizeText(s.Bytes), disk.SizeText(s.BytesAll))
	inodes := fmt.Sprintf(", %d inodes", s.Inodes)
	if s.InodesAll == 0 {
		inodes = ""
	}
	switch {
	case s.Bytes < limits.DiskBytesMin:
		d.fail(check, hint, "%s at %s: it takes %s", free, d.dir, disk.SizeText(limits.DiskBytesMin))
	case s.InodesAll > 0 && s.Inodes == 0:
		d.fail(check, "remove files", "no inode is free at %s", d.dir)
	case s.Bytes < limits.DiskBytesLow:
		d.warn(check, hint, "%s at %s", free, d.dir)
	case s.InodesAll > 0 && s.Inodes < limits.InodesLow:
		d.warn(check, "remove files", "%d of %d inodes free at %s", s.Inodes, s.InodesAll, d.dir)
	default:
		d.ok(check, "%s%s at %s", free, inodes, d.dir)
	}
}

// syncTime measures what every exec waits for before it starts.
func (d *doctor) syncTime(ctx context.Context) {
	const check = "disk sync"
	if !d.isThere {
		return
	}
	times, err := measureSync(ctx, d.dir)
	if err != nil {
		d.fail(check, d.asItsOwner(), "a scratch file in %s can't be written: %s", d.dir, disk.Cause(err))
		return
	}
	slices.Sort(times)
	median, worst := times[len(times)/2].Round(time.Microsecond), times[len(times)-1].Round(time.Microsecond)
	if median > limits.SyncTimeHigh {
		d.warn(check, "use a faster disk: each exec waits for a sync before it starts", "a sync takes %s (median of %d; worst %s)", median, len(times), worst)
		return
	}
	d.ok(check, "a sync takes %s (median of %d; worst %s)", median, len(times), worst)
}

// measureSync times writes to the disk, through a file that is removed again.
func measureSync(ctx context.Context, dir string) (times []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".sallyport-doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	for i := range limits.SyncTries {
		if i > 0 && ctx.Err() != nil {
			break
		}
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// database reads the store as another process beside the server.
func (d *doctor) database(ctx context.Context) {
	const check = "database"
	if d.cfg.Store.URL != "" {
		d.sharedDatabase(ctx)
		return
	}
	path := datadir.DatabaseFile(d.cfg.DataDir)
	info, err := os.Stat(path)
	switch {
	case !d.isThere:
		return
	case errors.Is(err, fs.ErrNotExist):
		d.ok(check, "there is none yet; the first start makes it")
		d.nobody(0)
		return
	case err != nil:
		d.fail(check, d.asItsOwner(), "%s: %s", path, disk.Cause(err))
		return
	}
	found, err := d.inspect(ctx, path)
	if err != nil {
		d.fail(check, "restore a backup: docs/operating.md says how", "%s", err)
		return
	}
	d.store = &found
	d.schema()
	d.rows(info)
}

// sharedDatabase asks PostgreSQL for the schema.
func (d *doctor) sharedDatabase(ctx context.Context) {
	const check = "database"
	ctx, cancel := context.WithTimeout(ctx, limits.ReadyTime)
	defer cancel()
	current, wanted, err := postgres.Versions(ctx, d.cfg.Store.URL)
	switch {
	case err != nil:
		d.fail(check, "look at store.url, and whether PostgreSQL runs", "%s", err)
	case current == 0:
		d.ok(check, "it can be reached, and has no tables yet; the first start makes them")
	case current < wanted && !d.cfg.Store.Migrate:
		d.fail(check, "sallyport migrate", "its schema has version %d, and this program wants %d: store.migrate is false, so no start brings it there", current, wanted)
	default:
		d.ok(check, "it can be reached; its schema has version %d, and this program wants %d", current, wanted)
		if current >= wanted {
			d.sharedMachines(ctx)
		}
	}
}

// sharedMachines asks PostgreSQL for the machines that trust the CA of before.
func (d *doctor) sharedMachines(ctx context.Context) {
	db, err := postgres.Open(ctx, d.cfg.Store.URL, postgres.Options{})
	if err == nil {
		d.stale, err = db.StaleMachines(ctx, limits.StaleMachinesTold+1)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		d.fail("database", "look at store.url, and whether PostgreSQL runs", "%s", err)
	}
}

// inspect reads what no server has open without a trace. One that starts in the
// meantime would make that reading worthless, so that it is done again then.
func (d *doctor) inspect(ctx context.Context, path string) (sqlite.Inspection, error) {
	still := func() bool {
		wal, err := os.Stat(path + "-wal")
		held, _, lockErr := datadir.Holder(d.cfg.DataDir)
		return !held && lockErr == nil && (errors.Is(err, fs.ErrNotExist) || err == nil && wal.Size() == 0)
	}
	o := sqlite.InspectOptions{Deep: d.options.Deep, Still: still()}
	found, err := sqlite.Inspect(ctx, path, o)
	if o.Still && !still() {
		o.Still = false
		return sqlite.Inspect(ctx, path, o)
	}
	return found, err
}

func (d *doctor) schema() {
	const check = "schema"
	switch s := d.store; {
	case s.SchemaVersion > s.WantedVersion:
		d.fail(check, "use the sallyport that wrote it, or a newer one", "version %d, and this program knows none above %d", s.SchemaVersion, s.WantedVersion)
	case s.SchemaVersion == s.WantedVersion:
		d.ok(check, "version %d, as this program wants it", s.SchemaVersion)
	case d.held:
		d.warn(check, "restart the server with this program, when it suits",
			"version %d, and this program wants %d: the server that runs is an older one", s.SchemaVersion, s.WantedVersion)
	case d.cfg.Store.Migrate:
		d.ok(check, "version %d; the next start brings it to %d", s.SchemaVersion, s.WantedVersion)
	default:
		d.fail(check, "make a backup, then: sallyport migrate", "version %d, and this program wants %d: store.migrate is false, so no start brings it there",
			s.SchemaVersion, s.WantedVersion)
	}
}

// rows tells what the store holds, and what stands out.
func (d *doctor) rows(info fs.FileInfo) {
	const check = "database"
	s := d.store
	switch {
	case s.Checked:
		d.ok(check, "sound; %s; organisations: %d, workspaces: %d, rows of activity: %d (open: %d)",
			disk.SizeText(uint64(s.Bytes)), s.Orgs, s.Workspaces, s.Rows, s.Running)
		d.nobody(s.Orgs)
	default:
		d.ok(check, "can be read; %s, too large to read whole without --deep", disk.SizeText(uint64(s.Bytes)))
	}
	if s.Checked && s.Running > 0 && !d.held {
		d.warn(check, "", "%d execs were running when the server went; the next start closes their rows as interrupted", s.Running)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		d.warn(check, "chmod 600 "+datadir.DatabaseFile(d.cfg.DataDir), "others than its owner may use the file (mode %04o)", mode)
	}
	if s.WALBytes > limits.WALBytesHigh {
		d.warn("write-ahead log", "look for a process that reads the database for long, such as a backup that hangs",
			"it holds %s, and should be cut at 64 MiB", disk.SizeText(uint64(s.WALBytes)))
	}
}

// nobody warns of a store in which nobody could do anything.
func (d *doctor) nobody(orgs int64) {
	if orgs == 0 && d.cfg.AdminTokenHash == nil && d.cfg.Mode == config.ModeServer {
		d.warn("configuration", "set admin_token_file", "there is no organisation and no admin token: nobody could make the first")
	}
}
