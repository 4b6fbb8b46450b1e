package postgres

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"sallyport/test/pg"
)

// schema is the version that this program wants: the last of its migrations.
var schema = func() int64 {
	all, _ := migrations.ReadDir("migrations")
	return int64(len(all))
}()

// wantRefusal demands one line that says why and names the database, but no password.
func wantRefusal(t *testing.T, err error, why ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", why)
	}
	text := err.Error()
	for _, part := range why {
		if !strings.Contains(text, part) {
			t.Errorf("error is %q, want %q in it", text, part)
		}
	}
	if strings.Contains(text, "\n") {
		t.Errorf("error is %q, want one line", text)
	}
	wantNoSecret(t, err)
}

// wantNoSecret demands of an error, and of all that it wraps, that no password is in it.
func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		if strings.Contains(fmt.Sprintf("%v %+v", err, err), pg.Password) {
			t.Errorf("error %q shows the password", err)
		}
	}
}

func TestMigrate(t *testing.T) {
	url := pg.Start(t).Database(t)
	wantVersions := func(current int64) {
		t.Helper()
		c, w, err := Versions(t.Context(), url)
		must(t, err)
		if c != current || w != schema {
			t.Errorf("versions are %d and %d, want %d and %d", c, w, current, schema)
		}
	}
	wantVersions(0)
	_, err := Open(t.Context(), url, Options{})
	wantRefusal(t, err, fmt.Sprintf("its schema has version 0 and this program wants %d, `sallyport migrate`", schema), `database "test_`, "at 127.0.0.1:")
	wantVersions(0)
	for _, from := range []int64{0, schema} {
		f, to, err := Migrate(t.Context(), url)
		must(t, err)
		if f != from || to != schema {
			t.Errorf("migrated from %d to %d, want %d to %d", f, to, from, schema)
		}
	}
	db, err := Open(t.Context(), url, Options{})
	must(t, err)
	wantVersions(schema)
	newTenant(t, db)
	must(t, db.Close())
}

// TestMigrateTogether: replicas that start together migrate once, and those of different
// databases don't get into each other's way over the roles that these share.
func TestMigrateTogether(t *testing.T) {
	s := pg.StartOwn(t) // on which there are no roles yet
	urls := []string{s.Database(t), s.Database(t)}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			db, err := Open(t.Context(), urls[i%2], Options{Migrate: true})
			if err != nil {
				t.Error(err)
				return
			}
			newTenant(t, db)
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, url := range urls {
		var applied int64
		must(t, raw(t, url).QueryRow(t.Context(), `SELECT count(*) FROM goose_db_version WHERE version_id > 0`).Scan(&applied))
		if applied != schema {
			t.Errorf("%d migrations were applied, want %d", applied, schema)
		}
	}
}

// TestNewerSchema: the version before goes on serving while a newer one has migrated,
// unless that says that it can't.
func TestNewerSchema(t *testing.T) {
	s := pg.Start(t)
	url := s.Database(t)
	_, _, err := Migrate(t.Context(), url)
	must(t, err)
	s.Admin(t, url, fmt.Sprintf(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, true)`, schema+1))
	for _, migrate := range []bool{false, true} {
		db, err := Open(t.Context(), url, Options{Migrate: migrate})
		must(t, err)
		newTenant(t, db)
		must(t, db.Close())
	}
	if from, to, err := Migrate(t.Context(), url); err != nil || from != schema+1 || to != schema+1 {
		t.Errorf("migrated from %d to %d (%v)", from, to, err)
	}
	s.Admin(t, url, fmt.Sprintf(`INSERT INTO schema_floor VALUES (%d)`, schema))
	db, err := Open(t.Context(), url, Options{})
	must(t, err)
	must(t, db.Close())
	s.Admin(t, url, fmt.Sprintf(`INSERT INTO schema_floor VALUES (%d)`, schema+1))
	for _, migrate := range []bool{false, true} {
		_, err = Open(t.Context(), url, Options{Migrate: migrate})
		wantRefusal(t, err, fmt.Sprintf("its schema has version %d, which programs that know none above %d can't use", schema+1, schema))
	}
}

// TestRolesNeeded: a login role that may not make the roles is told what an
// administrator must run, and that is enough.
func TestRolesNeeded(t *testing.T) {
	s := pg.StartOwn(t)
	url := s.Database(t)
	s.Admin(t, url, `ALTER ROLE tester NOCREATEROLE`)
	const sql = `CREATE ROLE sallyport_tenant NOLOGIN; GRANT sallyport_tenant TO "tester"; CREATE ROLE sallyport_system NOLOGIN; GRANT sallyport_system TO "tester"`
	for range 2 {
		_, err := Open(t.Context(), url, Options{Migrate: true})
		wantRefusal(t, err, "the login role tester can't become the roles", "an administrator must run: "+sql)
	}
	s.Admin(t, url, strings.Split(sql, "; ")...)
	newTenant(t, openURL(t, url))

	s.Admin(t, url, `REVOKE sallyport_system FROM tester`)
	for _, migrate := range []bool{false, true} {
		_, err := Open(t.Context(), url, Options{Migrate: migrate})
		wantRefusal(t, err, `an administrator must run: GRANT sallyport_system TO "tester"`)
	}
}

func TestOpenRefuses(t *testing.T) {
	s := pg.Start(t)
	url := s.Database(t)
	for _, bad := range []string{
		"postgres://tester:" + pg.Password + "@localhost:port/db",
		"postgres://tester:" + pg.Password + "/x@localhost/db",
		"postgres://tester:" + pg.Password + "@localhost/db?sslmode=perhaps",
		"postgres://tester:" + pg.Password + "@localhost/db?pool_max_conns=many",
		"postgres://tester:" + pg.Password + "@x/" + pg.Password + "@localhost/db",
		"postgres://tester:" + pg.Password + "@x?" + pg.Password + "@localhost/db",
		"postgres://tester:x@" + pg.Password + "#y@localhost/db",
		"postgres://tester:x@" + pg.Password + "/y@localhost/db",
		"password=" + pg.Password + " host",
		"host=localhost password='" + pg.Password,
		pg.Password,
		"://" + pg.Password,
	} {
		_, err := Open(t.Context(), bad, Options{})
		wantRefusal(t, err, "the database's URL can't be read")
		_, _, err = Migrate(t.Context(), bad)
		wantRefusal(t, err, "the database's URL can't be read")
		_, _, err = Versions(t.Context(), bad)
		wantRefusal(t, err, "the database's URL can't be read")
	}
	for bad, why := range map[string]string{
		strings.Replace(url, pg.Password, pg.Password+"x", 1):      "password authentication failed",
		strings.Replace(url, "/test_", "/missing_", 1):             "does not exist",
		strings.Replace(url, s.Addr, "127.0.0.1:1,127.0.0.1:2", 1): "127.0.0.1:1,127.0.0.1:2",
	} {
		_, err := Open(t.Context(), bad, Options{Migrate: true})
		wantRefusal(t, err, why, "open database")
		_, _, err = Versions(t.Context(), bad)
		wantRefusal(t, err, why)
	}
}
