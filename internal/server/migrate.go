package server

import (
	"context"
	"errors"

	"sallyport/internal/store/sqlite"
)

// Migrate brings the store's schema up to date, while no server has it open, and
// returns its version before and after.
func Migrate(ctx context.Context, cfg Config) (from, to int64, err error) {
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return sqlite.Migrate(ctx, dir.database())
}
