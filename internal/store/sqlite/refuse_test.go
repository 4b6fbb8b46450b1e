package sqlite

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/store"
)

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	dir := t.TempDir()
	path := func(name, content string) string {
		p := filepath.Join(dir, name)
		must(t, os.WriteFile(p, []byte(content), 0o600))
		return p
	}
	noise := make([]byte, 64<<10)
	_, _ = rand.Read(noise)
	for p, why := range map[string]string{
		path("text.db", "this is not a database, and it is longer than a header of one hundred bytes, so that it is looked at"): "not a SQLite database",
		path("noise.db", string(noise)):    "not a SQLite database",
		path("short.db", "hello"):          "not a SQLite database",
		dir:                                "it is a directory",
		filepath.Join(dir, "no", "dir.db"): "the file can't be made: no such file or directory",
		filepath.Join(dir, "text.db", "x"): "not a directory",
		filepath.Join(dir, "x\x00y.db"):    "invalid argument",
	} {
		_, err := Open(t.Context(), p, Options{Migrate: true})
		wantRefusal(t, err, p, why)
		_, _, err = Migrate(t.Context(), p)
		wantRefusal(t, err, p, why)
	}
}

// schema is the version that this program wants: the last of its migrations.
var schema = func() int64 {
	all, _ := migrations.ReadDir("migrations")
	return int64(len(all))
}()

func TestOpenWithoutMigrating(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	_, err := Open(t.Context(), path, Options{})
	wantRefusal(t, err, path, "there is no such file, `sallyport migrate` makes it")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("refusing has made the file (%v)", err)
	}
	must(t, os.WriteFile(path, nil, 0o600))
	_, err = Open(t.Context(), path, Options{})
	wantRefusal(t, err, path, fmt.Sprintf("its schema has version 0 and this program wants %d, `sallyport migrate`", schema))
}

func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	wantVersions := func(current, wanted int64) {
		t.Helper()
		c, w, err := Versions(t.Context(), path)
		must(t, err)
		if c != current || w != wanted {
			t.Errorf("versions are %d and %d, want %d and %d", c, w, current, wanted)
		}
	}
	wantVersions(0, schema)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("asking for the version has made the file (%v)", err)
	}
	for _, from := range []int64{0, schema} {
		f, to, err := Migrate(t.Context(), path)
		must(t, err)
		if f != from || to != schema {
			t.Errorf("migrated from %d to %d, want %d to %d", f, to, from, schema)
		}
	}
	wantVersions(schema, schema)
	db, err := Open(t.Context(), path, Options{})
	must(t, err)
	wantVersions(schema, schema)
	must(t, db.CommitActivity(t.Context(), batchMaker(1)(), true))
	must(t, db.Close())
}

func TestOpenRefusesAnotherSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "newer.db")
	_, _, err := Migrate(t.Context(), path)
	must(t, err)
	exec(t, raw(t, path), fmt.Sprintf(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1)`, schema+1))
	for _, opts := range []Options{{}, {Migrate: true}} {
		_, err = Open(t.Context(), path, opts)
		wantRefusal(t, err, path, fmt.Sprintf("its schema has version %d and this program knows none above %d", schema+1, schema))
	}
	_, _, err = Migrate(t.Context(), path)
	wantRefusal(t, err, path, fmt.Sprintf("its schema has version %d", schema+1))
	current, wanted, err := Versions(t.Context(), path)
	must(t, err)
	if current != schema+1 || wanted != schema {
		t.Errorf("versions are %d and %d, want %d and %d", current, wanted, schema+1, schema)
	}

	path = filepath.Join(t.TempDir(), "other.db")
	exec(t, raw(t, path), `CREATE TABLE bookmarks (url TEXT)`)
	_, err = Open(t.Context(), path, Options{Migrate: true})
	wantRefusal(t, err, path, "it holds the tables of another program")
	_, _, err = Versions(t.Context(), path)
	wantRefusal(t, err, path, "it holds the tables of another program")
}

// TestOpenRefusesCorruption overwrites pages in the middle of a file that is
// otherwise sound.
func TestOpenRefusesCorruption(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := openTestFile(t, path)
	newBatch := batchMaker(256)
	for range 4 {
		must(t, db.CommitActivity(t.Context(), newBatch(), false))
	}
	must(t, db.Close())
	sound, err := os.ReadFile(path)
	must(t, err)

	const page = 4096
	for name, spoil := range map[string]func([]byte) []byte{
		"noise":   func(b []byte) []byte { _, _ = rand.Read(b[len(b)/2/page*page:][:4*page]); return b },
		"zeros":   func(b []byte) []byte { clear(b[len(b)/2/page*page:][:4*page]); return b },
		"cut off": func(b []byte) []byte { return b[:len(b)/2/page*page] },
		"swapped": func(b []byte) []byte { copy(b[20*page:24*page], b[40*page:44*page]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			must(t, os.WriteFile(path, spoil(append([]byte(nil), sound...)), 0o600))
			_, err := Open(t.Context(), path, Options{Migrate: true})
			wantRefusal(t, err, path, "it is corrupt, restore it from a backup")
		})
	}
	db = openTestFile(t, path)
	must(t, db.Ping(t.Context()))
}

func TestOpenRefusesWhatCantBeWritten(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("permissions don't bind root")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	_, _, err := Migrate(t.Context(), path)
	must(t, err)

	must(t, os.Chmod(path, 0o400))
	_, err = Open(t.Context(), path, Options{Migrate: true})
	wantRefusal(t, err, path, "the file can't be written")
	must(t, os.Chmod(path, 0o600))

	must(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { must(t, os.Chmod(dir, 0o700)) })
	_, err = Open(t.Context(), path, Options{Migrate: true})
	wantRefusal(t, err, path, "the file or its directory can't be written")
	fresh := filepath.Join(dir, "fresh.db")
	_, err = Open(t.Context(), fresh, Options{Migrate: true})
	wantRefusal(t, err, fresh, "the file can't be made: permission denied")
}

func TestOpenObeysItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, filepath.Join(t.TempDir(), "test.db"), Options{Migrate: true})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
}

// TestDiskFull: what doesn't fit is refused whole, and once there is room again
// all goes on as if nothing had been.
func TestDiskFull(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	setPages := func(pages string) {
		t.Helper()
		must(t, db.writer.acquire(ctx))
		defer db.writer.release()
		_, err := db.writer.conn.ExecContext(ctx, `PRAGMA max_page_count = `+pages)
		must(t, err)
	}
	newBatch := batchMaker(256)
	committed := newBatch()
	must(t, db.CommitActivity(ctx, committed, true))
	org := committed[0].Row.OrgID

	setPages("1") // which SQLite raises to what is in use
	for range 3 {
		err := db.CommitActivity(ctx, newBatch(), false)
		wantFull(t, err)
	}
	wantFull(t, fill(db, newBatch))
	must(t, db.Ping(ctx))
	rows, err := db.Activities(ctx, store.ActivityFilter{OrgID: org}, store.Page{Limit: 1000})
	must(t, err)
	last := rows[0].Record.Seq
	if int(last) != len(rows) {
		t.Errorf("%d rows have the last seq %d", len(rows), last)
	}

	setPages("1000000")
	batch := newBatch()
	must(t, db.CommitActivity(ctx, batch, true))
	if got := batch[0].Row.Seq; got != last+1 {
		t.Errorf("the first seq after the disk was full is %d, want %d", got, last+1)
	}
}

// fill commits single rows until one is refused.
func fill(db *DB, newBatch func() []store.ActivityChange) error {
	for {
		for _, change := range newBatch() {
			if err := db.CommitActivity(context.Background(), []store.ActivityChange{change}, false); err != nil {
				return err
			}
		}
	}
}

func wantFull(t *testing.T, err error) {
	t.Helper()
	const full = 13 // SQLITE_FULL
	if err == nil || primary(codeOf(err)) != full {
		t.Fatalf("error is %v, want that of a full disk", err)
	}
	for _, answer := range []error{store.ErrNotFound, store.ErrConflict, store.ErrNotEmpty} {
		if errors.Is(err, answer) {
			t.Fatalf("error is %v, which is an answer", err)
		}
	}
}
