package pg_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	_ "sallyport/test/apart"
	"sallyport/test/pg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pg.Main(m)) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// TestDatabases: each test's is its own, and its login role is no superuser, to whom
// row-level security would not apply.
func TestDatabases(t *testing.T) {
	s := pg.Start(t)
	first, second := s.Database(t), s.Database(t)
	if first == second || pg.Start(t) != s {
		t.Fatalf("databases %s and %s of servers %p and %p", first, second, s, pg.Start(t))
	}
	conn := connect(t, first)
	var super, bypass, makesRoles, owner bool
	if err := conn.QueryRow(t.Context(), `
		SELECT rolsuper, rolbypassrls, rolcreaterole, pg_get_userbyid(datdba) = current_user
		FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()`,
	).Scan(&super, &bypass, &makesRoles, &owner); err != nil {
		t.Fatal(err)
	}
	if super || bypass || !makesRoles || !owner {
		t.Errorf("superuser %t, bypasses %t, makes roles %t, owns %t", super, bypass, makesRoles, owner)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE kept (x int)`); err != nil {
		t.Error(err)
	}
	if _, err := connect(t, second).Exec(t.Context(), `SELECT * FROM kept`); err == nil {
		t.Error("one database has the other's table")
	}
}

// TestFaults: a server that was paused, restarted and killed goes on with what was
// committed.
func TestFaults(t *testing.T) {
	s := pg.StartOwn(t)
	url := s.Database(t)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), `CREATE TABLE kept AS SELECT 1 AS x`); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := pgx.Connect(ctx, url); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is paused: %v", err)
	}
	s.Resume()
	for what, fault := range map[string]func(){
		"resumed":   func() {},
		"restarted": func() { s.Restart(t) },
		"killed":    func() { s.Kill(t); s.Start(t) },
	} {
		fault()
		var x int
		if err := connect(t, url).QueryRow(t.Context(), `SELECT x FROM kept`).Scan(&x); err != nil || x != 1 {
			t.Errorf("%s: %d %v", what, x, err)
		}
	}
	s.Stop(t)
	if _, err := pgx.Connect(t.Context(), url); err == nil {
		t.Error("it answers, stopped")
	}
	s.Start(t)
}
