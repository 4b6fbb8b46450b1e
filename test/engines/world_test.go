// Package engines measures what the engines of the store are for the rooms above them: how
// many rows the activity log takes, and how long the proof of a caller lasts.
package engines

import (
	"context"
	"flag"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/id"
	"sallyport/internal/identity"
	"sallyport/internal/principal"
	"sallyport/internal/store"
	"sallyport/internal/store/postgres"
	"sallyport/internal/store/sqlite"
	_ "sallyport/test/apart"
	"sallyport/test/pg"
)

// What make bench sets. What make test runs shows that it works, and nothing of speed.
var (
	benchRound = flag.Duration("bench-round", 20*time.Millisecond, "length of one round of rows")
	benchRuns  = flag.Int("bench-runs", 20, "proofs of each kind to time")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pg.Main(m)) }

// engine is a store, as far as it is measured.
type engine interface {
	audit.Store
	identity.Store
	CreateOrg(ctx context.Context, org store.Org, change store.ActivityChange) error
	CreateWorkspace(ctx context.Context, ws store.Workspace, most int, change store.ActivityChange) error
	CreateToken(ctx context.Context, token store.Token, most int, change store.ActivityChange) error
	TakeLease(ctx context.Context, replica, url string, life time.Duration) error
	Workspace(ctx context.Context, orgID, ref string) (store.Workspace, error)
	Close() error
}

// world is an engine with an organisation, its workspace and a token of it.
type world struct {
	engine
	name    string
	replica string
	org     store.Org
	ws      store.Workspace
	// header is what the token's holder presents.
	header []string
}

// newWorlds returns one for each engine.
func newWorlds(t testing.TB) []*world {
	t.Helper()
	lite, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "bench.db"), sqlite.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	url := pg.Start(t).Database(t)
	shared, err := postgres.Open(t.Context(), url, postgres.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	worlds := []*world{{engine: lite, name: "SQLite"}, {engine: shared, name: "PostgreSQL"}}
	for _, w := range worlds {
		t.Cleanup(func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
		w.fill(t)
	}
	return worlds
}

func (w *world) fill(t testing.TB) {
	t.Helper()
	now, minted := time.Now(), identity.Mint(principal.Org)
	w.replica = id.New()
	w.org = store.Org{ID: id.New(), Name: "acme", CreatedAt: now}
	w.ws = store.Workspace{
		ID: id.New(), OrgID: w.org.ID, Name: "web", Tier: sallyport.TierFullHost,
		Connector: &sallyport.Connector{Type: sallyport.ConnectorLocal}, CreatedAt: now, UpdatedAt: now,
	}
	token := store.Token{
		ID: id.New(), OrgID: w.org.ID, Prefix: minted.Prefix, Hash: minted.Hash, Scopes: sallyport.DefaultScopes(), CreatedAt: now,
	}
	w.header = []string{"Bearer " + minted.Secret}
	for _, err := range []error{
		w.TakeLease(t.Context(), w.replica, "", time.Hour),
		w.CreateOrg(t.Context(), w.org, w.note()),
		w.CreateWorkspace(t.Context(), w.ws, 0, w.note()),
		w.CreateToken(t.Context(), token, 0, w.note()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// note is a row that is complete.
func (w *world) note() store.ActivityChange {
	return store.ActivityChange{Row: &store.Activity{Activity: sallyport.Activity{
		ID: id.New(), OrgID: w.org.ID, Type: sallyport.ActivityOrgCreated, Status: sallyport.StatusOK, CreatedAt: time.Now(),
	}}}
}

func quantile(d []time.Duration, q float64) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[min(int(float64(len(d))*q), len(d)-1)]
}

func median(f []float64) float64 {
	f = slices.Sorted(slices.Values(f))
	return f[len(f)/2]
}
