//go:build linux

package faults

import (
	"context"
	"database/sql"
	"testing"

	_ "modernc.org/sqlite" // the driver

	"sallyport/client/sallyport"
)

// openDatabase opens a server's database as another program would. The test's
// own process must not have a server that has it open: closing a file drops the
// locks that the process holds on it.
func openDatabase(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=rw&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// checkSeqs checks that the numbers of all changes of the organisation that has
// the execs are 1, 2, 3 and so on: two for each exec, one for any other row.
func checkSeqs(t testing.TB, path string, execs int) {
	t.Helper()
	db := openDatabase(t, path)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT type, written_seq, seq FROM activity`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	taken := map[int64]int{}
	found := 0
	for rows.Next() {
		var kind string
		var written, last int64
		if err := rows.Scan(&kind, &written, &last); err != nil {
			t.Fatal(err)
		}
		taken[written]++
		if kind != sallyport.ActivityExec {
			continue
		}
		found++
		taken[last]++
		if last <= written {
			t.Errorf("an exec was written as %d and completed as %d", written, last)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if found != execs {
		t.Errorf("%d rows of execs, want %d", found, execs)
	}
	for seq := range int64(len(taken)) {
		if taken[seq+1] != 1 {
			t.Errorf("seq %d is given to %d changes", seq+1, taken[seq+1])
		}
	}
}

// lock takes a database's write lock and keeps it until unlock is called.
func lock(t testing.TB, path string) (unlock func()) {
	t.Helper()
	db := openDatabase(t, path)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		conn.Close()
		db.Close()
	}
}
