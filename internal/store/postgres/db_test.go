package postgres

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"sallyport/internal/store/storetest"
	_ "sallyport/test/apart"
	"sallyport/test/pg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pg.Main(m)) }

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Engine { return openTest(t) })
}

// openTest opens a new database, which is closed when the test ends.
func openTest(t testing.TB) *DB {
	t.Helper()
	return openURL(t, migrated(t))
}

// migrated returns the URL of a new database that has all tables.
func migrated(t testing.TB) string {
	t.Helper()
	return pg.Start(t).Copy(t, func(url string) error {
		_, _, err := Migrate(t.Context(), url)
		return err
	})
}

// openURL opens a database. On a busy machine PostgreSQL may not answer a login in the
// product's time, which isn't what is tested here.
func openURL(t testing.TB, url string) *DB {
	t.Helper()
	db, err := Open(t.Context(), url, Options{Migrate: true})
	for range 10 {
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
		db, err = Open(t.Context(), url, Options{Migrate: true})
	}
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
