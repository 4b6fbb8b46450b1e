package postgres

import (
	"context"

	"sallyport/internal/keys"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const (
	caKeyColumns = `id, org_id, public_key, sealed, created_at, ends_at`
	selectCAKeys = `SELECT ` + caKeyColumns + ` FROM org_ca_keys WHERE org_id = $1 ORDER BY position DESC`
	insertCAKey  = `INSERT INTO org_ca_keys (id, org_id, public_key, sealed, created_at) VALUES ($1, $2, $3, $4, $5)`
)

// CAKeys returns every key of the organisation's SSH CA, newest first. A key whose end
// has passed is there until the next rotation.
func (db *DB) CAKeys(ctx context.Context, orgID string) ([]keys.CAKey, error) {
	found, err := ask(ctx, db.readers, system, column.ScanCAKey, selectCAKeys, orgID)
	return found, wrap(err, "list CA keys")
}

// AllCAKeys returns a page of the keys of all organisations.
func (db *DB) AllCAKeys(ctx context.Context, page store.Page) ([]store.Positioned[keys.CAKey], error) {
	found, err := ask(ctx, db.readers, system, column.ScanPositionedCAKey,
		`SELECT position, `+caKeyColumns+` FROM org_ca_keys WHERE position > $1 ORDER BY position LIMIT $2`, page.After, limit(page))
	return found, wrap(err, "list all CA keys")
}

// OrgsWithoutCA returns the ids of organisations that have no CA key yet, so many at most.
func (db *DB) OrgsWithoutCA(ctx context.Context, most int) ([]string, error) {
	found, err := ask(ctx, db.readers, system, scanText, `SELECT id FROM orgs
		WHERE NOT EXISTS (SELECT 1 FROM org_ca_keys AS k WHERE k.org_id = orgs.id AND k.ends_at IS NULL) ORDER BY position LIMIT $1`, most)
	return found, wrap(err, "look for organisations without a CA")
}

// AddFirstCAKey adds a key to its organisation if that has none, and else does nothing:
// when several add one at the same time, the first is kept. It leaves no activity row:
// nobody asked for it. ErrNotFound if there is no such organisation.
func (db *DB) AddFirstCAKey(ctx context.Context, key keys.CAKey) error {
	err := db.run(ctx, system, func(s *statements) {
		s.add(insertCAKey+` ON CONFLICT (org_id) WHERE ends_at IS NULL DO NOTHING`,
			key.ID, key.OrgID, key.PublicKey, key.Sealed, column.Time(key.CreatedAt))
	})
	return wrap(err, "add the first CA key")
}

// ResealCAKey replaces the sealed private key. If the key doesn't exist any more,
// ResealCAKey does nothing.
func (db *DB) ResealCAKey(ctx context.Context, keyID string, sealed []byte) error {
	err := db.run(ctx, system, func(s *statements) {
		s.add(`UPDATE org_ca_keys SET sealed = $1 WHERE id = $2`, sealed, keyID)
	})
	return wrap(err, "seal a CA key anew")
}

// RotateCA lets rotate look at the organisation's keys, newest first, and say what comes
// next; then it adds the new key, ends the others, deletes those whose end has passed,
// and adds the activity change that rotate returned. No other rotation comes between;
// rotate must not call the store. Its error is returned as it is, and nothing changed.
// ErrNotFound if there is no such organisation.
func (db *DB) RotateCA(
	ctx context.Context, orgID string, rotate func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error),
) error {
	var have []keys.CAKey
	err := db.update(ctx, orgID, system, func(s *statements) {
		have = []keys.CAKey{}
		s.query(func(row column.Scanner) error {
			key, err := column.ScanCAKey(row)
			have = append(have, key)
			return err
		}, selectCAKeys, orgID)
	}, func(s *statements) (store.ActivityChange, error) {
		next, activity, err := rotate(have)
		if err != nil {
			return store.ActivityChange{}, callerError{err}
		}
		applyRotation(s, orgID, next)
		return activity, nil
	})
	return wrap(err, "rotate the CA")
}

func applyRotation(s *statements, orgID string, r keys.CARotation) {
	s.add(`UPDATE org_ca_keys SET ends_at = $2 WHERE org_id = $1 AND (ends_at IS NULL OR ends_at > $2)`, orgID, column.Time(r.OthersEndAt))
	s.add(`DELETE FROM org_ca_keys WHERE org_id = $1 AND ends_at <= $2`, orgID, column.Time(r.Next.CreatedAt))
	s.add(insertCAKey, r.Next.ID, orgID, r.Next.PublicKey, r.Next.Sealed, column.Time(r.Next.CreatedAt))
}

// HasSealed reports whether the database holds a private key that only the seal opens.
func (db *DB) HasSealed(ctx context.Context) (bool, error) {
	has, err := askOne(ctx, db.readers, system, scanBool, `SELECT EXISTS (SELECT 1 FROM org_ca_keys)
		OR EXISTS (SELECT 1 FROM workspaces WHERE sealed_key IS NOT NULL)`)
	return has, wrap(err, "look for sealed keys")
}

// StaleMachines returns the workspaces whose machines may trust the SSH CA that all
// organisations shared and not their own organisation's, so many at most; none where
// there was no shared CA.
func (db *DB) StaleMachines(ctx context.Context, most int) ([]store.StaleMachine, error) {
	found, err := ask(ctx, db.readers, system, column.ScanStaleMachine, selectStaleMachines, most)
	return found, wrap(err, "list machines of the shared CA")
}

// ForgetSharedCA drops the record of the SSH CA that all organisations shared, and its
// private keys.
func (db *DB) ForgetSharedCA(ctx context.Context) error {
	err := db.run(ctx, system, func(s *statements) {
		s.add(`DELETE FROM ca_keys`)
		s.add(`DELETE FROM retired_ca_keys`)
	})
	return wrap(err, "forget the shared CA")
}

// DeleteSharedCAKeys deletes the private keys of that CA. A server of the version before
// can't log in to machines that trust it from then on.
func (db *DB) DeleteSharedCAKeys(ctx context.Context) error {
	err := db.run(ctx, system, func(s *statements) { s.add(`DELETE FROM ca_keys`) })
	return wrap(err, "delete the keys of the shared CA")
}

// selectStaleMachines finds the workspaces of before the shared CA was given up that log
// in with a certificate, and have run nothing since then: of their newest rows none has
// an exit code.
const selectStaleMachines = `WITH gone AS (SELECT max(retired_at) AS at FROM retired_ca_keys)
	SELECT orgs.name, w.id, w.name FROM gone JOIN workspaces AS w ON w.created_at < gone.at JOIN orgs ON orgs.id = w.org_id
	WHERE w.connector::json ->> 'type' = 'ssh' AND coalesce(w.connector::json -> 'auth' ->> 'type', 'ca') = 'ca'
	AND NOT EXISTS (SELECT 1 FROM (SELECT type, created_at, outcome FROM activity AS a
			WHERE a.org_id = w.org_id AND a.workspace_id = w.id ORDER BY a.written_seq DESC LIMIT 100) AS newest
		WHERE newest.type = 'workspace_exec' AND newest.created_at >= gone.at AND position('"exit_code":' IN newest.outcome) > 0)
	ORDER BY orgs.position, w.position LIMIT $1`

func scanBool(row column.Scanner) (yes bool, err error) {
	err = row.Scan(&yes)
	return yes, err
}
