package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const selectTokens = `SELECT position, id, org_id, workspace_id, name, prefix, hash, scopes, created_at, expires_at, revoked_at FROM tokens `

// CreateToken adds a token, and change to the activity log. ErrNotFound if
// there is no such organisation, or no such workspace in it; ErrTooMany if the
// organisation and its workspaces have most live tokens already, where most isn't 0.
func (db *DB) CreateToken(ctx context.Context, tok store.Token, most int, change store.ActivityChange) error {
	if tok.Scopes == nil {
		tok.Scopes = []sallyport.Scope{}
	}
	scopes, err := column.JSON(tok.Scopes)
	if err != nil {
		return fmt.Errorf("create token: encode scopes: %w", err)
	}
	err = db.change(ctx, change, func(ctx context.Context, w *sql.Conn) error {
		if err := checkRoom(ctx, w, most, countTokens, tok.OrgID, column.Time(tok.CreatedAt)); err != nil {
			return err
		}
		_, err := w.ExecContext(ctx, `
			INSERT INTO tokens (id, org_id, workspace_id, name, prefix, hash, scopes, created_at, expires_at, revoked_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			tok.ID, tok.OrgID, column.Text(tok.WorkspaceID), tok.Name, tok.Prefix, tok.Hash[:], scopes,
			column.Time(tok.CreatedAt), column.Time(tok.ExpiresAt), column.Time(tok.RevokedAt))
		return err
	})
	return wrap(err, "create token")
}

// countTokens counts the tokens of an organisation and its workspaces that are live at a
// time: two ranges of one index.
const countTokens = `SELECT (SELECT count(*) FROM tokens WHERE org_id = ?1 AND revoked_at IS NULL AND expires_at IS NULL)
	+ (SELECT count(*) FROM tokens WHERE org_id = ?1 AND revoked_at IS NULL AND expires_at > ?2)`

// checkRoom returns ErrTooMany if what a statement counts is most already; most 0 is no
// bound.
func checkRoom(ctx context.Context, w *sql.Conn, most int, count string, args ...any) error {
	if most == 0 {
		return nil
	}
	var have int
	if err := w.QueryRowContext(ctx, count, args...).Scan(&have); err != nil {
		return err
	}
	if have >= most {
		return store.ErrTooMany
	}
	return nil
}

// TokenByHash returns the token with this SHA-256. ErrNotFound if there is none.
// Revoked and expired ones are returned too: the caller judges their times.
func (db *DB) TokenByHash(ctx context.Context, hash [32]byte) (store.Token, error) {
	tok, err := column.ScanToken(db.lookups.tokenByHash.QueryRowContext(ctx, hash[:]))
	return tok.Record, wrap(err, "find token")
}

// Token returns the live token with this id of the workspace, or, if workspaceID
// is empty, of the organisation itself. ErrNotFound if there is none such.
func (db *DB) Token(ctx context.Context, orgID, workspaceID, tokenID string) (store.Token, error) {
	tok, err := column.ScanToken(db.readers.QueryRowContext(ctx, selectTokens+`
		WHERE org_id = ? AND workspace_id IS ? AND id = ? AND revoked_at IS NULL`,
		orgID, column.Text(workspaceID), tokenID))
	return tok.Record, wrap(err, "find token")
}

// Tokens returns a page of the live tokens of the workspace, or, if workspaceID
// is empty, of the organisation itself, oldest first. A token that has expired
// is live until it is revoked.
func (db *DB) Tokens(
	ctx context.Context, orgID, workspaceID string, page store.Page,
) ([]store.Positioned[store.Token], error) {
	tokens, err := listPage(ctx, db.listings, page, column.ScanToken, selectTokens+`
		WHERE org_id = ? AND workspace_id IS ? AND position > ? AND revoked_at IS NULL
		ORDER BY position LIMIT ?`, orgID, column.Text(workspaceID), page.After, limit(page))
	return tokens, wrap(err, "list tokens")
}

// RevokeToken revokes a live token of the workspace, or, if workspaceID is
// empty, of the organisation itself. ErrNotFound if there is none such.
func (db *DB) RevokeToken(
	ctx context.Context, orgID, workspaceID, tokenID string, at time.Time, change store.ActivityChange,
) error {
	err := db.change(ctx, change, func(ctx context.Context, w *sql.Conn) error {
		result, err := w.ExecContext(ctx, `
			UPDATE tokens SET revoked_at = ?
			WHERE org_id = ? AND workspace_id IS ? AND id = ? AND revoked_at IS NULL`,
			column.Time(at), orgID, column.Text(workspaceID), tokenID)
		return oneRow(result, err, store.ErrNotFound)
	})
	return wrap(err, "revoke token")
}

// RevokeTokensNamed revokes the live tokens with this name of the organisation
// itself, of which there may be none. It leaves no activity row: it is for a
// token that the server made for its own user and replaces.
func (db *DB) RevokeTokensNamed(ctx context.Context, orgID, name string, at time.Time) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `
			UPDATE tokens SET revoked_at = ?
			WHERE org_id = ? AND workspace_id IS NULL AND name = ? AND revoked_at IS NULL`,
			column.Time(at), orgID, name)
		return err
	})
	return wrap(err, "revoke tokens by name")
}
