package postgres

import (
	"context"
	"database/sql"
	"encoding/binary"
	"time"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// CreateSession adds a session, takes away those that were over at now, and of its token's
// the oldest above most.
func (db *DB) CreateSession(ctx context.Context, s store.Session, now time.Time, most int) error {
	err := db.transact(ctx, true, func(t *tx) error {
		err := t.send(func(b *statements) {
			system.enter(b)
			// One after another for a token, so that none sees too few to take away.
			b.add(`SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(s.TokenHash[:])))
			b.add(`INSERT INTO sessions (hash, token_hash, expires_at) VALUES ($1, $2, $3)`,
				s.Hash[:], s.TokenHash[:], column.Time(s.ExpiresAt))
		})
		if err != nil {
			return err
		}
		// A row that another transaction has locked is removed by that one.
		const without = `DELETE FROM sessions WHERE position IN (SELECT position FROM sessions WHERE `
		return t.commit(func(b *statements) {
			b.add(without+`expires_at <= $1 FOR UPDATE SKIP LOCKED)`, column.Time(now))
			b.add(without+`token_hash = $1 ORDER BY position DESC OFFSET $2 FOR UPDATE SKIP LOCKED)`, s.TokenHash[:], most)
		})
	})
	return wrap(err, "create session")
}

// SessionByHash returns the session with this SHA-256, one that is over too. ErrNotFound
// if there is none.
func (db *DB) SessionByHash(ctx context.Context, hash [32]byte) (store.Session, error) {
	s, err := askOne(ctx, db.readers, system, scanSession, selectSession, hash[:])
	return s, wrap(err, "find session")
}

const selectSession = `SELECT hash, token_hash, expires_at FROM sessions WHERE hash = $1`

func scanSession(row column.Scanner) (s store.Session, err error) {
	var hash, token []byte
	var expires sql.NullInt64
	err = row.Scan(&hash, &token, &expires)
	copy(s.Hash[:], hash)
	copy(s.TokenHash[:], token)
	s.ExpiresAt = column.Loaded(expires)
	return s, err
}

// DeleteSession ends a session, if there is one.
func (db *DB) DeleteSession(ctx context.Context, hash [32]byte) error {
	err := db.run(ctx, system, func(s *statements) { s.add(`DELETE FROM sessions WHERE hash = $1`, hash[:]) })
	return wrap(err, "delete session")
}
