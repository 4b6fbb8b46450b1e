package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// note is the change that goes with one of an organisation's.
func note(orgID string) store.ActivityChange {
	return store.ActivityChange{Row: newExec(orgID)}
}

func newExec(orgID string) *store.Activity {
	row := &store.Activity{Activity: sallyport.Activity{
		ID: id.New(), OrgID: orgID, WorkspaceID: id.New(), Type: sallyport.ActivityExec, Status: sallyport.StatusRunning,
		Actor: "org-token:sp_org_abcdefgh", Summary: "true", CreatedAt: time.Now(),
	}}
	row.Argv, row.Class = []string{"true"}, store.ClassExec
	return row
}

// newTenant makes an organisation with a record in every table that an organisation has.
func newTenant(t testing.TB, db *DB) (store.Org, store.Workspace, store.Token) {
	t.Helper()
	org := store.Org{ID: id.New(), CreatedAt: time.Now()}
	org.Name = org.ID[24:]
	ws := store.Workspace{ID: id.New(), OrgID: org.ID, Name: "web", Tier: 3, CreatedAt: time.Now(), UpdatedAt: time.Now(), SealedKey: []byte("k")}
	tok := store.Token{ID: id.New(), OrgID: org.ID, Name: "ci", Scopes: sallyport.DefaultScopes(), CreatedAt: time.Now()}
	copy(tok.Hash[:], tok.ID[4:])
	must(t, db.CreateOrg(t.Context(), org, note(org.ID)))
	must(t, db.CreateWorkspace(t.Context(), ws, 0, note(org.ID)))
	must(t, db.CreateToken(t.Context(), tok, 0, note(org.ID)))
	must(t, db.AddFirstCAKey(t.Context(), keys.CAKey{ID: id.New(), OrgID: org.ID, PublicKey: "ssh-ed25519 " + org.ID, Sealed: []byte("x"), CreatedAt: time.Now()}))
	attachment := store.Attachment{ID: id.New(), OrgID: org.ID, WorkspaceID: ws.ID, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
	must(t, db.ReserveAttachment(t.Context(), attachment, store.AttachmentRoom{Bytes: 1, Count: 1}))
	claim := &store.Claim{Bodies: [][]byte{{1}}, At: time.Now(), Life: time.Hour}
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Row: newExec(org.ID), Claim: claim}}, true))
	return org, ws, tok
}

// fillCommon fills the tables that are no organisation's.
func fillCommon(t testing.TB, db *DB) {
	t.Helper()
	must(t, db.run(t.Context(), system, func(s *statements) {
		s.add(`INSERT INTO ca_keys (id, public_key, sealed, created_at) VALUES ('k', 'k', '', 1)`)
		s.add(`INSERT INTO retired_ca_keys (public_key, retired_at) VALUES ('k', 1)`)
	}))
	must(t, db.TakeLease(t.Context(), "a", "", time.Hour))
	must(t, db.CreateSession(t.Context(), store.Session{ExpiresAt: time.Now().Add(time.Hour)}, time.Now(), 1))
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{note("")}, true))
}

// raw connects as the login role that the program has.
func raw(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

// tables are all that hold records, by what the database itself says, and what names an
// organisation in each.
func tables(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	found := map[string]string{}
	rows, err := conn.Query(t.Context(), `
		SELECT c.relname, coalesce((SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attname = 'org_id'),
			CASE c.relname WHEN 'orgs' THEN 'id' ELSE '' END), relrowsecurity AND relforcerowsecurity
		FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
			AND relname NOT IN ('goose_db_version', 'schema_floor')`)
	must(t, err)
	var table, column string
	var walled bool
	_, err = pgx.ForEachRow(rows, []any{&table, &column, &walled}, func() error {
		found[table] = column
		if !walled {
			t.Errorf("table %s has no row-level security that its owner can't pass", table)
		}
		return nil
	})
	must(t, err)
	if len(found) < 9 {
		t.Fatalf("there are %d tables, which can't be all", len(found))
	}
	return found
}

// as runs a query in a transaction that first becomes somebody.
func as(t *testing.T, conn *pgx.Conn, become, query string, args ...any) (n int64, err error) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	must(t, err)
	defer func() { must(t, tx.Rollback(t.Context())) }()
	if become != "" {
		_, err = tx.Exec(t.Context(), become)
		must(t, err)
	}
	if strings.HasPrefix(query, "SELECT") {
		err = tx.QueryRow(t.Context(), query, args...).Scan(&n)
		return n, err
	}
	tag, err := tx.Exec(t.Context(), query, args...)
	return tag.RowsAffected(), err
}

