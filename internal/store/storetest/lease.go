package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// over is the life of a lease that ends at once.
const over = -time.Second

// testLeases demands that a lease lasts until it is over, can be renewed until somebody
// ends it, and taken again.
func testLeases(t *testing.T, e Engine) {
	ctx := t.Context()
	wantEqual(t, value(e.Replicas(ctx))(t), []string{})
	wantError(t, e.RenewLease(ctx, "b", time.Hour), store.ErrLeaseLost)
	must(t, e.EndLease(ctx, "b"))
	for _, replica := range []string{"b", "a", "c", "b"} {
		must(t, e.TakeLease(ctx, replica, "", time.Hour))
	}
	wantEqual(t, value(e.Replicas(ctx))(t), []string{"a", "b", "c"})

	must(t, e.RenewLease(ctx, "b", over))
	wantEqual(t, value(e.Replicas(ctx))(t), []string{"a", "c"})
	must(t, e.RenewLease(ctx, "b", time.Hour)) // nobody has ended it yet
	wantEqual(t, value(e.Replicas(ctx))(t), []string{"a", "b", "c"})
	must(t, e.EndLease(ctx, "b"))
	wantError(t, e.RenewLease(ctx, "b", time.Hour), store.ErrLeaseLost)
	wantEqual(t, value(e.Replicas(ctx))(t), []string{"a", "c"})

	must(t, e.RenewLease(ctx, "c", over))
	value(e.AdoptActs(ctx, "a", 9))(t)
	wantError(t, e.RenewLease(ctx, "c", time.Hour), store.ErrLeaseLost)
	must(t, e.TakeLease(ctx, "c", "", time.Hour))
	wantEqual(t, value(e.Replicas(ctx))(t), []string{"a", "c"})
}

// testReplicaURLs demands that a replica is found by its lease while that lasts, with the
// URL that it has taken it with.
func testReplicaURLs(t *testing.T, e Engine) {
	ctx := t.Context()
	_, err := e.ReplicaURL(ctx, "a")
	wantError(t, err, store.ErrNotFound)
	must(t, e.TakeLease(ctx, "a", "https://192.0.2.1:7443", time.Hour))
	must(t, e.TakeLease(ctx, "b", "", time.Hour))
	must(t, e.RenewLease(ctx, "a", time.Hour))
	wantEqual(t, value(e.ReplicaURL(ctx, "a"))(t), "https://192.0.2.1:7443")
	wantEqual(t, value(e.ReplicaURL(ctx, "b"))(t), "")
	must(t, e.TakeLease(ctx, "a", "https://192.0.2.2:7443", time.Hour))
	wantEqual(t, value(e.ReplicaURL(ctx, "a"))(t), "https://192.0.2.2:7443")

	must(t, e.RenewLease(ctx, "a", over))
	_, err = e.ReplicaURL(ctx, "a")
	wantError(t, err, store.ErrNotFound)
	must(t, e.EndLease(ctx, "b"))
	_, err = e.ReplicaURL(ctx, "b")
	wantError(t, err, store.ErrNotFound)
}

// execOf returns the row of an exec that a replica runs.
func execOf(replica, orgID string) *store.Activity {
	row := newExec(orgID, "ws")
	row.Replica = replica
	return row
}

// testLeaseFencesRows demands that a replica without a lease begins nothing.
func testLeaseFencesRows(t *testing.T, e Engine) {
	ctx := t.Context()
	org := id.New()
	refused, bystander := execOf("a", org), newExec(org, "ws")
	wantError(t, e.CommitActivity(ctx, write(bystander, refused), true), store.ErrLeaseLost)
	wantEqual(t, []int64{bystander.Seq, refused.Seq}, []int64{0, 0})
	wantEqual(t, len(running(ctx, t, e)), 0)

	must(t, e.TakeLease(ctx, "a", "", time.Hour))
	row := execOf("a", org)
	must(t, e.CommitActivity(ctx, write(row), true))
	wantEqual(t, value(e.Activity(ctx, org, row.ID))(t), *row)
	must(t, e.EndLease(ctx, "a"))
	wantError(t, e.CommitActivity(ctx, write(refused), true), store.ErrLeaseLost)
	// What it ran it may complete, as long as nobody else has.
	end := completion(row, 0)
	must(t, e.CommitActivity(ctx, []store.ActivityChange{end}, true))
	wantEqual(t, end.Row.Seq, int64(2))
}

