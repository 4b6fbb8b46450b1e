package column

import (
	"database/sql"

	"sallyport/internal/keys"
)

// ScanCAKey reads id, public_key, sealed, created_at, ends_at.
func ScanCAKey(row Scanner) (keys.CAKey, error) {
	var (
		key           keys.CAKey
		created, ends sql.NullInt64
	)
	err := row.Scan(&key.ID, &key.PublicKey, &key.Sealed, &created, &ends)
	key.CreatedAt, key.EndsAt = Loaded(created), Loaded(ends)
	return key, err
}