func isRefused(err error) bool { return codeOf(err) == codePrivilege }

// TestNobodySeesNothing: who forgets to say for which organisation it asks gets nothing
// from any table, and neither does the tables' own owner.
func TestNobodySeesNothing(t *testing.T) {
	url := migrated(t)
	db, conn := openURL(t, url), raw(t, url)
	newTenant(t, db)
	fillCommon(t, db)
	for table := range tables(t, conn) {
		count := `SELECT count(*) FROM ` + table
		if n, err := as(t, conn, `SET LOCAL ROLE sallyport_system`, count); err != nil || n == 0 {
			t.Errorf("%s: the system sees %d rows (%v), so there is nothing to hide", table, n, err)
		}
		for _, become := range []string{
			"", // the login role, which owns the tables and is a member of both roles
			`SET LOCAL ROLE sallyport_tenant`,
			`SET LOCAL ROLE sallyport_tenant; SET LOCAL sallyport.org_id = ''`,
			`SET LOCAL ROLE sallyport_tenant; SET LOCAL sallyport.org_id = 'nobody'`,
		} {
			if n, err := as(t, conn, become, count); n != 0 || err != nil && !isRefused(err) {
				t.Errorf("%s: %q sees %d rows (%v)", table, become, n, err)
			}
			if n, err := as(t, conn, become, `DELETE FROM `+table); n != 0 || err != nil && !isRefused(err) {
				t.Errorf("%s: %q deletes %d rows (%v)", table, become, n, err)
			}
		}
	}
}

// TestTenantSeesItsOwn: an organisation's rows and no other's, of the tables that it
// has rows in; the others are refused.
func TestTenantSeesItsOwn(t *testing.T) {
	url := migrated(t)
	db, conn := openURL(t, url), raw(t, url)
	mine, _, _ := newTenant(t, db)
	newTenant(t, db)
	fillCommon(t, db)
	hidden := []string{"org_ca_keys", "ca_keys", "retired_ca_keys", "leases", "sessions", "idempotency_keys", "goose_db_version", "schema_floor"}
	become := `SET LOCAL ROLE sallyport_tenant; SET LOCAL sallyport.org_id = '` + mine.ID + `'`
	for table, column := range tables(t, conn) {
		if slices.Contains(hidden, table) {
			continue
		}
		all, err := as(t, conn, become, `SELECT count(*) FROM `+table)
		must(t, err)
		own, err := as(t, conn, `SET LOCAL ROLE sallyport_system`, `SELECT count(*) FROM `+table+` WHERE `+column+` = $1`, mine.ID)
		must(t, err)
		if all != own || own == 0 {
			t.Errorf("%s: it sees %d rows, and %d are its own", table, all, own)
		}
	}
	for _, table := range hidden {
		if n, err := as(t, conn, become, `SELECT count(*) FROM `+table); !isRefused(err) {
			t.Errorf("%s: it sees %d rows (%v)", table, n, err)
		}
	}
	// What the engine itself asks is held as well, if it forgets whose rows it wants.
	found, err := ask(t.Context(), db.readers, tenant(mine.ID), column.ScanWorkspace, selectWorkspaces)
	must(t, err)
	if len(found) != 1 || found[0].Record.OrgID != mine.ID {
		t.Errorf("without a condition it finds %+v", found)
	}
	found, err = ask(t.Context(), db.readers, tenant(""), column.ScanWorkspace, selectWorkspaces)
	if err != nil || len(found) != 0 {
		t.Errorf("for nobody it finds %+v (%v)", found, err)
	}
}

