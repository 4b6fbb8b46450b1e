package postgres

// lockLogs adds the statements that lock the logs of the organisations: until the
// transaction ends, nobody else changes them.
//
// All transactions lock in the same order, so that none waits for one that waits for
// it: rows that are new first, then the others, both by organisation. A row is never
// deleted, so what is new to one transaction is new to all until it is committed.
// Rows of other tables are locked behind them.
func lockLogs(b *statements, orgs ...string) {
	orgs = inOrder(orgs)
	b.add(`INSERT INTO activity_counters (org_id, last_seq) SELECT org_id, 0 FROM unnest($1::text[]) AS wanted (org_id)
		ON CONFLICT DO NOTHING`, orgs)
	b.add(`SELECT FROM activity_counters WHERE org_id = ANY($1) ORDER BY org_id FOR UPDATE`, orgs)
}
