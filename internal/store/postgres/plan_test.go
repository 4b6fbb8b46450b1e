package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sallyport/test/pg"
)

// TestPlans demands that the statements which grow with the log, or which every request
// waits for, go by an index, whoever they run as: row-level security is in their way to
// an index where a comparison isn't leakproof.
func TestPlans(t *testing.T) {
	s := pg.Start(t)
	url := s.Database(t)
	must(t, openURL(t, url).Close())
	fillTables(t, s, url)
	conn := raw(t, url)
	page := `= 'o7' AND written_seq < 9 ORDER BY written_seq DESC LIMIT 9`
	mine, all := tenant("o7"), system
	for _, test := range []struct {
		as          viewer
		query, want string
	}{
		{all, selectTokens + `WHERE hash = 'o7'`, "using tokens_hash on tokens"},
		{all, selectSession, "using sessions_hash on sessions"},
		{mine, selectTokensOfWorkspace, "using tokens_listed on tokens"},
		{mine, selectWorkspaces + `WHERE id = 'o7' AND org_id = 'o7'`, "using workspaces_of_org on workspaces"},
		{mine, selectWorkspaces + `WHERE name = 'o7' AND org_id = 'o7'`, "using workspaces_name on workspaces"},
		{mine, selectWorkspacesOfOrg, "using workspaces_listed on workspaces"},
		{all, selectCAKeys, "org_ca_keys_listed"},
		{mine, countTokens, "tokens_live"},
		{mine, countWorkspaces, "on workspaces"},
		{mine, strings.NewReplacer("$1", "'a9'", "$2", "'o7'", "$6", "9").Replace(countAttachments), "on attachments_listed"},
		{mine, strings.NewReplacer("$4", "9", "$5", "9").Replace(selectAttachmentsOfWorkspace), "Backward using attachments_listed on attachments"},
		{mine, selectAttachments + `WHERE id = 'o7' AND org_id = 'o7'`, "using attachments_id on attachments"},
		{all, claimExpired, "using attachments_by_end on attachments"},
		{mine, `SELECT written_seq` + activityColumns + `WHERE org_id ` + page, "Backward using activity_of_org on activity"},
		{mine, `SELECT written_seq` + activityColumns + `WHERE org_id = 'o7' AND workspace_id ` + page, "Backward using activity_of_workspace on activity"},
		{all, `SELECT position` + activityColumns + `WHERE position < 9 ORDER BY position DESC LIMIT 9`, "Backward using activity_pkey on activity"},
		{mine, `SELECT position` + activityColumns + `WHERE id = 'o7' AND org_id = 'o7'`, "using activity_id on activity"},
		{mine, selectEvents, "using activity_completed on activity"},
		{mine, selectEvents, "using activity_of_org on activity"},
		{mine, selectLastSeq, "using activity_counters_pkey on activity_counters"},
		{all, selectAbandoned, "activity_running_acts"},
	} {
		if plan := explain(t, conn, test.as, test.query); !strings.Contains(plan, test.want) {
			t.Errorf("%s\nis planned as\n%s\nwant %q", test.query, plan, test.want)
		}
	}
}

// fillTables makes the tables so large that a plan matters.
func fillTables(t *testing.T, s *pg.Server, url string) {
	t.Helper()
	s.Admin(t, url,
		`INSERT INTO orgs (id, name, created_at) SELECT 'o' || i, i, 1 FROM generate_series(0, 99) AS i`,
		`INSERT INTO workspaces (id, org_id, name, tier, labels, connector_version, created_at, updated_at)
			SELECT 'w' || i, 'o' || i % 100, i, 1, '{}', 1, 1, 1 FROM generate_series(1, 5000) AS i`,
		`INSERT INTO tokens (id, org_id, workspace_id, name, prefix, hash, scopes, created_at)
			SELECT 't' || i, 'o' || i % 100, 'w' || i, i, '', int4send(i), '[]', 1 FROM generate_series(1, 5000) AS i`,
		`INSERT INTO attachments (id, org_id, workspace_id, name, size, media_type, sha256, reserved, created_at, expires_at, claimed_until)
			SELECT 'f' || i, 'o' || i % 100, 'w' || (i % 5000 + 1) / 100 * 100 + i % 100, '', 1, '', '', false, i, i, 0 FROM generate_series(100, 4899) AS i`,
		`INSERT INTO org_ca_keys (id, org_id, public_key, sealed, created_at, ends_at) SELECT 'k' || i, 'o' || i % 100, i, '', 1, 2 FROM generate_series(1, 5000) AS i`,
		`INSERT INTO sessions (hash, token_hash, expires_at) SELECT int4send(i), '', 1 FROM generate_series(1, 5000) AS i`,
		`INSERT INTO activity (id, org_id, workspace_id, type, status, actor, summary, created_at, written_seq, seq, detail)
			SELECT 'a' || i, 'o' || i % 100, 'w' || i % 5000, 'workspace_exec', CASE i % 1000 WHEN 0 THEN 'running' ELSE 'ok' END, '', '', 1, 2*i, 2*i + i % 2, '{}'
			FROM generate_series(1, 20000) AS i`,
		`INSERT INTO activity_counters SELECT 'o' || i, 1 FROM generate_series(1, 5000) AS i`,
		`ANALYZE`)
}

// explain returns how a query is run.
func explain(t *testing.T, conn *pgx.Conn, v viewer, query string) string {
	t.Helper()
	query = strings.NewReplacer("ANY($1)", "ANY('{o7}')", "LIMIT $1", "LIMIT 9", "id = $1", "id = 'o7'", "id = $2", "id = 'o7'", "$1", "'9'", "$2", "'9'", "$3", "'9'", "$4", "'o7'").Replace(query)
	tx, err := conn.Begin(t.Context())
	must(t, err)
	defer func() { must(t, tx.Rollback(t.Context())) }()
	b := &statements{}
	v.enter(b)
	must(t, tx.SendBatch(t.Context(), &b.Batch).Close())
	rows, err := tx.Query(t.Context(), `EXPLAIN `+query, pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	steps, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return strings.Join(steps, "\n")
}