// TestTenantWritesItsOwn: another's row can be neither changed nor made, nor one's own
// made another's.
func TestTenantWritesItsOwn(t *testing.T) {
	url := migrated(t)
	db, conn := openURL(t, url), raw(t, url)
	mine, _, _ := newTenant(t, db)
	other, _, _ := newTenant(t, db)
	become := `SET LOCAL ROLE sallyport_tenant; SET LOCAL sallyport.org_id = '` + mine.ID + `'`
	for query, want := range map[string]string{
		`UPDATE workspaces SET name = 'mine' WHERE org_id = '$other'`:    "0",
		`UPDATE workspaces SET tier = 1`:                                 "1",
		`UPDATE workspaces SET org_id = '$other' WHERE org_id = '$mine'`: "refused",
		`DELETE FROM workspaces WHERE org_id = '$other'`:                 "0",
		`UPDATE tokens SET revoked_at = 1`:                               "1",
		`UPDATE tokens SET org_id = '$other'`:                            "refused",
		`INSERT INTO tokens (id, org_id, name, prefix, hash, scopes, created_at) VALUES ('x', '$other', 'x', 'x', 'x', '[]', 1)`: "refused",
		`INSERT INTO tokens (id, org_id, name, prefix, hash, scopes, created_at) VALUES ('x', '$mine', 'x', 'x', 'x', '[]', 1)`:  "1",
		`INSERT INTO workspaces (id, org_id, name, tier, labels, connector_version, created_at, updated_at)
			VALUES ('x', '$other', 'x', 1, '{}', 1, 1, 1)`: "refused",
		`UPDATE attachments SET size = 1`:                 "1",
		`UPDATE attachments SET org_id = '$other'`:        "refused",
		`DELETE FROM attachments WHERE org_id = '$other'`: "0",
		`UPDATE orgs SET name = 'x'`:                      "refused",
		`UPDATE activity SET status = 'ok'`:               "refused",
		`UPDATE activity_counters SET last_seq = 0`:       "refused",
		`INSERT INTO leases VALUES ('x', now())`:          "refused",
		`CREATE TABLE mine (x int)`:                       "refused",
	} {
		query = strings.NewReplacer("$other", other.ID, "$mine", mine.ID).Replace(query)
		n, err := as(t, conn, become, query)
		got := fmt.Sprint(n)
		if isRefused(err) {
			got = "refused"
		} else if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\nis %s, want %s", query, got, want)
		}
	}
}

// TestNothingStaysOnAConnection: whose statements were is over with them.
func TestNothingStaysOnAConnection(t *testing.T) {
	db := openURL(t, migrated(t)+"&pool_max_conns=2") // one that reads, one that writes
	org, ws, _ := newTenant(t, db)
	look := func(when string, p *pool) {
		t.Helper()
		var user, login, orgID string
		must(t, p.QueryRow(t.Context(), `SELECT current_user, session_user, coalesce(current_setting('sallyport.org_id', true), '')`).
			Scan(&user, &login, &orgID))
		if user != login || orgID != "" {
			t.Errorf("%s: the connection is %s's of %q", when, user, orgID)
		}
	}
	_, err := db.Workspace(t.Context(), org.ID, ws.ID)
	must(t, err)
	look("after a read", db.readers)
	_, err = ask(t.Context(), db.readers, tenant(org.ID), scanText, `SELECT 'x'::int::text`)
	if err == nil {
		t.Error("no error")
	}
	look("after a read that failed", db.readers)
	must(t, db.RevokeTokensNamed(t.Context(), org.ID, "none", time.Now()))
	look("after a change", db.writers)
	if err := db.DeleteWorkspace(t.Context(), org.ID, id.New(), note(org.ID)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	look("after a change that failed", db.writers)
	for range connsOwn {
		must(t, db.CommitActivity(t.Context(), []store.ActivityChange{note(org.ID)}, true))
		look("after a row", db.own)
	}
}
