package postgres

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// TestReplicasCommitTogether: several replicas commit to the same logs, in batches that
// name organisations in different orders, among changes of the organisations themselves.
// None waits for ever, each log's seqs have no gap, and its listings are in their order.
func TestReplicasCommitTogether(t *testing.T) {
	const rounds = 25
	url := migrated(t)
	replicas := []*DB{openURL(t, url), openURL(t, url), openURL(t, url)}
	var orgs []string
	for range 4 {
		org, _, _ := newTenant(t, replicas[0])
		orgs = append(orgs, org.ID)
	}
	orgs = append(orgs, id.New(), id.New(), "") // whose logs are new
	var group sync.WaitGroup
	for n, db := range replicas {
		must(t, db.TakeLease(t.Context(), fmt.Sprint(n), "", time.Hour))
		for range 3 {
			group.Go(func() { commitRounds(t, db, fmt.Sprint(n), orgs, rounds) })
		}
		group.Go(func() {
			for i := range rounds {
				org := orgs[(n+i)%4]
				ws := store.Workspace{ID: id.New(), OrgID: org, Name: id.New(), CreatedAt: time.Now(), UpdatedAt: time.Now()}
				if err := db.CreateWorkspace(t.Context(), ws, 0, note(org)); err != nil {
					t.Error(err)
				}
				if err := db.DeleteWorkspace(t.Context(), org, ws.ID, note(org)); err != nil {
					t.Error(err)
				}
				if _, err := db.AdoptActs(t.Context(), fmt.Sprint(n), 9); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for _, org := range orgs {
		wantGapless(t, replicas[0], org)
	}
}

// commitRounds begins an exec in each log, and completes those of the round before.
func commitRounds(t *testing.T, db *DB, replica string, orgs []string, rounds int) {
	var begun []*store.Activity
	orgs = slices.Clone(orgs)
	for i := range rounds {
		if slices.Reverse(orgs); i%3 == 0 {
			orgs = append(orgs[1:], orgs[0])
		}
		var batch []store.ActivityChange
		for _, row := range begun {
			done := *row
			done.Status = sallyport.StatusOK
			batch = append(batch, store.ActivityChange{Complete: true, Row: &done})
		}
		begun = nil
		for _, org := range orgs {
			row := newExec(org)
			row.Replica = replica
			begun = append(begun, row)
			batch = append(batch, store.ActivityChange{Row: row, Quota: &store.Quota{OfWorkspace: 1 << 20, OfOrg: 1 << 20}})
		}
		if err := db.CommitActivity(t.Context(), batch, i%4 == 0); err != nil {
			t.Error(err)
			return
		}
		for _, change := range batch {
			if change.Row.Seq == 0 {
				t.Errorf("a change of %+v took no seq", change)
			}
		}
	}
}

// wantGapless demands that each seq of a log up to the last was taken once.
func wantGapless(t *testing.T, db *DB, org string) {
	t.Helper()
	last, err := db.LastSeq(t.Context(), org)
	must(t, err)
	after := int64(0)
	for {
		events, err := db.Events(t.Context(), org, store.Page{After: after, Limit: 500})
		must(t, err)
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if e.Position != after+1 {
				t.Fatalf("of %q seq %d follows %d", org, e.Position, after)
			}
			after = e.Position
		}
	}
	if after != last || last == 0 {
		t.Errorf("of %q there are %d events, and the last seq is %d", org, after, last)
	}
}

// TestStoppedReplica: one that stops in the midst of a commit, when it holds a log's
// lock, holds the others up for no longer than idleTime.
func TestStoppedReplica(t *testing.T) {
	url := migrated(t)
	stopped, db := openURL(t, url), openURL(t, url)
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{note("a")}, true))
	holds, done := make(chan struct{}), make(chan error)
	goOn := make(chan struct{})
	go func() {
		done <- stopped.transact(t.Context(), true, func(tx *tx) error {
			if err := tx.send(func(s *statements) { system.enter(s); lockLogs(s, "a") }); err != nil {
				return err
			}
			close(holds)
			<-goOn
			return tx.commit(func(*statements) {})
		})
	}()
	<-holds
	began := time.Now()
	if err := db.CommitActivity(t.Context(), []store.ActivityChange{note("b")}, true); err != nil {
		t.Errorf("another log waits too: %v", err)
	}
	for {
		err := db.CommitActivity(t.Context(), []store.ActivityChange{note("a")}, true)
		if err == nil {
			break
		}
		if time.Since(began) > 2*idleTime+operationTime {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
	}
	close(goOn)
	if err := <-done; err == nil {
		t.Error("the one that had stopped has committed")
	}
	wantGapless(t, db, "a")
}

// TestLeaseClock: a lease is over by the database's clock, whatever a replica's says.
func TestLeaseClock(t *testing.T) {
	url := migrated(t)
	db, conn := openURL(t, url), raw(t, url)
	must(t, db.TakeLease(t.Context(), "a", "", time.Hour))
	var seconds float64
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), `SET LOCAL ROLE sallyport_system`)
	must(t, err)
	must(t, tx.QueryRow(t.Context(), `SELECT extract(epoch FROM expires_at - clock_timestamp()) FROM leases`).Scan(&seconds))
	must(t, tx.Rollback(t.Context()))
	if seconds < 3590 || seconds > 3600 {
		t.Errorf("it lasts %v seconds", seconds)
	}
}

