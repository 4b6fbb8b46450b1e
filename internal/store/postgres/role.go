package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// roleTries is how often the making of a role is tried: those who start at the same
// time get into each other's way, also those of other databases, since roles are the
// whole server's.
const roleTries = 20

// takeRoles sees to it that the login role can become each of the roles that row-level
// security goes by. With create it makes those that are missing, and itself a member.
func takeRoles(ctx context.Context, pool *sql.DB, create bool) error {
	for try := 1; ; try++ {
		user, missing, err := missingRoles(ctx, pool)
		if err != nil {
			return fmt.Errorf("look for its roles: %w", err)
		}
		if len(missing) == 0 {
			return nil
		}
		if !create {
			return rolesNeeded(user, missing)
		}
		_, err = pool.ExecContext(ctx, missing[0])
		switch codeOf(err) {
		case codePrivilege:
			return rolesNeeded(user, missing)
		case codeDuplicateObject, codeUnique, codeInternal:
			// Somebody else did the same just now, so we look again.
		default:
			if err != nil {
				return fmt.Errorf("make its roles: %w", err)
			}
		}
		if err != nil && try == roleTries {
			return fmt.Errorf("make its roles: %w", err)
		}
	}
}

func rolesNeeded(user string, missing []string) error {
	return fmt.Errorf("the login role %s can't become the roles that keep organisations apart, and may not make them, an administrator must run: %s",
		user, strings.Join(missing, "; "))
}

// missingRoles returns the statements that are still to be run until the login role is a
// member of each role, and that role's name.
func missingRoles(ctx context.Context, pool *sql.DB) (user string, statements []string, err error) {
	for _, role := range []string{tenantRole, systemRole} {
		var there sql.NullBool
		// Since PostgreSQL 16 who makes a role is a member of it that can't become it yet.
		err := pool.QueryRowContext(ctx, `
			SELECT current_user, (SELECT pg_has_role(current_user, oid,
				CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)
				FROM pg_roles WHERE rolname = $1)`,
			role).Scan(&user, &there)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", nil, err
		}
		if !there.Valid {
			statements = append(statements, `CREATE ROLE `+role+` NOLOGIN`)
		}
		if !there.Bool {
			statements = append(statements, `GRANT `+role+` TO `+pgx.Identifier{user}.Sanitize())
		}
	}
	return user, statements, nil
}
