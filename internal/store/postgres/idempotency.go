package postgres

import (
	"bytes"
	"cmp"
	"database/sql"
	"fmt"
	"slices"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// claims are the idempotency keys that a batch is about.
type claims struct {
	// held are the keys that are somebody's, before the batch and by now.
	held map[claimKey]holder
	// taken are those that the batch takes.
	taken map[claimKey]bool
	// states are the states of rows after the batch's changes so far.
	states map[string]state
	// freed are the rows whose keys are given back.
	freed []*store.Activity
	// pruned is how many keys that are over are to be taken away, and over since when.
	pruned int
	over   sql.NullInt64
}

// claimKey names a key of an organisation.
type claimKey struct {
	org  string
	hash [32]byte
}

// holder is the exec that has a key.
type holder struct {
	execID string
	body   []byte
	at     sql.NullInt64
	state  state
}

// state is the reported state of the exec that has a key.
type state struct {
	status   string
	exitCode *int
}

func newClaims() claims {
	return claims{held: map[claimKey]holder{}, taken: map[claimKey]bool{}, states: map[string]state{}}
}

// look adds the statement that finds the keys that the changes claim.
func (c *claims) look(s *statements, changes []store.ActivityChange) {
	var orgs []string
	var hashes [][]byte
	for _, change := range changes {
		if change.Claim != nil {
			orgs, hashes = append(orgs, change.Row.OrgID), append(hashes, change.Claim.Hash[:])
		}
	}
	if len(orgs) == 0 {
		return
	}
	s.query(c.scan, `
		SELECT k.org_id, k.hash, k.body, k.exec_id, k.created_at, coalesce(a.status, ''), a.outcome
		FROM idempotency_keys AS k LEFT JOIN activity AS a ON a.id = k.exec_id
		WHERE (k.org_id, k.hash) IN (SELECT org_id, hash FROM unnest($1::text[], $2::bytea[]) AS claimed (org_id, hash))`,
		orgs, hashes)
}

func (c *claims) scan(row column.Scanner) error {
	var (
		key  claimKey
		h    holder
		hash []byte
		end  sql.NullString
		had  store.Activity
	)
	if err := row.Scan(&key.org, &hash, &h.body, &h.execID, &h.at, &h.state.status, &end); err != nil {
		return err
	}
	if err := column.ReadOutcome(end, &had); err != nil {
		return fmt.Errorf("decode outcome of %s: %w", h.execID, err)
	}
	copy(key.hash[:], hash)
	h.state.exitCode = had.ExitCode
	c.held[key] = h
	return nil
}

// claim takes a key for a row, or names its holder in the claim.
func (c *claims) claim(row *store.Activity, claim *store.Claim) {
	claim.Taken = nil
	key, over := claimKey{row.OrgID, claim.Hash}, column.Time(claim.At.Add(-claim.Life))
	if h, ok := c.held[key]; ok && h.at.Int64 > over.Int64 {
		if now, ok := c.states[h.execID]; ok {
			h.state = now
		}
		claim.Taken = &store.Taken{
			ExecID: h.execID, Status: h.state.status, ExitCode: h.state.exitCode,
			Same: slices.ContainsFunc(claim.Bodies, func(b []byte) bool { return bytes.Equal(b, h.body) }),
		}
		return
	}
	c.held[key] = holder{execID: row.ID, body: claim.Bodies[0], at: column.Time(claim.At)}
	c.taken[key] = true
	c.pruned, c.over = c.pruned+1, over
}

// changed remembers what the batch has made of a row.
func (c *claims) changed(row *store.Activity) { c.states[row.ID] = state{row.Status, row.ExitCode} }

// free gives back the key of a row.
func (c *claims) free(row *store.Activity) {
	c.freed = append(c.freed, row)
	for key, h := range c.held {
		if key.org == row.OrgID && h.execID == row.ID {
			delete(c.held, key)
			delete(c.taken, key)
		}
	}
}

// write adds the statements that give keys back and take others.
func (c *claims) write(s *statements) {
	if len(c.freed) > 0 {
		var orgs, ids []string
		for _, row := range c.freed {
			orgs, ids = append(orgs, row.OrgID), append(ids, row.ID)
		}
		s.add(`DELETE FROM idempotency_keys
			WHERE (exec_id, org_id) IN (SELECT exec_id, org_id FROM unnest($1::text[], $2::text[]) AS freed (exec_id, org_id))`, ids, orgs)
	}
	if len(c.taken) == 0 {
		return
	}
	var (
		orgs, ids      []string
		hashes, bodies [][]byte
		at             []sql.NullInt64
	)
	for _, key := range c.inOrder() {
		h := c.held[key]
		orgs, ids, at = append(orgs, key.org), append(ids, h.execID), append(at, h.at)
		hashes, bodies = append(hashes, key.hash[:]), append(bodies, h.body)
	}
	s.add(`INSERT INTO idempotency_keys (org_id, hash, body, exec_id, created_at)
		SELECT org_id, hash, body, exec_id, created_at
		FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[]) AS taken (org_id, hash, body, exec_id, created_at)
		ON CONFLICT (hash, org_id) DO UPDATE SET body = excluded.body, exec_id = excluded.exec_id, created_at = excluded.created_at`,
		orgs, hashes, bodies, ids, at)
}

// inOrder returns the keys that are taken, by organisation and hash.
func (c *claims) inOrder() []claimKey {
	var keys []claimKey
	for key := range c.taken {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b claimKey) int {
		return cmp.Or(cmp.Compare(a.org, b.org), bytes.Compare(a.hash[:], b.hash[:]))
	})
	return keys
}

// prune takes away two keys that are over for each that was taken, so that they never
// pile up. Those that another transaction is at are left to it.
func (c *claims) prune(s *statements) {
	if c.pruned == 0 {
		return
	}
	s.add(`DELETE FROM idempotency_keys WHERE (org_id, hash) IN
		(SELECT org_id, hash FROM idempotency_keys WHERE created_at <= $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
		c.over, 2*c.pruned)
}
