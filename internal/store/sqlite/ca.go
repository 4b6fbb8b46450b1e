package sqlite

import (
	"context"
	"database/sql"
	"math"

	"sallyport/internal/keys"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const (
	caKeyColumns = `id, org_id, public_key, sealed, created_at, ends_at`
	selectCAKeys = `SELECT ` + caKeyColumns + ` FROM org_ca_keys WHERE org_id = ? ORDER BY position DESC`
	insertCAKey  = `INSERT INTO org_ca_keys (id, org_id, public_key, sealed, created_at) VALUES (?, ?, ?, ?, ?)`
)

// CAKeys returns every key of the organisation's SSH CA, newest first. A key whose end
// has passed is there until the next rotation.
func (db *DB) CAKeys(ctx context.Context, orgID string) ([]keys.CAKey, error) {
	found, err := list(ctx, db.readers, column.ScanCAKey, selectCAKeys, orgID)
	return found, wrap(err, "list CA keys")
}

// AllCAKeys returns a page of the keys of all organisations.
func (db *DB) AllCAKeys(ctx context.Context, page store.Page) ([]store.Positioned[keys.CAKey], error) {
	found, err := list(ctx, db.readers, column.ScanPositionedCAKey,
		`SELECT position, `+caKeyColumns+` FROM org_ca_keys WHERE position > ? ORDER BY position LIMIT ?`, page.After, limit(page))
	return found, wrap(err, "list all CA keys")
}

// OrgsWithoutCA returns the ids of organisations that have no CA key yet, so many at most.
func (db *DB) OrgsWithoutCA(ctx context.Context, most int) ([]string, error) {
	found, err := list(ctx, db.readers, scanText, `SELECT id FROM orgs
		WHERE NOT EXISTS (SELECT 1 FROM org_ca_keys AS k WHERE k.org_id = orgs.id AND k.ends_at IS NULL) ORDER BY position LIMIT ?`, most)
	return found, wrap(err, "look for organisations without a CA")
}

// AddFirstCAKey adds a key to its organisation if that has none, and else does nothing:
// when several add one at the same time, the first is kept. It leaves no activity row:
// nobody asked for it. ErrNotFound if there is no such organisation.
func (db *DB) AddFirstCAKey(ctx context.Context, key keys.CAKey) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, insertCAKey+` ON CONFLICT (org_id) WHERE ends_at IS NULL DO NOTHING`,
			key.ID, key.OrgID, key.PublicKey, key.Sealed, column.Time(key.CreatedAt))
		return err
	})
	return wrap(err, "add the first CA key")
}

// ResealCAKey replaces the sealed private key. If the key doesn't exist any more,
// ResealCAKey does nothing.
func (db *DB) ResealCAKey(ctx context.Context, keyID string, sealed []byte) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `UPDATE org_ca_keys SET sealed = ? WHERE id = ?`, sealed, keyID)
		return err
	})
	return wrap(err, "seal a CA key anew")
}

// RotateCA lets rotate look at the organisation's keys, newest first, and say what comes
// next; then it adds the new key, ends the others, deletes those whose end has passed,
// and adds the activity change that rotate returned. No other change comes between;
// rotate must not call the store. Its error is returned as it is, and nothing changed.
// ErrNotFound if there is no such organisation.
func (db *DB) RotateCA(
	ctx context.Context, orgID string, rotate func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error),
) error {
	err := db.update(ctx, func(ctx context.Context, w *sql.Conn) (store.ActivityChange, error) {
		have, err := list(ctx, w, column.ScanCAKey, selectCAKeys, orgID)
		if err != nil {
			return store.ActivityChange{}, err
		}
		next, activity, err := rotate(have)
		if err != nil {
			return store.ActivityChange{}, callerError{err}
		}
		return activity, applyRotation(ctx, w, orgID, next)
	})
	return wrap(err, "rotate the CA")
}

func applyRotation(ctx context.Context, w *sql.Conn, orgID string, r keys.CARotation) error {
	_, err := w.ExecContext(ctx, `UPDATE org_ca_keys SET ends_at = ?2 WHERE org_id = ?1 AND (ends_at IS NULL OR ends_at > ?2)`,
		orgID, column.Time(r.OthersEndAt))
	if err != nil {
		return err
	}
	_, err = w.ExecContext(ctx, `DELETE FROM org_ca_keys WHERE org_id = ? AND ends_at <= ?`, orgID, column.Time(r.Next.CreatedAt))
	if err != nil {
		return err
	}
	_, err = w.ExecContext(ctx, insertCAKey, r.Next.ID, orgID, r.Next.PublicKey, r.Next.Sealed, column.Time(r.Next.CreatedAt))
	return err
}

// HasSealed reports whether the database holds a private key that only the seal opens.
func (db *DB) HasSealed(ctx context.Context) (bool, error) {
	var has bool
	err := db.readers.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM org_ca_keys)
		OR EXISTS (SELECT 1 FROM workspaces WHERE sealed_key IS NOT NULL)`).Scan(&has)
	return has, wrap(err, "look for sealed keys")
}

// StaleMachines returns the workspaces whose machines may trust the SSH CA that all
// organisations shared and not their own organisation's, so many at most; none where
// there was no shared CA.
func (db *DB) StaleMachines(ctx context.Context, most int) ([]store.StaleMachine, error) {
	var retired sql.NullInt64
	err := db.readers.QueryRowContext(ctx, selectRetiredAt).Scan(&retired)
	if err != nil || !retired.Valid {
		return nil, wrap(err, "look for a shared CA")
	}
	found, err := list(ctx, db.readers, column.ScanStaleMachine, selectStaleMachines, retired.Int64, most)
	return found, wrap(err, "list machines of the shared CA")
}

// ForgetSharedCA drops the record of the SSH CA that all organisations shared.
func (db *DB) ForgetSharedCA(ctx context.Context) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `DELETE FROM retired_ca_keys`)
		return err
	})
	return wrap(err, "forget the shared CA")
}

const selectRetiredAt = `SELECT max(retired_at) FROM retired_ca_keys`

// never is a time that no machine has let a server in after.
const never = math.MaxInt64

// selectStaleMachines finds the workspaces of before a time that log in with a
// certificate, and have run nothing since then: of their newest rows none has an exit
// code.
const selectStaleMachines = `SELECT orgs.name, w.id, w.name FROM workspaces AS w JOIN orgs ON orgs.id = w.org_id
	WHERE w.created_at < ?1 AND json_extract(w.connector, '$.type') = 'ssh' AND coalesce(json_extract(w.connector, '$.auth.type'), 'ca') = 'ca'
	AND NOT EXISTS (SELECT 1 FROM (SELECT type, created_at, outcome FROM activity AS a
			WHERE a.org_id = w.org_id AND a.workspace_id = w.id ORDER BY a.written_seq DESC LIMIT 100) AS newest
		WHERE newest.type = 'workspace_exec' AND newest.created_at >= ?1 AND instr(newest.outcome, '"exit_code":') > 0)
	ORDER BY orgs.position, w.position LIMIT ?2`
