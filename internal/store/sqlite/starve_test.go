package sqlite

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// TestFloodOfListings: while every connection for listings, and for events, is taken,
// tokens and workspaces are looked up, rows are written and readiness is answered.
func TestFloodOfListings(t *testing.T) {
	db := openTestFile(t, filepath.Join(t.TempDir(), "test.db"))
	now := time.Now()
	org := store.Org{ID: id.New(), Name: "o", CreatedAt: now}
	row := func() store.ActivityChange {
		return store.ActivityChange{Row: &store.Activity{Activity: sallyport.Activity{ID: id.New(), OrgID: org.ID, CreatedAt: now}}}
	}
	must(t, db.CreateOrg(t.Context(), org, row()))
	ws := store.Workspace{ID: id.New(), OrgID: org.ID, Name: "w", CreatedAt: now, UpdatedAt: now}
	must(t, db.CreateWorkspace(t.Context(), ws, 0, row()))
	tok := store.Token{ID: id.New(), OrgID: org.ID, Hash: [32]byte{1}, CreatedAt: now}
	must(t, db.CreateToken(t.Context(), tok, 0, row()))
	for range connsListing {
		conn, err := db.listings.Conn(t.Context())
		must(t, err)
		defer conn.Close()
	}
	for range connsEvents {
		conn, err := db.events.Conn(t.Context())
		must(t, err)
		defer conn.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // never passes
	defer cancel()
	kept := row()
	for what, act := range map[string]func() error{
		"a token by its secret": func() error { _, err := db.TokenByHash(ctx, tok.Hash); return err },
		"a token by its id":     func() error { _, err := db.Token(ctx, org.ID, "", tok.ID); return err },
		"a workspace":           func() error { _, err := db.Workspace(ctx, org.ID, "w"); return err },
		"an organisation":       func() error { _, err := db.Org(ctx, org.ID); return err },
		"the last seq":          func() error { _, err := db.LastSeq(ctx, org.ID); return err },
		"the CA's keys":         func() error { _, err := db.CAKeys(ctx, "org"); return err },
		"the leases":            func() error { _, err := db.Replicas(ctx); return err },
		"readiness":             func() error { return db.Ping(ctx) },
		"a row": func() error {
			if err := db.CommitActivity(ctx, []store.ActivityChange{kept}, true); err != nil {
				return err
			}
			_, err := db.Activity(ctx, org.ID, kept.Row.ID)
			return err
		},
	} {
		if err := act(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
