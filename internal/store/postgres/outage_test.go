package postgres

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"sync"
	"testing"
	"time"

	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/store"
	"sallyport/test/pg"
)

const (
	// answerTime is within what every method answers.
	answerTime = 2 * time.Second
	// recoveryTime is within what every method works again once the database does.
	recoveryTime = 2 * time.Second
)

// calls are all methods that take a context, on records that there are.
func calls(org store.Org, ws store.Workspace, tok store.Token) map[string]func(context.Context, *DB) error {
	type ctx = context.Context
	page := store.Page{Limit: 9}
	only := func(_ any, err error) error { return err }
	either := func(err error, fine ...error) error {
		for _, f := range fine {
			if errors.Is(err, f) {
				return nil
			}
		}
		return err
	}
	return map[string]func(ctx, *DB) error{
		"Ping": func(c ctx, db *DB) error { return db.Ping(c) },
		"CreateOrg": func(c ctx, db *DB) error {
			o := id.New()
			return db.CreateOrg(c, store.Org{ID: o, Name: o, CreatedAt: time.Now()}, note(o))
		},
		"Org":  func(c ctx, db *DB) error { return only(db.Org(c, org.ID)) },
		"Orgs": func(c ctx, db *DB) error { return only(db.Orgs(c, page)) },
		"UpdateOrg": func(c ctx, db *DB) error {
			return only(db.UpdateOrg(c, org.ID, func(*store.Org) (store.ActivityChange, error) { return note(org.ID), nil }))
		},
		"DeleteOrg": func(c ctx, db *DB) error { return either(db.DeleteOrg(c, id.New(), note(org.ID)), store.ErrNotFound) },
		"CreateWorkspace": func(c ctx, db *DB) error {
			w := id.New()
			return db.CreateWorkspace(c, store.Workspace{ID: w, OrgID: org.ID, Name: w, CreatedAt: time.Now(), UpdatedAt: time.Now()}, 0, note(org.ID))
		},
		"Workspace":  func(c ctx, db *DB) error { return only(db.Workspace(c, org.ID, ws.ID)) },
		"Workspaces": func(c ctx, db *DB) error { return only(db.Workspaces(c, org.ID, page)) },
		"UpdateWorkspace": func(c ctx, db *DB) error {
			return only(db.UpdateWorkspace(c, org.ID, ws.ID, func(*store.Workspace) (store.ActivityChange, error) { return note(org.ID), nil }))
		},
		"SealedKeys":         func(c ctx, db *DB) error { return only(db.SealedKeys(c, page)) },
		"ResealWorkspaceKey": func(c ctx, db *DB) error { return db.ResealWorkspaceKey(c, ws.ID, []byte("k"), []byte("k")) },
		"DeleteWorkspace": func(c ctx, db *DB) error {
			return either(db.DeleteWorkspace(c, org.ID, id.New(), note(org.ID)), store.ErrNotFound)
		},
		"CreateToken": func(c ctx, db *DB) error {
			k := store.Token{ID: id.New(), OrgID: org.ID, CreatedAt: time.Now()}
			copy(k.Hash[:], k.ID[4:])
			return db.CreateToken(c, k, 0, note(org.ID))
		},
		"TokenByHash": func(c ctx, db *DB) error { return only(db.TokenByHash(c, tok.Hash)) },
		"Token":       func(c ctx, db *DB) error { return only(db.Token(c, org.ID, "", tok.ID)) },
		"Tokens":      func(c ctx, db *DB) error { return only(db.Tokens(c, org.ID, "", page)) },
		"RevokeToken": func(c ctx, db *DB) error {
			return either(db.RevokeToken(c, org.ID, "", id.New(), time.Now(), note(org.ID)), store.ErrNotFound)
		},
		"RevokeTokensNamed": func(c ctx, db *DB) error { return db.RevokeTokensNamed(c, org.ID, "none", time.Now()) },
		"CreateSession": func(c ctx, db *DB) error {
			s := store.Session{ExpiresAt: time.Now().Add(time.Hour)}
			copy(s.Hash[:], id.New()[4:])
			return db.CreateSession(c, s, time.Now(), 3)
		},
		"SessionByHash": func(c ctx, db *DB) error {
			return either(only(db.SessionByHash(c, tok.Hash)), store.ErrNotFound)
		},
		"DeleteSession":      func(c ctx, db *DB) error { return db.DeleteSession(c, tok.Hash) },
		"CAKeys":             func(c ctx, db *DB) error { return only(db.CAKeys(c, org.ID)) },
		"AllCAKeys":          func(c ctx, db *DB) error { return only(db.AllCAKeys(c, page)) },
		"OrgsWithoutCA":      func(c ctx, db *DB) error { return only(db.OrgsWithoutCA(c, 9)) },
		"StaleMachines":      func(c ctx, db *DB) error { return only(db.StaleMachines(c, 9)) },
		"ForgetSharedCA":     func(c ctx, db *DB) error { return db.ForgetSharedCA(c) },
		"DeleteSharedCAKeys": func(c ctx, db *DB) error { return db.DeleteSharedCAKeys(c) },
		"HasSealed":          func(c ctx, db *DB) error { return only(db.HasSealed(c)) },
		"AddFirstCAKey": func(c ctx, db *DB) error {
			return db.AddFirstCAKey(c, keys.CAKey{ID: id.New(), OrgID: org.ID, PublicKey: id.New(), Sealed: []byte("x"), CreatedAt: time.Now()})
		},
		"ResealCAKey": func(c ctx, db *DB) error { return db.ResealCAKey(c, id.New(), []byte("x")) },
		"RotateCA": func(c ctx, db *DB) error {
			return db.RotateCA(c, org.ID, func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
				next := keys.CAKey{ID: id.New(), OrgID: org.ID, PublicKey: id.New(), Sealed: []byte("x"), CreatedAt: time.Now()}
				return keys.CARotation{Next: next, OthersEndAt: time.Now().Add(time.Hour)}, note(org.ID), nil
			})
		},
		"CommitActivity": func(c ctx, db *DB) error { return db.CommitActivity(c, []store.ActivityChange{note(org.ID)}, true) },
		"Activity":       func(c ctx, db *DB) error { return either(only(db.Activity(c, org.ID, id.New())), store.ErrNotFound) },
		"Activities":     func(c ctx, db *DB) error { return only(db.Activities(c, store.ActivityFilter{}, page)) },
		"Events":         func(c ctx, db *DB) error { return only(db.Events(c, org.ID, store.Page{Limit: 9})) },
		"LastSeq":        func(c ctx, db *DB) error { return only(db.LastSeq(c, org.ID)) },
		"TakeLease":      func(c ctx, db *DB) error { return db.TakeLease(c, "a", "", time.Hour) },
		"RenewLease":     func(c ctx, db *DB) error { return either(db.RenewLease(c, "b", time.Hour), store.ErrLeaseLost) },
		"EndLease":       func(c ctx, db *DB) error { return db.EndLease(c, "c") },
		"Replicas":       func(c ctx, db *DB) error { return only(db.Replicas(c)) },
		"ReplicaURL":     func(c ctx, db *DB) error { return either(only(db.ReplicaURL(c, "a")), store.ErrNotFound) },
		"ReserveAttachment": func(c ctx, db *DB) error {
			a := store.Attachment{ID: id.New(), OrgID: org.ID, WorkspaceID: ws.ID, Name: "a", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
			return db.ReserveAttachment(c, a, store.AttachmentRoom{Bytes: 1, Count: 1 << 20})
		},
		"KeepAttachments": func(c ctx, db *DB) error {
			return either(db.KeepAttachments(c, org.ID, []store.Attachment{{ID: id.New()}}), store.ErrNotFound)
		},
		"Attachment": func(c ctx, db *DB) error {
			return either(only(db.Attachment(c, org.ID, ws.ID, id.New(), time.Now())), store.ErrNotFound)
		},
		"Attachments":             func(c ctx, db *DB) error { return only(db.Attachments(c, org.ID, ws.ID, time.Now(), page)) },
		"DeleteAttachment":        func(c ctx, db *DB) error { return either(db.DeleteAttachment(c, org.ID, id.New()), store.ErrNotFound) },
		"ExpireAttachment":        func(c ctx, db *DB) error { return db.ExpireAttachment(c, org.ID, id.New(), time.Now()) },
		"PostponeAttachment":      func(c ctx, db *DB) error { return db.PostponeAttachment(c, org.ID, id.New(), time.Now()) },
		"ClaimExpiredAttachments": func(c ctx, db *DB) error { return only(db.ClaimExpiredAttachments(c, time.Now(), time.Now(), 9)) },
		"AdoptActs":               func(c ctx, db *DB) error { return either(only(db.AdoptActs(c, "a", 9)), store.ErrLeaseLost) },
	}
}

