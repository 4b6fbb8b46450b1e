package postgres

import (
	"sync"
	"testing"
	"time"

	"sallyport/internal/store"
)

// TestFloodOfChanges: whoever floods one organisation with changes of its records keeps
// neither a lease from being renewed, which would end every tenant's execs, nor another
// organisation's execs from their rows.
func TestFloodOfChanges(t *testing.T) {
	db := openURL(t, migrated(t))
	org, ws, _ := newTenant(t, db)
	must(t, db.TakeLease(t.Context(), "me", "", time.Hour))
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 1000 { // a token's burst (limits.RequestBurst)
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default: // most find no connection in time
					_, _ = db.UpdateWorkspace(t.Context(), org.ID, ws.ID, func(*store.Workspace) (store.ActivityChange, error) { return note(org.ID), nil })
				}
			}
		})
	}
	<-time.After(2 * operationTime)
	for range 5 {
		must(t, db.RenewLease(t.Context(), "me", time.Hour))
		must(t, db.CommitActivity(t.Context(), []store.ActivityChange{note("other")}, true))
		must(t, db.Ping(t.Context()))
	}
	close(stop)
	group.Wait()
}

// TestFloodOfListings: whoever reads through long logs again and again keeps nobody from
// being proven or found.
func TestFloodOfListings(t *testing.T) {
	db := openURL(t, migrated(t))
	org, ws, tok := newTenant(t, db)
	pool := db.listings
	stop, held := make(chan struct{}), make(chan struct{}, 2*connsListing)
	var group sync.WaitGroup
	for range 2 * connsListing { // each takes as long as a statement may
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, _ = ask(t.Context(), pool, system, scanText, `SELECT pg_sleep(1)::text`)
				select {
				case held <- struct{}{}:
				default:
				}
			}
		})
	}
	<-held
	for range 20 {
		_, err := db.TokenByHash(t.Context(), tok.Hash)
		must(t, err)
		_, err = db.Workspace(t.Context(), org.ID, ws.ID)
		must(t, err)
	}
	close(stop)
	group.Wait()
}
