package sqlite

import (
	"context"
	"database/sql"
)

// lookups are the statements that requests wait for, prepared once.
type lookups struct {
	prepared preparer

	orgByID, orgByName                             *sql.Stmt
	workspaceByID, workspaceByName, workspaceOfAny *sql.Stmt
	tokenByHash, sessionByHash                     *sql.Stmt
	lastSeq                                        *sql.Stmt
}

func (l *lookups) prepare(ctx context.Context, readers *sql.DB) error {
	l.prepared = preparer{conn: readers}
	p := &l.prepared
	l.orgByID = p.prepare(ctx, selectOrgs+`WHERE id = ?`)
	l.orgByName = p.prepare(ctx, selectOrgs+`WHERE name = ?`)
	l.workspaceByID = p.prepare(ctx, selectWorkspaces+`WHERE org_id = ? AND id = ?`)
	l.workspaceByName = p.prepare(ctx, selectWorkspaces+`WHERE org_id = ? AND name = ?`)
	l.workspaceOfAny = p.prepare(ctx, selectWorkspaces+`WHERE id = ?`)
	l.tokenByHash = p.prepare(ctx, selectTokens+`WHERE hash = ?`)
	l.sessionByHash = p.prepare(ctx, `SELECT token_hash, expires_at FROM sessions WHERE hash = ?`)
	l.lastSeq = p.prepare(ctx, selectLastSeq)
	return p.err
}