// TestCallsAreAll keeps the list of calls whole.
func TestCallsAreAll(t *testing.T) {
	have := calls(store.Org{}, store.Workspace{}, store.Token{})
	for i := range reflect.TypeFor[*DB]().NumMethod() {
		m := reflect.TypeFor[*DB]().Method(i)
		if m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]() && have[m.Name] == nil {
			t.Errorf("no call of %s", m.Name)
		}
	}
}

// world is a database with a server of its own.
type world struct {
	server *pg.Server
	url    string
	db     *DB
	calls  map[string]func(context.Context, *DB) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{server: pg.StartOwn(t)}
	w.url = w.server.Database(t)
	w.db = openURL(t, w.url)
	org, ws, tok := newTenant(t, w.db)
	fillCommon(t, w.db)
	w.calls = calls(org, ws, tok)
	return w
}

// wantNoAnswers demands that each method fails in time, one at a time or all at once.
func (w *world) wantNoAnswers(t *testing.T, when string) {
	t.Helper()
	var group sync.WaitGroup
	for name, call := range w.calls {
		group.Go(func() {
			began := time.Now()
			err := call(context.Background(), w.db)
			if took := time.Since(began); took > answerTime {
				t.Errorf("%s: %s took %v", when, name, took)
			}
			if err == nil {
				t.Errorf("%s: %s answers", when, name)
				return
			}
			wantNoSecret(t, err)
			for _, known := range []error{store.ErrNotFound, store.ErrConflict, store.ErrNotEmpty, store.ErrLeaseLost, context.Canceled} {
				if errors.Is(err, known) {
					t.Errorf("%s: %s: error %v is an answer", when, name, err)
				}
			}
		})
	}
	group.Wait()
}

