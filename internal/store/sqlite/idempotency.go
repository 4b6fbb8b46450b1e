package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// claimStatements are the writer's, for idempotency keys.
type claimStatements struct{ find, take, free, prune *sql.Stmt }

func (s *claimStatements) prepare(ctx context.Context, p *preparer) {
	s.find = p.prepare(ctx, `
		SELECT k.body, k.exec_id, coalesce(a.status, ''), a.outcome FROM idempotency_keys AS k LEFT JOIN activity AS a ON a.id = k.exec_id
		WHERE k.org_id = ? AND k.hash = ? AND k.created_at > ?`)
	s.take = p.prepare(ctx, `INSERT OR REPLACE INTO idempotency_keys (org_id, hash, body, exec_id, created_at) VALUES (?, ?, ?, ?, ?)`)
	s.free = p.prepare(ctx, `DELETE FROM idempotency_keys WHERE exec_id = ? AND org_id = ?`)
	// Each that is taken takes two away that are over, so that they never pile up.
	s.prune = p.prepare(ctx, `DELETE FROM idempotency_keys WHERE (org_id, hash) IN
		(SELECT org_id, hash FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at LIMIT 2)`)
}

// claim takes a key for a row, or names its holder in the claim.
func (s *claimStatements) claim(ctx context.Context, row *store.Activity, c *store.Claim) error {
	c.Taken = nil
	over := column.Time(c.At.Add(-c.Life))
	var (
		body  []byte
		taken store.Taken
		end   sql.NullString
	)
	err := s.find.QueryRowContext(ctx, row.OrgID, c.Hash[:], over).Scan(&body, &taken.ExecID, &taken.Status, &end)
	if err == nil {
		var had store.Activity
		if err := column.ReadOutcome(end, &had); err != nil {
			return fmt.Errorf("decode outcome of %s: %w", taken.ExecID, err)
		}
		taken.ExitCode = had.ExitCode
		taken.Same = slices.ContainsFunc(c.Bodies, func(b []byte) bool { return bytes.Equal(b, body) })
		c.Taken = &taken
		return nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("find key: %w", err)
	}
	if _, err := s.prune.ExecContext(ctx, over); err != nil {
		return fmt.Errorf("prune keys: %w", err)
	}
	if _, err := s.take.ExecContext(ctx, row.OrgID, c.Hash[:], c.Bodies[0], row.ID, column.Time(c.At)); err != nil {
		return fmt.Errorf("take key: %w", err)
	}
	return nil
}

func (s *claimStatements) release(ctx context.Context, row *store.Activity) error {
	if _, err := s.free.ExecContext(ctx, row.ID, row.OrgID); err != nil {
		return fmt.Errorf("free key of %s: %w", row.ID, err)
	}
	return nil
}
