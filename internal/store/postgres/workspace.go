package postgres

import (
	"context"

	"sallyport/internal/id"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const workspaceColumns = `position, id, org_id, name, tier, labels, connector, sealed_key, connector_version,
	forward_allow, record_terminals, created_at, updated_at`

const selectWorkspaces = `SELECT ` + workspaceColumns + ` FROM workspaces `

// CreateWorkspace adds a workspace, and change to the activity log. ErrConflict
// if its name is in use in its organisation, ErrNotFound if there is no such
// organisation, ErrTooMany if that has most workspaces already, where most isn't 0.
func (db *DB) CreateWorkspace(ctx context.Context, ws store.Workspace, most int, change store.ActivityChange) error {
	in, err := column.Workspace(ws)
	if err != nil {
		return wrap(err, "create workspace %s", ws.Name)
	}
	err = db.change(ctx, ws.OrgID, tenant(ws.OrgID), change, func(s *statements) {
		s.checkRoom(most, countWorkspaces, ws.OrgID)
		s.add(`
			INSERT INTO workspaces (id, org_id, name, tier, labels, connector, sealed_key, connector_version,
				forward_allow, record_terminals, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			ws.ID, ws.OrgID, ws.Name, ws.Tier, in.Labels, in.Connector, ws.SealedKey, ws.ConnectorVersion,
			in.ForwardAllow, ws.RecordTerminals, column.Time(ws.CreatedAt), column.Time(ws.UpdatedAt))
	})
	return wrap(err, "create workspace %s", ws.Name)
}

const countWorkspaces = `SELECT count(*) FROM workspaces WHERE org_id = $1`

// Workspace returns the organisation's workspace with the id or the name ref.
// With orgID empty it is any organisation's, and ref must be an id: that is the
// admin's alone to ask. ErrNotFound if there is none.
//
// A workspace of another organisation and one that doesn't exist take the same
// way: the tenant is part of the one statement that looks.
func (db *DB) Workspace(ctx context.Context, orgID, ref string) (store.Workspace, error) {
	var where string
	args := []any{ref, orgID}
	switch isID := id.Is(ref); {
	case orgID != "" && isID:
		where = `WHERE id = $1 AND org_id = $2`
	case orgID != "":
		where = `WHERE name = $1 AND org_id = $2`
	case isID:
		where, args = `WHERE id = $1`, args[:1]
	default:
		return store.Workspace{}, wrap(store.ErrNotFound, "find workspace")
	}
	ws, err := askOne(ctx, db.readers, tenantOrSystem(orgID), column.ScanWorkspace, selectWorkspaces+where, args...)
	return ws.Record, wrap(err, "find workspace")
}

// Workspaces returns a page of the organisation's workspaces, or of all if
// orgID is empty, oldest first.
func (db *DB) Workspaces(
	ctx context.Context, orgID string, page store.Page,
) ([]store.Positioned[store.Workspace], error) {
	query, args := selectWorkspaces+`WHERE position > $1 ORDER BY position LIMIT $2`, []any{page.After, limit(page)}
	if orgID != "" {
		query, args = selectWorkspacesOfOrg, append(args, orgID)
	}
	of := listing{columns: workspaceColumns, position: `position`, parts: []string{`labels`, `connector`, `forward_allow`}, page: query}
	list, err := ask(ctx, db.listings, tenantOrSystem(orgID), column.ScanWorkspace, of.within(page), args...)
	return list, wrap(err, "list workspaces")
}

const selectWorkspacesOfOrg = selectWorkspaces + `WHERE org_id = $3 AND position > $1 ORDER BY position LIMIT $2`

// UpdateWorkspace lets change edit the workspace, and stores its name, tier,
// labels, connector with what goes with it, forward_allow, record_terminals, and UpdatedAt if change returns
// nil, along with the activity change that it returned. No other change comes between; change must not call
// the store. It returns the workspace as it is then, or change's error as it
// is, ErrNotFound if the organisation has no such workspace, or ErrConflict if
// the new name is in use.
func (db *DB) UpdateWorkspace(
	ctx context.Context, orgID, workspaceID string, change func(*store.Workspace) (store.ActivityChange, error),
) (store.Workspace, error) {
	var found found[store.Positioned[store.Workspace]]
	var ws store.Workspace
	err := db.update(ctx, orgID, tenant(orgID), func(s *statements) {
		found.find(s, column.ScanWorkspace, selectWorkspaces+`WHERE org_id = $1 AND id = $2 FOR UPDATE`, orgID, workspaceID)
	}, func(s *statements) (store.ActivityChange, error) {
		ws = found.one.Record
		activity, err := change(&ws)
		if err != nil {
			return store.ActivityChange{}, callerError{err}
		}
		ws.ID, ws.OrgID, ws.CreatedAt = found.one.Record.ID, found.one.Record.OrgID, found.one.Record.CreatedAt
		return activity, updateWorkspace(s, ws)
	})
	if err != nil {
		return store.Workspace{}, wrap(err, "update workspace")
	}
	return ws, nil
}

func updateWorkspace(s *statements, ws store.Workspace) error {
	in, err := column.Workspace(ws)
	if err != nil {
		return err
	}
	s.add(`
		UPDATE workspaces SET name = $1, tier = $2, labels = $3, connector = $4, sealed_key = $5, connector_version = $6,
			forward_allow = $7, record_terminals = $8, updated_at = $9
		WHERE org_id = $10 AND id = $11`,
		ws.Name, ws.Tier, in.Labels, in.Connector, ws.SealedKey, ws.ConnectorVersion,
		in.ForwardAllow, ws.RecordTerminals, column.Time(ws.UpdatedAt), ws.OrgID, ws.ID)
	return nil
}

// SealedKeys returns a page of the private keys of all workspaces that have one.
func (db *DB) SealedKeys(ctx context.Context, page store.Page) ([]store.Positioned[store.SealedKey], error) {
	found, err := ask(ctx, db.readers, system, scanSealedKey,
		`SELECT position, id, sealed_key FROM workspaces WHERE sealed_key IS NOT NULL AND position > $1 ORDER BY position LIMIT $2`,
		page.After, limit(page))
	return found, wrap(err, "list sealed keys")
}

// ResealWorkspaceKey replaces the private key of a workspace if it is still was.
// That it is another, or gone, is no error. It leaves no activity row: the key is
// the same.
func (db *DB) ResealWorkspaceKey(ctx context.Context, workspaceID string, was, sealed []byte) error {
	err := db.run(ctx, system, func(s *statements) {
		s.add(`UPDATE workspaces SET sealed_key = $1 WHERE id = $2 AND sealed_key = $3`, sealed, workspaceID, was)
	})
	return wrap(err, "seal a workspace's key anew")
}

func scanSealedKey(row column.Scanner) (found store.Positioned[store.SealedKey], err error) {
	err = row.Scan(&found.Position, &found.Record.WorkspaceID, &found.Record.Sealed)
	return found, err
}

// DeleteWorkspace deletes the workspace and its tokens; its activity stays.
// ErrNotFound if the organisation has no such workspace.
func (db *DB) DeleteWorkspace(ctx context.Context, orgID, workspaceID string, change store.ActivityChange) error {
	err := db.change(ctx, orgID, tenant(orgID), change, func(s *statements) {
		s.oneRow(store.ErrNotFound, `DELETE FROM workspaces WHERE org_id = $1 AND id = $2`, orgID, workspaceID)
	})
	return wrap(err, "delete workspace")
}
