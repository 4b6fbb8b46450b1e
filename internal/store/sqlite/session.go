package sqlite

import (
	"context"
	"database/sql"
	"time"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// CreateSession adds a session, takes away those that were over at now, and of its token's
// the oldest above most.
func (db *DB) CreateSession(ctx context.Context, s store.Session, now time.Time, most int) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		w := db.writer.conn
		if _, err := w.ExecContext(ctx, `DELETE FROM sessions WHERE expires_at <= ?`, column.Time(now)); err != nil {
			return err
		}
		_, err := w.ExecContext(ctx, `INSERT INTO sessions (hash, token_hash, expires_at) VALUES (?, ?, ?)`,
			s.Hash[:], s.TokenHash[:], column.Time(s.ExpiresAt))
		if err != nil {
			return err
		}
		_, err = w.ExecContext(ctx, `DELETE FROM sessions WHERE token_hash = ?1 AND position <=
			(SELECT position FROM sessions WHERE token_hash = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2)`, s.TokenHash[:], most)
		return err
	})
	return wrap(err, "create session")
}

// SessionByHash returns the session with this SHA-256, one that is over too. ErrNotFound
// if there is none.
func (db *DB) SessionByHash(ctx context.Context, hash [32]byte) (store.Session, error) {
	s := store.Session{Hash: hash}
	var token []byte
	var expires sql.NullInt64
	err := db.lookups.sessionByHash.QueryRowContext(ctx, hash[:]).Scan(&token, &expires)
	copy(s.TokenHash[:], token)
	s.ExpiresAt = column.Loaded(expires)
	return s, wrap(err, "find session")
}

// DeleteSession ends a session, if there is one.
func (db *DB) DeleteSession(ctx context.Context, hash [32]byte) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `DELETE FROM sessions WHERE hash = ?`, hash[:])
		return err
	})
	return wrap(err, "delete session")
}
