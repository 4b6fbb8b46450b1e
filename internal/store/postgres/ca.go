package postgres

import (
	"context"

	"sallyport/internal/keys"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const (
	selectCAKeys = `SELECT id, public_key, sealed, created_at, ends_at FROM ca_keys ORDER BY position DESC`
	insertCAKey  = `INSERT INTO ca_keys (id, public_key, sealed, created_at) VALUES ($1, $2, $3, $4)`
)

// CAKeys returns every key of the SSH CA, newest first. Those whose end has
// passed are there until the next rotation.
func (db *DB) CAKeys(ctx context.Context) ([]keys.CAKey, error) {
	found, err := ask(ctx, db.readers, system, column.ScanCAKey, selectCAKeys)
	return found, wrap(err, "list CA keys")
}

// AddFirstCAKey adds a key if there is none, and else does nothing: when several
// add one at the same time, the first is kept. It leaves no activity row: nobody
// asked for it.
func (db *DB) AddFirstCAKey(ctx context.Context, key keys.CAKey) error {
	err := db.run(ctx, system, func(s *statements) {
		s.add(insertCAKey+` ON CONFLICT ((ends_at IS NULL)) WHERE ends_at IS NULL DO NOTHING`,
			key.ID, key.PublicKey, key.Sealed, column.Time(key.CreatedAt))
	})
	return wrap(err, "add the first CA key")
}

// ResealCAKey replaces what is sealed of a key. That there is no such key any more
// is no error.
func (db *DB) ResealCAKey(ctx context.Context, keyID string, sealed []byte) error {
	err := db.run(ctx, system, func(s *statements) {
		s.add(`UPDATE ca_keys SET sealed = $1 WHERE id = $2`, sealed, keyID)
	})
	return wrap(err, "seal a CA key anew")
}

// RotateCA lets rotate look at the keys there are, newest first, and say what comes
// next; then it adds the new key, ends the others, deletes those whose end has
// passed, and adds the activity change that rotate returned. No other change comes
// between; rotate must not call the store. Its error is returned as it is, and
// nothing changed.
func (db *DB) RotateCA(
	ctx context.Context, rotate func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error),
) error {
	var have []keys.CAKey
	err := db.update(ctx, "", system, func(s *statements) {
		have = []keys.CAKey{}
		s.add(`LOCK TABLE ca_keys IN SHARE ROW EXCLUSIVE MODE`)
		s.query(func(row column.Scanner) error {
			key, err := column.ScanCAKey(row)
			have = append(have, key)
			return err
		}, selectCAKeys)
	}, func(s *statements) (store.ActivityChange, error) {
		next, activity, err := rotate(have)
		if err != nil {
			return store.ActivityChange{}, callerError{err}
		}
		applyRotation(s, next)
		return activity, nil
	})
	return wrap(err, "rotate the CA")
}

func applyRotation(s *statements, r keys.CARotation) {
	s.add(`UPDATE ca_keys SET ends_at = $1 WHERE ends_at IS NULL OR ends_at > $1`, column.Time(r.OthersEndAt))
	s.add(`DELETE FROM ca_keys WHERE ends_at <= $1`, column.Time(r.Next.CreatedAt))
	s.add(insertCAKey, r.Next.ID, r.Next.PublicKey, r.Next.Sealed, column.Time(r.Next.CreatedAt))
}