// adopted returns the rows as AdoptActs does: without what their acts were begun with.
func adopted(rows ...*store.Activity) []store.Activity {
	bare := []store.Activity{}
	for _, row := range rows {
		row := *row
		row.ActBegun, row.ExecBegun, row.DenialBegun = sallyport.ActBegun{}, sallyport.ExecBegun{}, sallyport.DenialBegun{}
		bare = append(bare, row)
	}
	return bare
}

// testAdoptActs demands that the running rows of who has no lease are adopted, whatever
// they are of, once, and are their old replica's no more.
func testAdoptActs(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := id.New(), id.New()
	_, err := e.AdoptActs(ctx, "a", 9)
	wantError(t, err, store.ErrLeaseLost)
	for _, replica := range []string{"a", "b", "c"} {
		must(t, e.TakeLease(ctx, replica, "", time.Hour))
	}
	mine, theirs, dead, ended := execOf("a", org), execOf("b", org), execOf("c", other), execOf("c", org)
	nobodys := newExec(org, "ws")
	terminal := execOf("c", org)
	terminal.Type, terminal.Class = "terminal", store.ClassTerminal
	must(t, e.CommitActivity(ctx, write(mine, theirs, dead, ended, nobodys, terminal), true))
	must(t, e.CommitActivity(ctx, []store.ActivityChange{completion(ended, 0)}, true))
	nobodys.Replica, dead.Replica, terminal.Replica = "a", "a", "a"
	wantEqual(t, value(e.AdoptActs(ctx, "a", 9))(t), adopted(nobodys))

	// Some at a time, the oldest first.
	must(t, e.RenewLease(ctx, "c", over))
	wantEqual(t, value(e.AdoptActs(ctx, "a", 1))(t), adopted(dead))
	wantEqual(t, value(e.AdoptActs(ctx, "a", 1))(t), adopted(terminal))
	wantEqual(t, value(e.AdoptActs(ctx, "a", 1))(t), adopted())
	wantEqual(t, value(e.Activity(ctx, other, dead.ID))(t), *dead) // it still has its argv

	was := *dead
	was.Replica = "c"
	late := completion(&was, 0)
	must(t, e.CommitActivity(ctx, []store.ActivityChange{late}, true))
	wantEqual(t, late.Row.Seq, int64(0)) // it is another's now
	end := completion(dead, 1)
	must(t, e.CommitActivity(ctx, []store.ActivityChange{end}, true))
	wantEqual(t, value(e.Activity(ctx, other, dead.ID))(t), *withWritten(end.Row, dead.WrittenSeq))
	must(t, e.RenewLease(ctx, "b", time.Hour))
	wantEqual(t, value(e.Activity(ctx, org, theirs.ID))(t), *theirs)
}

func withWritten(row *store.Activity, seq int64) *store.Activity {
	row.WrittenSeq = seq
	return row
}

// testAdoptConcurrently demands that each exec of a dead replica has one adopter, and
// that what it still begins meanwhile is refused or adopted.
func testAdoptConcurrently(t *testing.T, e Engine) {
	ctx := t.Context()
	org := id.New()
	adopters := []string{"a", "b", "c"}
	for _, replica := range append(adopters, "dead") {
		must(t, e.TakeLease(ctx, replica, "", time.Hour))
	}
	var group sync.WaitGroup
	var mu sync.Mutex // guards what follows
	begun, adopterOf := map[string]bool{}, map[string]string{}
	group.Go(func() {
		for i := range 40 {
			row := execOf("dead", org)
			err := e.CommitActivity(ctx, write(row), i%2 == 0)
			mu.Lock()
			if err == nil {
				begun[row.ID] = true
			}
			mu.Unlock()
		}
	})
	must(t, e.RenewLease(ctx, "dead", over))
	adopt := func(replica string) {
		for _, row := range value(e.AdoptActs(ctx, replica, 7))(t) {
			mu.Lock()
			if by := adopterOf[row.ID]; by != "" {
				t.Errorf("exec %s was adopted by %s and by %s", row.ID, by, replica)
			}
			adopterOf[row.ID] = replica
			mu.Unlock()
		}
	}
	for _, replica := range adopters {
		group.Go(func() {
			for range 5 {
				adopt(replica)
			}
		})
	}
	group.Wait()
	for was := -1; was < len(adopterOf); {
		was = len(adopterOf)
		adopt("a")
	}
	wantEqual(t, len(adopterOf), len(begun))
	for _, row := range running(ctx, t, e) {
		if adopterOf[row.ID] == "" || row.Replica != adopterOf[row.ID] {
			t.Errorf("exec %s is %s's, and was adopted by %q", row.ID, row.Replica, adopterOf[row.ID])
		}
	}
}

