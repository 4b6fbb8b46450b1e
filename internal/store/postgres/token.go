package postgres

import (
	"context"
	"fmt"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const tokenColumns = `position, id, org_id, workspace_id, name, prefix, hash, scopes, created_at, expires_at, revoked_at`

const selectTokens = `SELECT ` + tokenColumns + ` FROM tokens `

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
	err = db.change(ctx, tok.OrgID, tenant(tok.OrgID), change, func(s *statements) {
		s.checkRoom(most, countTokens, tok.OrgID, column.Time(tok.CreatedAt))
		s.add(`
			INSERT INTO tokens (id, org_id, workspace_id, name, prefix, hash, scopes, created_at, expires_at, revoked_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			tok.ID, tok.OrgID, column.Text(tok.WorkspaceID), tok.Name, tok.Prefix, tok.Hash[:], scopes,
			column.Time(tok.CreatedAt), column.Time(tok.ExpiresAt), column.Time(tok.RevokedAt))
	})
	return wrap(err, "create token")
}

// countTokens counts the tokens of an organisation and its workspaces that are live at a
// time: two ranges of one index.
const countTokens = `SELECT (SELECT count(*) FROM tokens WHERE org_id = $1 AND revoked_at IS NULL AND expires_at IS NULL)
	+ (SELECT count(*) FROM tokens WHERE org_id = $1 AND revoked_at IS NULL AND expires_at > $2)`

// TokenByHash returns the token with this SHA-256. ErrNotFound if there is none.
// Revoked and expired ones are returned too: the caller judges their times.
func (db *DB) TokenByHash(ctx context.Context, hash [32]byte) (store.Token, error) {
	tok, err := askOne(ctx, db.readers, system, column.ScanToken, selectTokens+`WHERE hash = $1`, hash[:])
	return tok.Record, wrap(err, "find token")
}

// Token returns the live token with this id of the workspace, or, if workspaceID
// is empty, of the organisation itself. ErrNotFound if there is none such.
func (db *DB) Token(ctx context.Context, orgID, workspaceID, tokenID string) (store.Token, error) {
	tok, err := askOne(ctx, db.readers, tenant(orgID), column.ScanToken, selectTokens+`
		WHERE org_id = $1 AND workspace_id IS NOT DISTINCT FROM $2 AND id = $3 AND revoked_at IS NULL`,
		orgID, column.Text(workspaceID), tokenID)
	return tok.Record, wrap(err, "find token")
}

// Tokens returns a page of the live tokens of the workspace, or, if workspaceID
// is empty, of the organisation itself, oldest first. A token that has expired
// is live until it is revoked.
func (db *DB) Tokens(
	ctx context.Context, orgID, workspaceID string, page store.Page,
) ([]store.Positioned[store.Token], error) {
	query, args := selectTokensOfOrg, []any{orgID, page.After, limit(page)}
	if workspaceID != "" {
		query, args = selectTokensOfWorkspace, append(args, workspaceID)
	}
	of := listing{columns: tokenColumns, position: `position`, parts: []string{`scopes`}, page: query}
	tokens, err := ask(ctx, db.listings, tenant(orgID), column.ScanToken, of.within(page), args...)
	return tokens, wrap(err, "list tokens")
}

// Two statements, since no index finds what IS NOT DISTINCT FROM asks for.
const (
	selectTokensOfOrg = selectTokens + `WHERE org_id = $1 AND workspace_id IS NULL
		AND position > $2 AND revoked_at IS NULL ORDER BY position LIMIT $3`
	selectTokensOfWorkspace = selectTokens + `WHERE org_id = $1 AND workspace_id = $4
		AND position > $2 AND revoked_at IS NULL ORDER BY position LIMIT $3`
)

// RevokeToken revokes a live token of the workspace, or, if workspaceID is
// empty, of the organisation itself. ErrNotFound if there is none such.
func (db *DB) RevokeToken(
	ctx context.Context, orgID, workspaceID, tokenID string, at time.Time, change store.ActivityChange,
) error {
	err := db.change(ctx, orgID, tenant(orgID), change, func(s *statements) {
		s.oneRow(store.ErrNotFound, `
			UPDATE tokens SET revoked_at = $1
			WHERE org_id = $2 AND workspace_id IS NOT DISTINCT FROM $3 AND id = $4 AND revoked_at IS NULL`,
			column.Time(at), orgID, column.Text(workspaceID), tokenID)
	})
	return wrap(err, "revoke token")
}

// RevokeTokensNamed revokes the live tokens with this name of the organisation
// itself, of which there may be none. It leaves no activity row: it is for a
// token that the server made for its own user and replaces.
func (db *DB) RevokeTokensNamed(ctx context.Context, orgID, name string, at time.Time) error {
	err := db.run(ctx, tenant(orgID), func(s *statements) {
		s.add(`UPDATE tokens SET revoked_at = $1
			WHERE org_id = $2 AND workspace_id IS NULL AND name = $3 AND revoked_at IS NULL`,
			column.Time(at), orgID, name)
	})
	return wrap(err, "revoke tokens by name")
}