// wantRecovery demands that every method works by itself, soon.
func (w *world) wantRecovery(t *testing.T, when string) {
	t.Helper()
	began := time.Now()
	for name, call := range w.calls {
		for {
			err := call(t.Context(), w.db)
			if err == nil {
				break
			}
			if time.Since(began) > recoveryTime {
				t.Fatalf("%s: %s: %v after %v", when, name, err, time.Since(began))
			}
		}
	}
}

// TestOutages: while the database is silent or gone each method fails within two
// seconds, and works again by itself soon after it is back.
func TestOutages(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	w := newWorld(t)
	w.wantRecovery(t, "at first")

	w.server.Pause()
	w.wantNoAnswers(t, "silent")
	w.wantNoAnswers(t, "still silent")
	w.server.Resume()
	w.wantRecovery(t, "after silence")

	w.server.Stop(t)
	w.wantNoAnswers(t, "stopped")
	w.server.Start(t)
	w.wantRecovery(t, "started")

	w.server.Kill(t)
	w.wantNoAnswers(t, "killed")
	w.server.Start(t)
	w.wantRecovery(t, "after a crash")

	w.server.Pause()
	began := time.Now()
	if err := w.db.Ping(t.Context()); err == nil || time.Since(began) > answerTime {
		t.Errorf("ping: %v after %v", err, time.Since(began))
	}
	began = time.Now()
	if err := w.db.Close(); err != nil || time.Since(began) > answerTime {
		t.Errorf("close: %v after %v", err, time.Since(began))
	}
	w.server.Resume()
}

// TestRestartUnnoticed: a restart between two calls costs none of them its answer,
// although the connections that the pools hold are all dead.
func TestRestartUnnoticed(t *testing.T) {
	w := newWorld(t)
	w.wantRecovery(t, "at first")
	for name, call := range w.calls {
		if testing.Short() && name != "CommitActivity" && name != "TokenByHash" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var group sync.WaitGroup // so that one dead connection lies behind another
			for range 4 {
				group.Go(func() { must(t, w.db.Ping(t.Context())) })
			}
			group.Wait()
			w.server.Admin(t, w.url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tester'`)
			must(t, call(t.Context(), w.db))
		})
	}
	w.server.Restart(t)
	for name, call := range w.calls {
		if err := call(t.Context(), w.db); err != nil {
			t.Errorf("%s after a restart: %v", name, err)
		}
	}
}

// TestReadOnly: a database that takes no writes is told as such.
func TestReadOnly(t *testing.T) {
	url := pg.Start(t).Database(t)
	must(t, openURL(t, url).Ping(t.Context()))
	db, err := Open(t.Context(), url+"&default_transaction_read_only=on", Options{})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	if err := db.Ping(t.Context()); !errors.Is(err, errReadOnly) {
		t.Errorf("ping: %v", err)
	}
}

// TestCommitLost: a commit of which nobody knows whether it was made is an error, and
// its rows have no seq.
func TestCommitLost(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	w := newWorld(t)
	stop, committed := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	rows := make([]*store.Activity, 0, 1000)
	failed := map[string]bool{}
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			row := newExec("a")
			rows = append(rows, row)
			err := w.db.CommitActivity(t.Context(), []store.ActivityChange{{Row: row}}, true)
			failed[row.ID] = err != nil
			if (err == nil) != (row.Seq > 0) {
				t.Errorf("error %v, seq %d", err, row.Seq)
			}
			if err == nil {
				select {
				case committed <- struct{}{}:
				case <-stop:
				}
			}
		}
	})
	for range 3 {
		for range 30 {
			<-committed
		}
		w.server.Kill(t)
		w.server.Start(t)
	}
	<-committed
	close(stop)
	group.Wait()
	last, err := w.db.LastSeq(t.Context(), "a")
	must(t, err)
	kept := map[string]int64{}
	for after := int64(0); after < last; {
		events, err := w.db.Events(t.Context(), "a", store.Page{After: after, Limit: 500})
		must(t, err)
		for _, e := range events {
			if e.Position != after+1 {
				t.Fatalf("seq %d follows %d", e.Position, after)
			}
			after, kept[e.Record.ID] = e.Position, e.Position
		}
	}
	for _, row := range rows {
		if !failed[row.ID] && kept[row.ID] != row.Seq {
			t.Errorf("row %s was committed as %d and is %d", row.ID, row.Seq, kept[row.ID])
		}
	}
	t.Logf("%d rows, %d kept, %d failures", len(rows), len(kept), countTrue(failed))
}

func countTrue(m map[string]bool) (n int) {
	for v := range maps.Values(m) {
		if v {
			n++
		}
	}
	return n
}