// testQuota demands that no more of a class run than a quota lets, counted for each
// organisation and each workspace, in one batch and over many.
func testQuota(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := id.New(), id.New()
	begin := func(quotas ...*store.Quota) (rows []*store.Activity) {
		var batch []store.ActivityChange
		for i, q := range quotas {
			row := newExec(org, fmt.Sprintf("ws-%d", i%2))
			rows = append(rows, row)
			batch = append(batch, store.ActivityChange{Row: row, Quota: q})
		}
		must(t, e.CommitActivity(ctx, batch, true))
		return rows
	}
	quotas := func(n, ofWorkspace, ofOrg int) (qs []*store.Quota) {
		for range n {
			qs = append(qs, &store.Quota{OfWorkspace: ofWorkspace, OfOrg: ofOrg})
		}
		return qs
	}
	over := func(qs []*store.Quota) (over []store.QuotaVerdict) {
		for _, q := range qs {
			over = append(over, q.Verdict)
		}
		return over
	}
	kept, ofWorkspace, ofOrg := store.WithinQuota, store.WorkspaceFull, store.OrgFull

	transfer := newExec(org, "ws-0")
	transfer.Type, transfer.Class = "file_read", store.ClassTransfer
	must(t, e.CommitActivity(ctx, write(newExec(other, "ws-0"), transfer, newRow(org, "ws-0", sallyport.ActivityExec)), true)) // not counted
	qs := quotas(6, 2, 3)                                                                                                      // for ws-0 and ws-1 in turn
	rows := begin(qs...)
	wantEqual(t, over(qs), []store.QuotaVerdict{kept, kept, kept, ofOrg, ofWorkspace, ofOrg})
	wantEqual(t, []int64{rows[2].Seq, rows[3].Seq}, []int64{5, 0})
	wantEqual(t, len(running(ctx, t, e)), 5)

	qs = quotas(2, 2, 5)
	begin(qs...)
	wantEqual(t, over(qs), []store.QuotaVerdict{ofWorkspace, kept})

	// An end makes room, in the same batch too, and a quota that is over takes no key.
	claim := claimOf(start(), "body")
	full := store.ActivityChange{Row: newExec(org, "ws-0"), Quota: &store.Quota{OfWorkspace: 2, OfOrg: 9}, Claim: claim}
	must(t, e.CommitActivity(ctx, []store.ActivityChange{full}, true))
	wantEqual(t, full.Quota.Verdict, ofWorkspace)
	must(t, e.CommitActivity(ctx, []store.ActivityChange{completion(rows[0], 0), full}, true))
	wantEqual(t, full.Quota.Verdict, kept)
	if claim.Taken != nil {
		t.Errorf("the key is %+v's", claim.Taken)
	}
}

// testQuotaConcurrently demands the same of many who begin at once.
func testQuotaConcurrently(t *testing.T, e Engine) {
	const most = 7
	org := id.New()
	var group sync.WaitGroup
	quotas := make([]*store.Quota, 24)
	for i := range quotas {
		quotas[i] = &store.Quota{OfWorkspace: most, OfOrg: 100}
		group.Go(func() {
			change := store.ActivityChange{Row: newExec(org, "ws"), Quota: quotas[i]}
			if err := e.CommitActivity(t.Context(), []store.ActivityChange{change}, i%2 == 0); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	kept := slices.DeleteFunc(quotas, func(q *store.Quota) bool { return q.Verdict != store.WithinQuota })
	wantEqual(t, len(kept), most)
	wantEqual(t, len(running(t.Context(), t, e)), most)
}