// TestDurability: a commit that need not be on disk doesn't wait for it, and the next one
// on its connection does.
func TestDurability(t *testing.T) {
	db := openTest(t)
	for _, durable := range []bool{false, true, false, true} {
		level := ""
		must(t, db.transact(t.Context(), durable, func(tx *tx) error {
			err := tx.send(func(s *statements) {
				s.query(func(row column.Scanner) (err error) {
					level, err = scanText(row)
					return err
				}, `SELECT current_setting('synchronous_commit')`)
			})
			if err != nil {
				return err
			}
			return tx.commit(func(*statements) {})
		}))
		if want := map[bool]string{false: "off", true: "on"}[durable]; level != want {
			t.Errorf("durable=%t commits at level %s, want %s", durable, level, want)
		}
	}
}

// TestOnChange: each commit that changed a log is told, once for each organisation, and
// no other.
func TestOnChange(t *testing.T) {
	var told []string
	db, err := Open(t.Context(), migrated(t),
		Options{Migrate: true, OnChange: func(orgID string) { told = append(told, orgID) }})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	take := func(want ...string) {
		t.Helper()
		slices.Sort(told)
		slices.Sort(want)
		if !slices.Equal(told, want) {
			t.Errorf("told of %q, want %q", told, want)
		}
		told = nil
	}
	a, b := store.Org{ID: id.New(), Name: "a", CreatedAt: time.Now()}, id.New()
	must(t, db.CreateOrg(t.Context(), a, note(a.ID)))
	take(a.ID)
	if err := db.CreateOrg(t.Context(), store.Org{ID: id.New(), Name: "a", CreatedAt: time.Now()}, note(b)); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("error %v", err)
	}
	take()
	second := newExec(b)
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{note(a.ID), {Row: second}, note(a.ID)}, false))
	take(a.ID, b)
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Complete: true, Row: newExec(b)}}, false))
	take()
	second.Status = sallyport.StatusOK
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Complete: true, Row: second}}, false))
	take(b)
}

// TestTextThatCannotBeHeld: PostgreSQL's text holds no NUL and nothing but UTF-8. A row
// is written all the same, and what is looked for with such a name isn't there.
func TestTextThatCannotBeHeld(t *testing.T) {
	const bad = "a\x00b\xff"
	db := openTest(t)
	org, _, _ := newTenant(t, db)
	row := newExec(org.ID)
	row.Summary, row.Actor, row.Argv, row.Cwd, row.Reason = bad, bad, []string{bad, "é\u2028<"}, bad, bad
	must(t, db.CommitActivity(t.Context(), []store.ActivityChange{{Row: row}}, true))
	got, err := db.Activity(t.Context(), org.ID, row.ID)
	must(t, err)
	if got.Summary != "a\uFFFDb\uFFFD" || got.Argv[0] != "a\x00b\uFFFD" || got.Argv[1] != row.Argv[1] {
		t.Errorf("it is kept as %q %q", got.Summary, got.Argv)
	}
	found, err := db.Activities(t.Context(), store.ActivityFilter{OrgID: org.ID, Query: "a\x00b"}, store.Page{Limit: 9})
	if err != nil || len(found) != 1 {
		t.Errorf("found %d rows (%v)", len(found), err)
	}
	for what, look := range map[string]func() error{
		"org":       func() error { _, err := db.Org(t.Context(), bad); return err },
		"workspace": func() error { _, err := db.Workspace(t.Context(), org.ID, bad); return err },
		"tenant":    func() error { _, err := db.Workspace(t.Context(), bad, "web"); return err },
		"token":     func() error { _, err := db.Token(t.Context(), bad, bad, bad); return err },
		"row":       func() error { _, err := db.Activity(t.Context(), bad, bad); return err },
	} {
		if err := look(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}
