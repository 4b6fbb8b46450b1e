package postgres

import (
	"sallyport/client/sallyport"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// quotas count the running rows of organisations, by class and workspace.
type quotas map[classKey]map[string]int

// classKey names a class of an organisation's rows.
type classKey struct {
	org   string
	class store.Class
}

// look adds the statement that counts them.
func (q quotas) look(s *statements, orgs []string) {
	s.query(func(row column.Scanner) error {
		var org, workspace string
		var class store.Class
		var n int
		err := row.Scan(&org, &class, &workspace, &n)
		q.add(org, class, workspace, n)
		return err
	}, selectRunning, orgs)
}

const selectRunning = `SELECT org_id, class, workspace_id, count(*) FROM activity
	WHERE status = '` + sallyport.StatusRunning + `' AND org_id = ANY($1)
	GROUP BY org_id, class, workspace_id`

// add counts n running rows more.
func (q quotas) add(org string, class store.Class, workspace string, n int) {
	key := classKey{org, class}
	if q[key] == nil {
		q[key] = map[string]int{}
	}
	q[key][workspace] += n
}

// admits tells whether a row fits into its quota, whose verdict it fills in.
func (q quotas) admits(row *store.Activity, quota *store.Quota) bool {
	running := q[classKey{row.OrgID, row.Class}]
	ofOrg := 0
	for _, n := range running {
		ofOrg += n
	}
	quota.Verdict = store.WithinQuota
	switch {
	case running[row.WorkspaceID] >= quota.OfWorkspace:
		quota.Verdict = store.WorkspaceFull
	case ofOrg >= quota.OfOrg:
		quota.Verdict = store.OrgFull
	}
	return quota.Verdict == store.WithinQuota
}
