package storetest

import (
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// claimOf is the claim of key 1 for a body.
func claimOf(at time.Time, bodies ...string) *store.Claim {
	c := &store.Claim{Hash: [32]byte{1}, At: at, Life: time.Hour}
	for _, b := range bodies {
		c.Bodies = append(c.Bodies, []byte(b))
	}
	return c
}

// testClaims demands that a key is taken with its row or not at all, is an
// organisation's own, is kept for its life, and is given back when a completion says so.
func testClaims(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	begin := func(org string, c *store.Claim) *store.Activity {
		row := newExec(org, id.New())
		must(t, e.CommitActivity(ctx, []store.ActivityChange{{Row: row, Claim: c}}, true))
		return row
	}
	complete := func(row *store.Activity, code int, free bool) {
		end := *row
		end.Status, end.CompletedAt, end.ExitCode = sallyport.StatusError, &row.CreatedAt, &code
		must(t, e.CommitActivity(ctx, []store.ActivityChange{{Complete: true, Row: &end, FreeKey: free}}, false))
	}
	first := claimOf(start(), "now", "before")
	row := begin(org.ID, first)
	if first.Taken != nil || row.Seq == 0 {
		t.Fatalf("a free key is %+v's, seq %d", first.Taken, row.Seq)
	}
	taken := func(org string, c *store.Claim, want *store.Taken) *store.Activity {
		t.Helper()
		last := value(e.LastSeq(ctx, org))(t)
		row := begin(org, c)
		wantEqual(t, c.Taken, want)
		if grown := value(e.LastSeq(ctx, org))(t) - last; (grown == 0) != (want != nil) || (row.Seq == 0) != (want != nil) {
			t.Errorf("%d changes, seq %d, and the key is %+v's", grown, row.Seq, want)
		}
		return row
	}
	seven := 7
	taken(org.ID, claimOf(start(), "now"), &store.Taken{ExecID: row.ID, Status: "running", Same: true})
	taken(org.ID, claimOf(start(), "later", "now"), &store.Taken{ExecID: row.ID, Status: "running", Same: true})
	taken(org.ID, claimOf(start(), "something else"), &store.Taken{ExecID: row.ID, Status: "running"})
	taken(other.ID, claimOf(start(), "now"), nil)
	complete(row, seven, false)
	taken(org.ID, claimOf(start().Add(time.Hour-time.Second), "now"), &store.Taken{ExecID: row.ID, Status: "error", ExitCode: &seven, Same: true})
	next := taken(org.ID, claimOf(start().Add(time.Hour), "now"), nil)
	complete(next, 1, true)
	last := taken(org.ID, claimOf(start().Add(time.Hour), "now"), nil)

	// In one batch with others, and twice in one.
	bystander, again := newExec(org.ID, id.New()), newExec(org.ID, id.New())
	claim := claimOf(start().Add(time.Hour), "now")
	must(t, e.CommitActivity(ctx, []store.ActivityChange{{Row: again, Claim: claim}, {Row: bystander}}, true))
	wantEqual(t, claim.Taken.ExecID, last.ID)
	if bystander.Seq == 0 || again.Seq != 0 {
		t.Errorf("seqs %d and %d", bystander.Seq, again.Seq)
	}
	_, err := e.Activity(ctx, org.ID, again.ID)
	wantError(t, err, store.ErrNotFound)
}

// testClaimedConcurrently demands that one of many has a key.
func testClaimedConcurrently(t *testing.T, e Engine) {
	org := mustOrg(t, e, "acme")
	var group sync.WaitGroup
	claims := make([]*store.Claim, 20)
	for i := range claims {
		claims[i] = claimOf(start(), "body")
		group.Go(func() {
			if err := e.CommitActivity(t.Context(), []store.ActivityChange{{Row: newExec(org.ID, id.New()), Claim: claims[i]}}, true); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	free := 0
	for _, c := range claims {
		if c.Taken == nil {
			free++
		}
	}
	wantEqual(t, free, 1)
	wantEqual(t, len(running(t.Context(), t, e)), 1)
}
