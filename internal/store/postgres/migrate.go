package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Of several that migrate at the same time one does, and the others look again each
// second, for as long as a long migration may take.
const (
	lockSeconds = 1
	lockLooks   = 10 * 60
)

// codeUndefinedTable is of a database that has no tables of ours.
const codeUndefinedTable = "42P01"

// Migrate makes the tables of the database that the URL names, or brings them up to
// date; the roles that row-level security goes by too, where they are missing. It
// returns the versions of the schema before and after.
func Migrate(ctx context.Context, url string) (from, to int64, err error) {
	d, err := parse(url)
	if err != nil {
		return 0, 0, err
	}
	v, err := d.bringUpToDate(ctx, true)
	if err != nil {
		return 0, 0, fmt.Errorf("migrate database %s: %w", d.name, oneLine(err))
	}
	return v.current, max(v.current, v.wanted), nil
}

// Versions returns the version of the schema of the database that the URL names, 0 if
// it has none, and the version that this program wants. It changes nothing.
func Versions(ctx context.Context, url string) (current, wanted int64, err error) {
	d, err := parse(url)
	if err != nil {
		return 0, 0, err
	}
	var v versions
	err = d.withPool(func(pool *sql.DB, provider *goose.Provider) error {
		v, err = versionsOf(ctx, pool, provider)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("read schema version of database %s: %w", d.name, oneLine(err))
	}
	return v.current, v.wanted, nil
}

// versions are those of a schema: the one that a database has, the one that this
// program wants, and the lowest with which a program can use the database.
type versions struct{ current, wanted, floor int64 }

// check refuses a schema with which this program can't work. A newer one is no obstacle
// by itself: while replicas are replaced one by one, the version before goes on serving.
func (v versions) check() error {
	switch {
	case v.current < v.wanted:
		return fmt.Errorf("its schema has version %d and this program wants %d, `sallyport migrate` brings it up to date",
			v.current, v.wanted)
	case v.floor > v.wanted:
		return fmt.Errorf("its schema has version %d, which programs that know none above %d can't use, use a newer sallyport",
			v.current, v.floor-1)
	}
	return nil
}

// bringUpToDate applies the migrations that are missing, if migrate is set, and refuses
// a database that this program can't use then. It returns the versions as they were
// before.
func (d database) bringUpToDate(ctx context.Context, migrate bool) (before versions, err error) {
	err = d.withPool(func(pool *sql.DB, provider *goose.Provider) error {
		if before, err = versionsOf(ctx, pool, provider); err != nil {
			return err
		}
		if before.floor > before.wanted || !migrate {
			if err := before.check(); err != nil {
				return err
			}
		}
		if err := takeRoles(ctx, pool, migrate); err != nil {
			return err
		}
		if before.current >= before.wanted {
			return nil
		}
		if _, err := provider.Up(ctx); err != nil {
			return fmt.Errorf("migrate from version %d to %d: %w", before.current, before.wanted, err)
		}
		return nil
	})
	return before, err
}

// withPool lends connections that are for no other use: a migration may take longer
// than what serves requests.
func (d database) withPool(use func(*sql.DB, *goose.Provider) error) (err error) {
	config := d.config.ConnConfig.Copy()
	setDefault(config, "application_name", "sallyport migrate")
	pool := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, pool.Close()) }()
	provider, err := newProvider(pool)
	if err != nil {
		return err
	}
	return use(pool, provider)
}

// newProvider reads the migrations of this program. Nothing is registered and nothing
// logged globally.
func newProvider(pool *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockSeconds, lockLooks))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, pool, dir, goose.WithSessionLocker(locker),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
}

// versionsOf asks the database itself: the provider's own methods would make their
// table where it is missing.
func versionsOf(ctx context.Context, pool *sql.DB, provider *goose.Provider) (versions, error) {
	sources := provider.ListSources()
	v := versions{wanted: sources[len(sources)-1].Version}
	err := pool.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+goose.DefaultTablename).Scan(&v.current)
	if err == nil && v.current > 0 {
		err = pool.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM schema_floor`).Scan(&v.floor)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == codeUndefinedTable {
		return v, nil
	}
	if err != nil {
		return versions{}, fmt.Errorf("read its schema version: %w", err)
	}
	return v, nil
}
