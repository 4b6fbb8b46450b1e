package column

import (
	"database/sql"

	"sallyport/internal/keys"
	"sallyport/internal/store"
)

// ScanCAKey reads id, org_id, public_key, sealed, created_at, ends_at.
func ScanCAKey(row Scanner) (keys.CAKey, error) {
	var (
		key           keys.CAKey
		created, ends sql.NullInt64
	)
	err := row.Scan(&key.ID, &key.OrgID, &key.PublicKey, &key.Sealed, &created, &ends)
	key.CreatedAt, key.EndsAt = Loaded(created), Loaded(ends)
	return key, err
}

// ScanPositionedCAKey reads a position, and then what ScanCAKey does.
func ScanPositionedCAKey(row Scanner) (found store.Positioned[keys.CAKey], err error) {
	found.Record, err = ScanCAKey(behind{row, &found.Position})
	return found, err
}

// behind is a row whose first column goes to first.
type behind struct {
	row   Scanner
	first any
}

func (b behind) Scan(dest ...any) error { return b.row.Scan(append([]any{b.first}, dest...)...) }

// ScanStaleMachine reads the name of an organisation, and the id and the name of its
// workspace.
func ScanStaleMachine(row Scanner) (m store.StaleMachine, err error) {
	err = row.Scan(&m.Org, &m.WorkspaceID, &m.Workspace)
	return m, err
}
