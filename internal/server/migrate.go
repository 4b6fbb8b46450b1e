package server

import (
	"context"
	"errors"

	"sallyport/internal/config"
	"sallyport/internal/datadir"
	"sallyport/internal/store/postgres"
	"sallyport/internal/store/sqlite"
)

// Migrate brings the store's schema up to date, and returns its version before and after.
// A store in the data directory must be open by no server; servers on PostgreSQL may go
// on serving.
func Migrate(ctx context.Context, cfg config.Config) (from, to int64, err error) {
	if cfg.Store.URL != "" {
		return postgres.Migrate(ctx, cfg.Store.URL)
	}
	dir, err := datadir.Open(cfg.DataDir)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := storeLost(dir); err != nil && !cfg.Store.New {
		return 0, 0, err
	}
	return sqlite.Migrate(ctx, dir.Database())
}
