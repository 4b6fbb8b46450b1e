package server

import (
	"context"
	"fmt"
	"os"
	"time"

	"sallyport/internal/administration"
	"sallyport/internal/audit"
	"sallyport/internal/datadir"
	"sallyport/internal/feed"
	"sallyport/internal/gateway"
	"sallyport/internal/id"
	"sallyport/internal/identity"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/peer"
	"sallyport/internal/replica"
	"sallyport/internal/store"
	"sallyport/internal/store/postgres"
	"sallyport/internal/store/sqlite"
)

// engine is a store: all that its users need of it.
type engine interface {
	administration.OrgStore
	administration.WorkspaceStore
	administration.TokenStore
	gateway.ActivityStore
	administration.CAStore
	gateway.LeaseStore
	gateway.AttachmentStore
	audit.Store
	feed.Store
	identity.Store
	keys.CAStore
	peer.Leases
	replica.Store

	AllCAKeys(ctx context.Context, page store.Page) ([]store.Positioned[keys.CAKey], error)
	OrgsWithoutCA(ctx context.Context, most int) ([]string, error)
	StaleMachines(ctx context.Context, most int) ([]store.StaleMachine, error)
	ForgetSharedCA(ctx context.Context) error
	HasSealed(ctx context.Context) (bool, error)
	SealedKeys(ctx context.Context, page store.Page) ([]store.Positioned[store.SealedKey], error)
	ResealWorkspaceKey(ctx context.Context, workspaceID string, was, sealed []byte) error
	RevokeTokensNamed(ctx context.Context, orgID, name string, at time.Time) error
	Ping(ctx context.Context) error
	Close() error
}

// openStore opens the store, and makes this server one of its replicas.
func (s *server) openStore(ctx context.Context, dir *datadir.Dir) (err error) {
	if s.cfg.Store.URL != "" {
		return s.openShared(ctx)
	}
	if err := s.mayBeginAnew(dir); err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, dir.Database(), sqlite.Options{Migrate: s.cfg.Store.Migrate, OnChange: s.bus.ActivityChanged})
	if err != nil {
		return err
	}
	s.onClose(db.Close)
	s.store, s.storeBytes = db, db.Bytes
	return s.takeLease(ctx)
}

// mayBeginAnew refuses a data directory that has lost its database, or the database's log,
// unless the operator wants to go on without: to begin anew in silence would be to lose
// all organisations, tokens and the activity log without a word.
func (s *server) mayBeginAnew(dir *datadir.Dir) error {
	lost := storeLost(dir)
	switch {
	case lost == nil:
		return nil
	case !s.cfg.Store.New:
		return lost
	}
	s.log.Warn("the store is begun anew, or goes on without its last changes, as --new-store says", "cause", lost)
	return sqlite.GiveUp(dir.Database())
}

// storeLost says what a data directory has lost, and what to do about it; nil is nothing.
// The seal is made when the database is there, so where there is one there was the other.
func storeLost(dir *datadir.Dir) error {
	_, err := os.Lstat(datadir.SealFile(dir.Path))
	if err := sqlite.Lost(dir.Database(), err == nil); err != nil {
		return fmt.Errorf("%w: restore it from a backup (sallyport restore), or start once with --new-store to go on without it", err)
	}
	return nil
}

// openShared opens the store that other servers may have open as well.
func (s *server) openShared(ctx context.Context) error {
	db, err := postgres.Open(ctx, s.cfg.Store.URL, postgres.Options{Migrate: s.cfg.Store.Migrate, OnChange: s.bus.ActivityChanged})
	if err != nil {
		return err
	}
	s.onClose(db.Close)
	s.store = db
	s.storeBytes = func() (map[string]int64, error) { return nil, nil } // they are PostgreSQL's to watch
	if s.cfg.BusURL == "" {
		s.log.Warn("other servers on the same database are not told what happens here: give all of them the same bus.url")
	}
	s.replica = &replica.Replica{ID: id.New(), URL: s.peerURL, Store: db, Log: s.log}
	s.replicaID = s.replica.ID
	if err := s.replica.Join(ctx); err != nil {
		return err
	}
	s.onClose(func() error { return s.replica.Leave(context.WithoutCancel(ctx)) })
	return s.deleteSharedCA(ctx, db)
}

// deleteSharedCA deletes the private keys of the SSH CA that all organisations shared,
// unless another server is alive: one of the version before logs in with them.
func (s *server) deleteSharedCA(ctx context.Context, db *postgres.DB) error {
	alive, err := db.Replicas(ctx)
	if err != nil || len(alive) > 1 {
		return err
	}
	return db.DeleteSharedCAKeys(ctx)
}

// takeLease makes this server the one replica of its store: no other has the data
// directory, so that whoever has a lease is dead.
func (s *server) takeLease(ctx context.Context) error {
	others, err := s.store.Replicas(ctx)
	if err != nil {
		return err
	}
	for _, dead := range others {
		if err := s.store.EndLease(ctx, dead); err != nil {
			return err
		}
	}
	s.replicaID = id.New()
	return s.store.TakeLease(ctx, s.replicaID, "", limits.LeaseAloneTime)
}
