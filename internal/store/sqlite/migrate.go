package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate makes the database in the file path if there is none, checks it as
// Open does, and brings its schema up to date. It returns the versions before
// and after.
func Migrate(ctx context.Context, path string) (from, to int64, err error) {
	v, err := migrate(ctx, absolute(path))
	if err != nil {
		return 0, 0, fmt.Errorf("migrate database %s: %w", path, explain(err, filepath.Dir(absolute(path))))
	}
	return v.current, v.wanted, nil
}

func migrate(ctx context.Context, path string) (_ versions, err error) {
	pool, err := openChecked(ctx, path, true)
	if err != nil {
		return versions{}, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	return bringUpToDate(ctx, pool, true)
}

// Versions returns the version of the schema of the database in the file path,
// 0 if there is no such file, and the version that this program wants. It
// changes nothing.
func Versions(ctx context.Context, path string) (current, wanted int64, err error) {
	v, err := readVersions(ctx, absolute(path))
	if err != nil {
		return 0, 0, fmt.Errorf("read schema version of database %s: %w", path, explain(err, filepath.Dir(absolute(path))))
	}
	return v.current, v.wanted, nil
}

func readVersions(ctx context.Context, path string) (_ versions, err error) {
	pool, err := openPool(readerDSN(path), 1)
	if err != nil {
		return versions{}, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	provider, err := newProvider(pool)
	if err != nil {
		return versions{}, err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return versions{wanted: wantedVersion(provider)}, nil
	}
	return versionsOf(ctx, pool, provider)
}

// versions are those of a schema: the one that a database has, and the one that
// this program wants.
type versions struct{ current, wanted int64 }

// tooNew is the refusal of a schema that a newer program made.
func (v versions) tooNew() error {
	return fmt.Errorf(
		"its schema has version %d and this program knows none above %d, use the sallyport that wrote it or a newer one",
		v.current, v.wanted)
}

// bringUpToDate applies the migrations that are missing, if migrate is set, and
// refuses a database whose schema is then not what this program wants. It
// returns the versions as they were before.
func bringUpToDate(ctx context.Context, pool *sql.DB, migrate bool) (versions, error) {
	provider, err := newProvider(pool)
	if err != nil {
		return versions{}, err
	}
	v, err := versionsOf(ctx, pool, provider)
	switch {
	case err != nil:
		return versions{}, err
	case v.current > v.wanted:
		return versions{}, v.tooNew()
	case v.current < v.wanted && !migrate:
		return versions{}, fmt.Errorf(
			"its schema has version %d and this program wants %d, `sallyport migrate` brings it up to date",
			v.current, v.wanted)
	}
	if !migrate {
		return v, nil
	}
	if _, err := provider.Up(ctx); err != nil {
		return versions{}, fmt.Errorf("migrate from version %d to %d: %w", v.current, v.wanted, err)
	}
	return v, nil
}

// newProvider reads the migrations of this program. Nothing is registered and
// nothing logged globally.
func newProvider(pool *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, pool, dir,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
}

func wantedVersion(provider *goose.Provider) int64 {
	sources := provider.ListSources()
	return sources[len(sources)-1].Version
}

// versionsOf asks the database itself: the provider's own methods would make
// their table where it is missing.
func versionsOf(ctx context.Context, pool *sql.DB, provider *goose.Provider) (versions, error) {
	v := versions{wanted: wantedVersion(provider)}
	var ours, tables int
	err := pool.QueryRowContext(ctx,
		`SELECT count(*) FILTER (WHERE name = ?), count(*) FROM sqlite_schema WHERE type = 'table'`,
		goose.DefaultTablename).Scan(&ours, &tables)
	switch {
	case err != nil:
		return versions{}, fmt.Errorf("read its schema: %w", err)
	case ours == 0 && tables > 0:
		return versions{}, errors.New("it holds the tables of another program")
	case ours == 0:
		return v, nil
	}
	err = pool.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+goose.DefaultTablename).Scan(&v.current)
	if err != nil {
		return versions{}, fmt.Errorf("read its schema version: %w", err)
	}
	return v, nil
}
