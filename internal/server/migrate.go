package server

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/store/postgres"
	"sallyport/internal/store/sqlite"
)

// Migrate brings the store's schema up to date, and returns its version before and after.
// A store in the data directory must be open by no server; servers on PostgreSQL may go
// on serving.
func Migrate(ctx context.Context, cfg Config) (from, to int64, err error) {
	if cfg.Store.URL != "" {
		return postgres.Migrate(ctx, cfg.Store.URL)
	}
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return sqlite.Migrate(ctx, dir.database())
}

// mustBeOurs refuses what is done to the files of a store when it has none here.
func (c Config) mustBeOurs(doing, tool string) error {
	if c.Store.URL == "" {
		return nil
	}
	return fmt.Errorf("%s is for SQLite, and the records are in PostgreSQL (store.url): use its own %s", doing, tool)
}
