package postgres

import (
	"sallyport"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// quotas count the running execs of organisations, by workspace.
type quotas map[string]map[string]int

// look adds the statement that counts them.
func (q quotas) look(s *statements, orgs []string) {
	s.query(func(row column.Scanner) error {
		var org, workspace string
		var n int
		err := row.Scan(&org, &workspace, &n)
		q.add(org, workspace, n)
		return err
	}, selectRunning, orgs)
}

const selectRunning = `SELECT org_id, workspace_id, count(*) FROM activity
	WHERE status = '` + sallyport.StatusRunning + `' AND type = '` + sallyport.ActivityExec + `' AND org_id = ANY($1)
	GROUP BY org_id, workspace_id`

func (q quotas) add(org, workspace string, n int) {
	if q[org] == nil {
		q[org] = map[string]int{}
	}
	q[org][workspace] += n
}

// count counts a row that the batch begins or completes.
func (q quotas) count(org string, e exec, n int) {
	if e.kind == sallyport.ActivityExec {
		q.add(org, e.workspaceID, n)
	}
}

// keeps tells whether a row may be written, and says in its quota whose running execs
// would be too many.
func (q quotas) keeps(row *store.Activity, quota *store.Quota) bool {
	ofOrg := 0
	for _, n := range q[row.OrgID] {
		ofOrg += n
	}
	quota.Over = store.QuotaKept
	switch {
	case q[row.OrgID][row.WorkspaceID] >= quota.OfWorkspace:
		quota.Over = store.QuotaOfWorkspace
	case ofOrg >= quota.OfOrg:
		quota.Over = store.QuotaOfOrg
	}
	return quota.Over == store.QuotaKept
}
