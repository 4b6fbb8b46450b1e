package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"sallyport/internal/id"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const selectOrgs = `SELECT position, id, name, created_at, aws, limits FROM orgs `

// CreateOrg adds an organisation, and change to the activity log.
// ErrConflict if its name is in use.
func (db *DB) CreateOrg(ctx context.Context, org store.Org, change store.ActivityChange) error {
	aws, limits, err := column.Org(org)
	if err != nil {
		return wrap(err, "create organisation %s", org.Name)
	}
	err = db.change(ctx, change, func(ctx context.Context, w *sql.Conn) error {
		result, err := w.ExecContext(ctx,
			`INSERT INTO orgs (id, name, created_at, aws, limits) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
			org.ID, org.Name, column.Time(org.CreatedAt), aws, limits)
		return oneRow(result, err, store.ErrConflict)
	})
	return wrap(err, "create organisation %s", org.Name)
}

// Org returns the organisation with the id or the name ref. ErrNotFound if
// there is none.
func (db *DB) Org(ctx context.Context, ref string) (store.Org, error) {
	by := db.lookups.orgByName
	if id.Is(ref) {
		by = db.lookups.orgByID
	}
	org, err := column.ScanOrg(by.QueryRowContext(ctx, ref))
	return org.Record, wrap(err, "find organisation")
}

// Orgs returns a page of all organisations, oldest first.
func (db *DB) Orgs(ctx context.Context, page store.Page) ([]store.Positioned[store.Org], error) {
	orgs, err := listPage(ctx, db.listings, page, column.ScanOrg,
		selectOrgs+`WHERE position > ? ORDER BY position LIMIT ?`, page.After, limit(page))
	return orgs, wrap(err, "list organisations")
}

// UpdateOrg lets change edit the organisation, and stores its name, AWS
// and limits if change returns nil, along with the activity change that it returned. No other change
// comes between; change must not call the store. It returns the organisation as
// it is then, or change's error as it is, ErrNotFound, or ErrConflict if the new
// name is in use.
func (db *DB) UpdateOrg(
	ctx context.Context, orgID string, change func(*store.Org) (store.ActivityChange, error),
) (store.Org, error) {
	var org store.Org
	err := db.update(ctx, func(ctx context.Context, w *sql.Conn) (store.ActivityChange, error) {
		found, err := column.ScanOrg(w.QueryRowContext(ctx, selectOrgs+`WHERE id = ?`, orgID))
		if err != nil {
			return store.ActivityChange{}, err
		}
		org = found.Record
		activity, err := change(&org)
		if err != nil {
			return store.ActivityChange{}, callerError{err}
		}
		org.ID, org.CreatedAt = found.Record.ID, found.Record.CreatedAt
		aws, limits, err := column.Org(org)
		if err != nil {
			return store.ActivityChange{}, err
		}
		_, err = w.ExecContext(ctx, `UPDATE orgs SET name = ?, aws = ?, limits = ? WHERE id = ?`, org.Name, aws, limits, orgID)
		return activity, nameInUse(err)
	})
	if err != nil {
		return store.Org{}, wrap(err, "update organisation")
	}
	return org, nil
}

// DeleteOrg deletes the organisation and its tokens; its activity stays.
// ErrNotFound if there is none, ErrNotEmpty while it has workspaces.
func (db *DB) DeleteOrg(ctx context.Context, orgID string, change store.ActivityChange) error {
	err := db.change(ctx, change, func(ctx context.Context, w *sql.Conn) error {
		var workspaces bool
		err := w.QueryRowContext(ctx,
			`SELECT EXISTS (SELECT 1 FROM workspaces WHERE org_id = ?)`, orgID).Scan(&workspaces)
		if err != nil {
			return err
		}
		if workspaces {
			return store.ErrNotEmpty
		}
		result, err := w.ExecContext(ctx, `DELETE FROM orgs WHERE id = ?`, orgID)
		return oneRow(result, err, store.ErrNotFound)
	})
	return wrap(err, "delete organisation")
}

// oneRow returns missed if a statement that succeeded has changed nothing.
func oneRow(result sql.Result, err, missed error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	if n == 0 {
		return missed
	}
	return nil
}
