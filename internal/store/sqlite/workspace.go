package sqlite

import (
	"context"
	"database/sql"

	"sallyport/internal/id"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const selectWorkspaces = `SELECT position, id, org_id, name, tier, labels, connector, sealed_key, connector_version,
	forward_allow, record_terminals, created_at, updated_at FROM workspaces `

// CreateWorkspace adds a workspace, and change to the activity log. ErrConflict
// if its name is in use in its organisation, ErrNotFound if there is no such
// organisation, ErrTooMany if that has most workspaces already, where most isn't 0.
func (db *DB) CreateWorkspace(ctx context.Context, ws store.Workspace, most int, change store.ActivityChange) error {
	in, err := column.Workspace(ws)
	if err != nil {
		return wrap(err, "create workspace %s", ws.Name)
	}
	err = db.change(ctx, change, func(ctx context.Context, w *sql.Conn) error {
		if err := checkRoom(ctx, w, most, countWorkspaces, ws.OrgID); err != nil {
			return err
		}
		result, err := w.ExecContext(ctx, `
			INSERT INTO workspaces (id, org_id, name, tier, labels, connector, sealed_key, connector_version,
				forward_allow, record_terminals, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (org_id, name) DO NOTHING`,
			ws.ID, ws.OrgID, ws.Name, ws.Tier, in.Labels, in.Connector, ws.SealedKey, ws.ConnectorVersion,
			in.ForwardAllow, ws.RecordTerminals, column.Time(ws.CreatedAt), column.Time(ws.UpdatedAt))
		return oneRow(result, err, store.ErrConflict)
	})
	return wrap(err, "create workspace %s", ws.Name)
}

const countWorkspaces = `SELECT count(*) FROM workspaces WHERE org_id = ?`

// Workspace returns the organisation's workspace with the id or the name ref.
// With orgID empty it is any organisation's, and ref must be an id: that is the
// admin's alone to ask. ErrNotFound if there is none.
//
// A workspace of another organisation and one that doesn't exist take the same
// way: the tenant is part of the one statement that looks.
func (db *DB) Workspace(ctx context.Context, orgID, ref string) (store.Workspace, error) {
	var row *sql.Row
	switch isID := id.Is(ref); {
	case orgID != "" && isID:
		row = db.lookups.workspaceByID.QueryRowContext(ctx, orgID, ref)
	case orgID != "":
		row = db.lookups.workspaceByName.QueryRowContext(ctx, orgID, ref)
	case isID:
		row = db.lookups.workspaceOfAny.QueryRowContext(ctx, ref)
	default:
		return store.Workspace{}, wrap(store.ErrNotFound, "find workspace")
	}
	ws, err := column.ScanWorkspace(row)
	return ws.Record, wrap(err, "find workspace")
}

// Workspaces returns a page of the organisation's workspaces, or of all if
// orgID is empty, oldest first.
func (db *DB) Workspaces(
	ctx context.Context, orgID string, page store.Page,
) ([]store.Positioned[store.Workspace], error) {
	where, args := `WHERE `, []any{}
	if orgID != "" {
		where, args = `WHERE org_id = ? AND `, []any{orgID}
	}
	list, err := listPage(ctx, db.listings, page, column.ScanWorkspace,
		selectWorkspaces+where+`position > ? ORDER BY position LIMIT ?`, append(args, page.After, limit(page))...)
	return list, wrap(err, "list workspaces")
}

// UpdateWorkspace lets change edit the workspace, and stores its name, tier,
// labels, connector with what goes with it, forward_allow, record_terminals, and UpdatedAt if change returns
// nil, along with the activity change that it returned. No other change comes between; change must not call
// the store. It returns the workspace as it is then, or change's error as it
// is, ErrNotFound if the organisation has no such workspace, or ErrConflict if
// the new name is in use.
func (db *DB) UpdateWorkspace(
	ctx context.Context, orgID, workspaceID string, change func(*store.Workspace) (store.ActivityChange, error),
) (store.Workspace, error) {
	var ws store.Workspace
	err := db.update(ctx, func(ctx context.Context, w *sql.Conn) (store.ActivityChange, error) {
		found, err := column.ScanWorkspace(w.QueryRowContext(ctx,
			selectWorkspaces+`WHERE org_id = ? AND id = ?`, orgID, workspaceID))
		if err != nil {
			return store.ActivityChange{}, err
		}
		ws = found.Record
		activity, err := change(&ws)
		if err != nil {
			return store.ActivityChange{}, callerError{err}
		}
		ws.ID, ws.OrgID, ws.CreatedAt = found.Record.ID, found.Record.OrgID, found.Record.CreatedAt
		return activity, updateWorkspace(ctx, w, ws)
	})
	if err != nil {
		return store.Workspace{}, wrap(err, "update workspace")
	}
	return ws, nil
}

func updateWorkspace(ctx context.Context, w *sql.Conn, ws store.Workspace) error {
	in, err := column.Workspace(ws)
	if err != nil {
		return err
	}
	_, err = w.ExecContext(ctx, `
		UPDATE workspaces SET name = ?1, tier = ?2, labels = ?3, connector = ?4, sealed_key = ?5, connector_version = ?6,
			forward_allow = ?7, record_terminals = ?8, updated_at = ?9
		WHERE org_id = ?10 AND id = ?11`,
		ws.Name, ws.Tier, in.Labels, in.Connector, ws.SealedKey, ws.ConnectorVersion,
		in.ForwardAllow, ws.RecordTerminals, column.Time(ws.UpdatedAt), ws.OrgID, ws.ID)
	return nameInUse(err)
}

// SealedKeys returns a page of the private keys of all workspaces that have one.
func (db *DB) SealedKeys(ctx context.Context, page store.Page) ([]store.Positioned[store.SealedKey], error) {
	found, err := listPage(ctx, db.listings, page, scanSealedKey,
		`SELECT position, id, sealed_key FROM workspaces WHERE sealed_key IS NOT NULL AND position > ? ORDER BY position LIMIT ?`,
		page.After, limit(page))
	return found, wrap(err, "list sealed keys")
}

// ResealWorkspaceKey replaces the private key of a workspace if it is still was.
// That it is another, or gone, is no error. It leaves no activity row: the key is
// the same.
func (db *DB) ResealWorkspaceKey(ctx context.Context, workspaceID string, was, sealed []byte) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `UPDATE workspaces SET sealed_key = ? WHERE id = ? AND sealed_key = ?`, sealed, workspaceID, was)
		return err
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
	err := db.change(ctx, change, func(ctx context.Context, w *sql.Conn) error {
		result, err := w.ExecContext(ctx,
			`DELETE FROM workspaces WHERE org_id = ? AND id = ?`, orgID, workspaceID)
		return oneRow(result, err, store.ErrNotFound)
	})
	return wrap(err, "delete workspace")
}
