package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"sallyport/internal/store"
)

// Codes of PostgreSQL (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	codeForeignKey       = "23503"
	codeUnique           = "23505"
	codeDuplicateObject  = "42710"
	codePrivilege        = "42501"
	codeInternal         = "XX000" // among others "tuple concurrently updated", of two that grant
	codeAdminShutdown    = "57P01"
	codeCrashShutdown    = "57P02"
	codeCannotConnectNow = "57P03"
	// codeTooManyConnections is of the server's limit, and of the role's.
	codeTooManyConnections = "53300"

	// Of the function commit_activity.
	codeLeaseLost = "SP001"
	codeLeaseOver = "SP002"
)

var (
	errSlow     = fmt.Errorf("the database didn't answer within %v", operationTime)
	errReadOnly = errors.New("the database takes no writes: it is a standby, or told to be read-only")
	errUndone   = errors.New("the database undid the transaction")
)

// codeOf returns PostgreSQL's code, "" if err isn't PostgreSQL's.
func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// names are the constraints that keep names from being used twice.
var names = map[string]bool{"orgs_name": true, "workspaces_name": true}

// known turns what PostgreSQL says into the errors of package store where it is one of
// them: a row is not there, or the one that it would belong to, or a name is in use.
func known(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrNotFound
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && e.Code == codeForeignKey:
		return store.ErrNotFound
	case ok && e.Code == codeLeaseLost:
		return store.ErrLeaseLost
	case ok && e.Code == codeLeaseOver:
		return errLeaseOver
	case ok && e.Code == codeUnique && names[e.ConstraintName]:
		return store.ErrConflict
	}
	return err
}

// unwritable marks an error of a commit that is due to what is in its rows: data that
// can't be kept (22), constraints (23), limits of a row or an index (54), what a trigger
// says (P0). The database has answered, so nothing was changed.
func unwritable(err error) error {
	switch code := codeOf(err); {
	case len(code) < 2:
		return err
	case slices.Contains([]string{"22", "23", "54", "P0"}, code[:2]):
		return fmt.Errorf("%w: %w", store.ErrUnwritable, err)
	}
	return err
}

// callerError is the error of a caller's own function.
type callerError struct{ error }

// wrap says what was being done when err happened. Nil and a caller's own error stay as
// they are.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[callerError](err); ok {
		return own.error
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), known(err))
}

// isLost tells whether err means that a connection ended that may have been dead for
// long, so that another one may do better.
func isLost(err error, closed bool) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	switch codeOf(err) {
	case codeAdminShutdown, codeCrashShutdown, codeCannotConnectNow:
		return true
	}
	return closed || pgconn.SafeToRetry(err)
}

// oneLine keeps an error that tells of several hosts on one line.
func oneLine(err error) error {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			// The driver tries with TLS and without, and tells of both at length. What it wraps is
			// not for callers, who would take it for a server of ours that can't be reached.
			return fmt.Errorf("it can't be reached: %v", op.Err)
		}
	}
	text := err.Error()
	if !strings.Contains(text, "\n") {
		return err
	}
	return linedError{strings.Join(strings.Fields(text), " "), err}
}

// linedError is an error in other words.
type linedError struct {
	text string
	err  error
}

func (e linedError) Error() string { return e.text }
func (e linedError) Unwrap() error { return e.err }
