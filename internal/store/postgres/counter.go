package postgres

import (
	"maps"
	"slices"

	"sallyport/internal/store/column"
)

// counters are the last seqs of organisations whose logs a transaction has locked.
type counters map[string]int64

// lock adds the statements that lock the logs of the organisations and read their last
// seqs: until the transaction ends, nobody else changes them.
//
// All transactions lock in the same order, so that none waits for one that waits for
// it: rows that are new first, then the others, both by organisation. A row is never
// deleted, so what is new to one transaction is new to all until it is committed.
// Rows of other tables are locked behind them.
func (c counters) lock(b *statements, orgs ...string) {
	wanted := map[string]bool{}
	for _, org := range orgs {
		wanted[org] = true
	}
	sorted := slices.Sorted(maps.Keys(wanted))
	b.add(`INSERT INTO activity_counters (org_id, last_seq) SELECT org_id, 0 FROM unnest($1::text[]) AS wanted (org_id)
		ON CONFLICT DO NOTHING`, sorted)
	b.query(func(row column.Scanner) error {
		var org string
		var last int64
		err := row.Scan(&org, &last)
		c[org] = last
		return err
	}, `SELECT org_id, last_seq FROM activity_counters WHERE org_id = ANY($1) ORDER BY org_id FOR UPDATE`, sorted)
}

// save adds the statement that stores the seqs that were taken.
func (c counters) save(b *statements) {
	orgs, last := []string{}, []int64{}
	for org, seq := range c {
		orgs, last = append(orgs, org), append(last, seq)
	}
	b.add(`UPDATE activity_counters AS c SET last_seq = taken.last_seq
		FROM unnest($1::text[], $2::bigint[]) AS taken (org_id, last_seq)
		WHERE c.org_id = taken.org_id AND c.last_seq <> taken.last_seq`, orgs, last)
}
