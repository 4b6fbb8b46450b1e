package column

import (
	"database/sql"

	"sallyport/internal/store"
)

// ScanAttachment reads position, id, org_id, workspace_id, name, size, media_type, sha256,
// created_at, expires_at.
func ScanAttachment(row Scanner) (store.Positioned[store.Attachment], error) {
	var (
		a                store.Positioned[store.Attachment]
		created, expires sql.NullInt64
	)
	r := &a.Record
	err := row.Scan(&a.Position, &r.ID, &r.OrgID, &r.WorkspaceID, &r.Name, &r.Size, &r.MediaType, &r.SHA256, &created, &expires)
	r.CreatedAt, r.ExpiresAt, a.Size = Loaded(created), Loaded(expires), size()
	return a, err
}
