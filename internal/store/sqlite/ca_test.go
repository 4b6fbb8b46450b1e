package sqlite

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/store"
)

// TestSharedCA: the private keys of the SSH CA that all organisations shared go with the
// migration; the machines that trust it are known until each has let a server in.
func TestSharedCA(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	pool, err := openChecked(t.Context(), path, true)
	must(t, err)
	provider, err := newProvider(pool)
	must(t, err)
	_, err = provider.UpTo(t.Context(), orgCAVersion-1)
	must(t, err)
	for _, statement := range []string{
		`INSERT INTO orgs (id, name, created_at) VALUES ('o1', 'acme', 1)`,
		`INSERT INTO workspaces (id, org_id, name, tier, labels, connector, connector_version, host_key, host_key_since, created_at, updated_at) VALUES
			('w1', 'o1', 'default', 3, '{}', '{"type":"ssh"}', 1, 'k', 1, 1, 1),
			('w2', 'o1', 'by-ca', 3, '{}', '{"type":"ssh","auth":{"type":"ca"}}', 1, 'k', 1, 1, 1),
			('w3', 'o1', 'by-key', 3, '{}', '{"type":"ssh","auth":{"type":"key"}}', 1, 'k', 1, 1, 1),
			('w4', 'o1', 'tunnel', 3, '{}', '{"type":"eic"}', 1, 'k', 1, 1, 1),
			('w5', 'o1', 'bare', 3, '{}', NULL, 1, NULL, NULL, 1, 1)`,
		`INSERT INTO ca_keys (id, public_key, sealed, created_at) VALUES ('k1', 'ssh-ed25519 AAAA', x'01', 1)`,
	} {
		_, err := pool.ExecContext(t.Context(), statement)
		must(t, err)
	}
	must(t, pool.Close())
	before, err := Inspect(t.Context(), path, InspectOptions{})
	must(t, err)
	wantMachines(t, "before the migration", before.StaleMachines, "acme/default", "acme/by-ca")

	db, err := Open(t.Context(), path, Options{Migrate: true})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	wantStale := func(want ...string) {
		t.Helper()
		found, err := db.StaleMachines(t.Context(), 9)
		must(t, err)
		wantMachines(t, "the store", found, want...)
		after, err := Inspect(t.Context(), path, InspectOptions{})
		must(t, err)
		wantMachines(t, "an inspection", after.StaleMachines, want...)
	}
	wantStale("acme/default", "acme/by-ca")
	has, err := db.HasSealed(t.Context())
	must(t, err)
	if has {
		t.Error("a key of the shared CA is still there")
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
	wantStale()
}

func wantMachines(t *testing.T, who string, found []store.StaleMachine, want ...string) {
	t.Helper()
	var got []string
	for _, m := range found {
		got = append(got, m.Org+"/"+m.Workspace)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s names machines %q, want %q", who, got, want)
	}
}
