package postgres

import (
	"context"

	"sallyport/internal/id"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const orgColumns = `position, id, name, created_at, aws, limits`

const selectOrgs = `SELECT ` + orgColumns + ` FROM orgs `

// CreateOrg adds an organisation, and change to the activity log.
// ErrConflict if its name is in use.
func (db *DB) CreateOrg(ctx context.Context, org store.Org, change store.ActivityChange) error {
	aws, limits, err := column.Org(org)
	if err != nil {
		return wrap(err, "create organisation %s", org.Name)
	}
	err = db.change(ctx, org.ID, system, change, func(s *statements) {
		// Their order is that of commits, and no log is locked by all who make one.
		s.add(`LOCK TABLE orgs IN SHARE ROW EXCLUSIVE MODE`)
		s.add(`INSERT INTO orgs (id, name, created_at, aws, limits) VALUES ($1, $2, $3, $4, $5)`,
			org.ID, org.Name, column.Time(org.CreatedAt), aws, limits)
	})
	return wrap(err, "create organisation %s", org.Name)
}

// Org returns the organisation with the id or the name ref. ErrNotFound if
// there is none.
func (db *DB) Org(ctx context.Context, ref string) (store.Org, error) {
	as, where := system, `WHERE name = $1`
	if id.Is(ref) {
		as, where = tenant(ref), `WHERE id = $1`
	}
	org, err := askOne(ctx, db.readers, as, column.ScanOrg, selectOrgs+where, ref)
	return org.Record, wrap(err, "find organisation")
}

// Orgs returns a page of all organisations, oldest first.
func (db *DB) Orgs(ctx context.Context, page store.Page) ([]store.Positioned[store.Org], error) {
	of := listing{
		columns: orgColumns, position: `position`, parts: []string{`aws`, `limits`},
		page: selectOrgs + `WHERE position > $1 ORDER BY position LIMIT $2`,
	}
	orgs, err := ask(ctx, db.listings, system, column.ScanOrg, of.within(page), page.After, limit(page))
	return orgs, wrap(err, "list organisations")
}

// UpdateOrg lets change edit the organisation, and stores its name, AWS and limits if
// change returns nil, along with the activity change that it returned. No other change
// comes between; change must not call the store. It returns the organisation as it is
// then, or change's error as it is, ErrNotFound, or ErrConflict if the new name is in
// use.
func (db *DB) UpdateOrg(
	ctx context.Context, orgID string, change func(*store.Org) (store.ActivityChange, error),
) (store.Org, error) {
	var found found[store.Positioned[store.Org]]
	var org store.Org
	err := db.update(ctx, orgID, system, func(s *statements) {
		found.find(s, column.ScanOrg, selectOrgs+`WHERE id = $1 FOR UPDATE`, orgID)
	}, func(s *statements) (store.ActivityChange, error) {
		org = found.one.Record
		activity, err := change(&org)
		if err != nil {
			return store.ActivityChange{}, callerError{err}
		}
		org.ID, org.CreatedAt = found.one.Record.ID, found.one.Record.CreatedAt
		aws, limits, err := column.Org(org)
		if err != nil {
			return store.ActivityChange{}, err
		}
		s.add(`UPDATE orgs SET name = $1, aws = $2, limits = $3 WHERE id = $4`, org.Name, aws, limits, orgID)
		return activity, nil
	})
	if err != nil {
		return store.Org{}, wrap(err, "update organisation")
	}
	return org, nil
}

// DeleteOrg deletes the organisation and its tokens; its activity stays.
// ErrNotFound if there is none, ErrNotEmpty while it has workspaces.
func (db *DB) DeleteOrg(ctx context.Context, orgID string, change store.ActivityChange) error {
	err := db.change(ctx, orgID, system, change, func(s *statements) {
		s.oneRow(store.ErrNotFound, `DELETE FROM orgs WHERE id = $1`, orgID)
	})
	if codeOf(err) == codeForeignKey { // workspaces are the only ones that refer to it and don't go with it
		err = store.ErrNotEmpty
	}
	return wrap(err, "delete organisation")
}
