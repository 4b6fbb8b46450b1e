package column

import (
	"database/sql"
	"fmt"

	"sallyport/internal/store"
)

// ScanToken reads position, id, org_id, workspace_id, name, prefix, hash, scopes, created_at,
// expires_at, revoked_at.
func ScanToken(row Scanner) (store.Positioned[store.Token], error) {
	var (
		tok                       store.Positioned[store.Token]
		workspace                 sql.NullString
		hash                      []byte
		scopes                    string
		created, expires, revoked sql.NullInt64
	)
	r := &tok.Record
	err := row.Scan(&tok.Position, &r.ID, &r.OrgID, &workspace, &r.Name, &r.Prefix, &hash, &scopes,
		&created, &expires, &revoked)
	if err != nil {
		return tok, err
	}
	copy(r.Hash[:], hash)
	r.WorkspaceID, tok.Size = workspace.String, size(scopes)
	r.CreatedAt, r.ExpiresAt, r.RevokedAt = Loaded(created), Loaded(expires), Loaded(revoked)
	if err := ReadJSON(scopes, &r.Scopes); err != nil {
		return tok, fmt.Errorf("decode scopes of token %s: %w", r.ID, err)
	}
	return tok, nil
}
