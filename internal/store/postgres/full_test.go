package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport/internal/store"
	"sallyport/test/pg"
)

// TestOutOfConnections: a database that makes no more connections is served with those
// that there are: rows are written, tokens looked up, leases renewed, and the store is
// ready, however many ask. That a slow machine had too little time for one of them says
// nothing of connections: it asks again.
func TestOutOfConnections(t *testing.T) {
	s := pg.StartOwn(t)
	url := s.Database(t)
	db := openURL(t, url)
	org, ws, tok := newTenant(t, db)
	must(t, db.TakeLease(t.Context(), "me", "", time.Hour))
	must(t, db.Ping(t.Context()))
	has := db.readers.Stat().TotalConns() + db.own.Stat().TotalConns() + db.writers.Stat().TotalConns() + db.listings.Stat().TotalConns()
	s.Admin(t, url, fmt.Sprintf(`ALTER ROLE tester CONNECTION LIMIT %d`, has))
	var group sync.WaitGroup
	for what, act := range map[string]func() error{
		"a row":       func() error { return db.CommitActivity(t.Context(), []store.ActivityChange{note(org.ID)}, true) },
		"a token":     func() error { _, err := db.TokenByHash(t.Context(), tok.Hash); return err },
		"a workspace": func() error { _, err := db.Workspace(t.Context(), org.ID, ws.ID); return err },
		"a lease":     func() error { return db.RenewLease(t.Context(), "me", time.Hour) },
		"readiness":   func() error { return db.Ping(t.Context()) },
	} {
		for range 10 {
			group.Go(func() {
				for range 5 {
					if err := inTime(act); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
			})
		}
	}
	group.Wait()
}

// inTime calls act until it has had the time it needs.
func inTime(act func() error) error {
	for {
		if err := act(); !errors.Is(err, errSlow) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}
