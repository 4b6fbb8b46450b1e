package postgres

import (
	"context"
	"database/sql"
	"slices"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/store"
	"sallyport/test/pg"
)

// TestSharedCA: the SSH CA that all organisations shared is there for the version before,
// and for nobody else; the machines that trust it are known until each has let a server
// in, and both go then.
func TestSharedCA(t *testing.T) {
	s := pg.Start(t)
	url := s.Database(t)
	migrateTo(t, url, 2)
	s.Admin(t, url,
		`INSERT INTO orgs (id, name, created_at) VALUES ('o1', 'acme', 1)`,
		`INSERT INTO workspaces (id, org_id, name, tier, labels, connector, connector_version, host_key, host_key_since, created_at, updated_at) VALUES
			('w1', 'o1', 'default', 3, '{}', '{"type":"ssh"}', 1, 'k', 1, 1, 1),
			('w2', 'o1', 'by-ca', 3, '{}', '{"type":"ssh","auth":{"type":"ca"}}', 1, 'k', 1, 1, 1),
			('w3', 'o1', 'by-key', 3, '{}', '{"type":"ssh","auth":{"type":"key"}}', 1, 'k', 1, 1, 1),
			('w4', 'o1', 'tunnel', 3, '{}', '{"type":"eic"}', 1, 'k', 1, 1, 1),
			('w5', 'o1', 'bare', 3, '{}', NULL, 1, NULL, NULL, 1, 1)`,
		`INSERT INTO ca_keys (id, public_key, sealed, created_at) VALUES ('k1', 'ssh-ed25519 AAAA', 'sealed', 1)`)
	db := openURL(t, url)
	wantStale := func(want ...string) {
		t.Helper()
		var got []string
		found, err := db.StaleMachines(t.Context(), 9)
		must(t, err)
		for _, m := range found {
			got = append(got, m.Org+"/"+m.Workspace)
		}
		if !slices.Equal(got, want) {
			t.Errorf("machines %q, want %q", got, want)
		}
	}
	wantStale("acme/default", "acme/by-ca")
	if sealed, err := askOne(t.Context(), db.readers, system, scanText, `SELECT sealed::text FROM ca_keys WHERE ends_at IS NULL`); err != nil || sealed == "" {
		t.Errorf("the version before finds %q, %v", sealed, err)
	}
	if orgs, err := db.OrgsWithoutCA(t.Context(), 9); err != nil || len(orgs) != 1 {
		t.Errorf("without a CA are %q, %v", orgs, err)
	}
	must(t, db.AddFirstCAKey(t.Context(), keys.CAKey{ID: id.New(), OrgID: "o1", PublicKey: "ssh-ed25519 BBBB", Sealed: []byte("x"), CreatedAt: time.Now()}))
	wantStale("acme/default", "acme/by-ca")

	ran := func(workspace string, exit *int) {
		t.Helper()
		at := time.Now()
		row := &store.Activity{Activity: sallyport.Activity{
			ID: id.New(), OrgID: "o1", WorkspaceID: workspace, Type: sallyport.ActivityExec, Status: sallyport.StatusError,
			CreatedAt: at, CompletedAt: &at,
		}}
		row.ExitCode = exit
		must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Row: row}}, true))
	}
	three := 3
	ran("w1", nil) // it never ran
	wantStale("acme/default", "acme/by-ca")
	ran("w1", &three)
	wantStale("acme/by-ca")
	ran("w2", &three)
	wantStale()
	must(t, db.ForgetSharedCA(t.Context()))
	if n, err := askOne(t.Context(), db.readers, system, scanText, `SELECT ((SELECT count(*) FROM ca_keys) + (SELECT count(*) FROM retired_ca_keys))::text`); err != nil || n != "0" {
		t.Errorf("%s are left, %v", n, err)
	}
}

// migrateTo makes the tables of an earlier version.
func migrateTo(t *testing.T, url string, version int64) {
	t.Helper()
	d, err := parse(url)
	must(t, err)
	must(t, d.withPool(func(pool *sql.DB, provider *goose.Provider) error {
		if err := takeRoles(t.Context(), pool, true); err != nil {
			return err
		}
		_, err := provider.UpTo(context.WithoutCancel(t.Context()), version)
		return err
	}))
}
