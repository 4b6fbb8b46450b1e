package sqlite

import (
	"context"

	"sallyport/internal/store"
)

// Token returns a live token of the workspace, or, if workspaceID is empty, of the
// organisation itself. ErrNotFound if there is none such.
func (db *DB) Token(ctx context.Context, orgID, workspaceID, tokenID string) (store.Token, error) {
	tok, err := scanToken(db.readers.QueryRowContext(ctx, selectTokens+`
		WHERE org_id = ? AND workspace_id IS ? AND id = ? AND revoked_at IS NULL`, orgID, text(workspaceID), tokenID))
	return tok.Record, wrap(err, "find token")
}
