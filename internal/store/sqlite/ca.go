package sqlite

import (
	"context"
	"database/sql"

	"sallyport/internal/keys"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const (
	selectCAKeys = `SELECT id, public_key, sealed, created_at, ends_at FROM ca_keys ORDER BY position DESC`
	insertCAKey  = `INSERT INTO ca_keys (id, public_key, sealed, created_at) VALUES (?, ?, ?, ?)`
)

// CAKeys returns every key of the SSH CA, newest first. Those whose end has
// passed are there until the next rotation.
func (db *DB) CAKeys(ctx context.Context) ([]keys.CAKey, error) {
	found, err := list(ctx, db.readers, column.ScanCAKey, selectCAKeys)
	return found, wrap(err, "list CA keys")
}

// AddFirstCAKey adds a key if there is none, and else does nothing: when several
// add one at the same time, the first is kept. It leaves no activity row: nobody
// asked for it.
func (db *DB) AddFirstCAKey(ctx context.Context, key keys.CAKey) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, insertCAKey+` ON CONFLICT ((ends_at IS NULL)) WHERE ends_at IS NULL DO NOTHING`,
			key.ID, key.PublicKey, key.Sealed, column.Time(key.CreatedAt))
		return err
	})
	return wrap(err, "add the first CA key")
}

// ResealCAKey replaces what is sealed of a key. That there is no such key any more
// is no error.
func (db *DB) ResealCAKey(ctx context.Context, keyID string, sealed []byte) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `UPDATE ca_keys SET sealed = ? WHERE id = ?`, sealed, keyID)
		return err
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
	err := db.update(ctx, func(ctx context.Context, w *sql.Conn) (store.ActivityChange, error) {
		have, err := list(ctx, w, column.ScanCAKey, selectCAKeys)
		if err != nil {
			return store.ActivityChange{}, err
		}
		next, activity, err := rotate(have)
		if err != nil {
			return store.ActivityChange{}, callerError{err}
		}
		return activity, applyRotation(ctx, w, next)
	})
	return wrap(err, "rotate the CA")
}

func applyRotation(ctx context.Context, w *sql.Conn, r keys.CARotation) error {
	end := column.Time(r.OthersEndAt)
	_, err := w.ExecContext(ctx, `UPDATE ca_keys SET ends_at = ?1 WHERE ends_at IS NULL OR ends_at > ?1`, end)
	if err != nil {
		return err
	}
	if _, err := w.ExecContext(ctx, `DELETE FROM ca_keys WHERE ends_at <= ?`, column.Time(r.Next.CreatedAt)); err != nil {
		return err
	}
	_, err = w.ExecContext(ctx, insertCAKey, r.Next.ID, r.Next.PublicKey, r.Next.Sealed, column.Time(r.Next.CreatedAt))
	return err
}
