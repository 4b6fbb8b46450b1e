package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// emptyFile makes the file that a backup goes to.
func emptyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	must(t, os.WriteFile(path, nil, 0o600))
	return path
}

// TestBackupWhileWriting: a copy that takes many steps is one moment, although the
// store changes between any two of them.
func TestBackupWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := openTestFile(t, path)
	for range 40 {
		addOrg(t, db)
	}
	must(t, grow(db, 3*backupPages))
	steps := 0
	held, err := Backup(t.Context(), path, emptyFile(t), func(done, total int64) error {
		steps++
		if done > total || total == 0 {
			t.Errorf("%d of %d bytes", done, total)
		}
		if steps < 50 { // one that begins anew with every change is to end, too
			addOrg(t, db)
		}
		return nil
	})
	must(t, err)
	if steps < 4 {
		t.Errorf("%d steps: too few to say anything", steps)
	}
	if held.Orgs != 40 || held.SchemaVersion != schema || held.Bytes < 3*backupPages*4096 {
		t.Errorf("%+v, want 40 organisations", held)
	}
}

// TestBackupIsOneFile: the copy needs nothing beside it, and Open takes it.
func TestBackupIsOneFile(t *testing.T) {
	path, to := filepath.Join(t.TempDir(), "test.db"), emptyFile(t)
	db := openTestFile(t, path)
	addOrg(t, db)
	_, err := Backup(t.Context(), path, to, nil)
	must(t, err)
	if names, err := os.ReadDir(filepath.Dir(to)); err != nil || len(names) != 1 {
		t.Errorf("beside the copy there are %v %v", names, err)
	}
	header, err := os.ReadFile(to)
	must(t, err)
	if header[18] != 1 || header[19] != 1 {
		t.Errorf("the copy wants a write-ahead log (format %d %d)", header[18], header[19])
	}
	copied, err := Open(t.Context(), to, Options{})
	must(t, err)
	must(t, copied.Close())
}

// TestBackupEnds: by its context, and by who is told of its progress.
func TestBackupEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	must(t, grow(openTestFile(t, path), 2*backupPages))
	enough := errors.New("enough")
	if _, err := Backup(t.Context(), path, emptyFile(t), func(int64, int64) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error %v, want that of progress", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Backup(ctx, path, emptyFile(t), func(int64, int64) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestBackupRefuses(t *testing.T) {
	dir := t.TempDir()
	missing, text, foreign := filepath.Join(dir, "missing.db"), filepath.Join(dir, "text.db"), filepath.Join(dir, "foreign.db")
	must(t, os.WriteFile(text, []byte("this is not a database, and it is longer than a header of one hundred bytes, so that it is looked at"), 0o600))
	_, err := raw(t, foreign).Exec(`CREATE TABLE theirs (x)`)
	must(t, err)
	for path, why := range map[string]string{
		missing: "there is no such file", text: "not a SQLite database", foreign: "the tables of another program", dir: "not a regular file",
	} {
		_, err := Backup(t.Context(), path, emptyFile(t), nil)
		wantRefusal(t, err, path, why)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("refusing has made the file (%v)", err)
	}
}

func TestCheckCopyRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := openTestFile(t, path)
	must(t, grow(db, 100))
	to := emptyFile(t)
	_, err := Backup(t.Context(), path, to, nil)
	must(t, err)
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 2*4096), 3*4096)
	must(t, errors.Join(err, f.Close()))
	_, err = CheckCopy(t.Context(), to)
	wantRefusal(t, err, "check the copy", "it is corrupt")
	_, err = CheckCopy(t.Context(), emptyFile(t))
	wantRefusal(t, err, "check the copy", "it holds no records of sallyport")
}

// TestInspect: the same is found of a database that is in use and of one that is
// not, and of the latter nothing is left behind.
func TestInspect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(t.Context(), path, Options{Migrate: true})
	must(t, err)
	addOrg(t, db)
	used, err := Inspect(t.Context(), path, InspectOptions{Deep: true})
	must(t, err)
	must(t, db.Close())
	still, err := Inspect(t.Context(), path, InspectOptions{Still: true})
	must(t, err)
	if used.Orgs != 1 || !used.Checked || used.WALBytes == 0 || used.WantedVersion != schema {
		t.Errorf("in use: %+v", used)
	}
	if still.Orgs != 1 || !still.Checked || still.WALBytes != 0 || !still.NewestAt.Equal(used.NewestAt) {
		t.Errorf("not in use: %+v, in use %+v", still, used)
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("beside the database there are %v %v", names, err)
	}
}

// TestBackupBesideWriter: another process's writer is not held up, and neither
// side sees an error.
func TestBackupBesideWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := openTestFile(t, path)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				addOrg(t, db)
			}
		}
	})
	for range 5 {
		if _, err := Backup(t.Context(), path, emptyFile(t), nil); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	writer.Wait()
}

// addOrg adds an organisation with the row that tells of it.
func addOrg(t testing.TB, db *DB) {
	org := store.Org{ID: id.New(), CreatedAt: time.Now()}
	org.Name = org.ID
	row := &store.Activity{Activity: sallyport.Activity{
		ID: id.New(), OrgID: org.ID, Type: sallyport.ActivityOrgCreated, Status: sallyport.StatusOK, CreatedAt: org.CreatedAt,
	}}
	if err := db.CreateOrg(context.Background(), org, store.ActivityChange{Row: row}); err != nil {
		t.Error(err)
	}
}

// grow makes the database as many pages larger.
func grow(db *DB, pages int) error {
	return db.writer.do(context.Background(), true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `CREATE TABLE ballast (x); INSERT INTO ballast VALUES (zeroblob(? * 4096))`, pages)
		return err
	})
}
