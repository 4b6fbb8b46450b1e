package postgres

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// batch is the changes of one transaction, which the database's function commit_activity
// decides and makes (migrations/00010_commit_in_sets.sql).
type batch struct {
	changes []store.ActivityChange
	args    []any // the function's, but for the first
	// made is what became of each change.
	made []made
}

// made is what became of a change.
type made struct {
	seq     int64 // 0 when nothing was changed
	verdict store.QuotaVerdict
	// holder is the exec that has the change's key, if another has it, and body what it was
	// taken for.
	holder sql.NullString
	body   []byte
	state  store.Activity
}

func newBatch(changes []store.ActivityChange) (*batch, error) {
	var a arguments
	for _, change := range changes {
		if change.Row == nil {
			return nil, errors.New("an activity change has no row")
		}
		if err := a.add(change); err != nil {
			return nil, err
		}
	}
	return &batch{changes: changes, args: a.list()}, nil
}

// commit adds the statements that make the changes. With again, what was made of them
// already, when a connection was lost, is not made again.
func (b *batch) commit(s *statements, again bool) {
	system.enter(s)
	b.made = nil
	s.query(func(row column.Scanner) error {
		m, err := scanMade(row)
		b.made = append(b.made, m)
		return err
	}, commitActivity, append([]any{again}, b.args...)...)
}

const commitActivity = `SELECT given_seq, verdict, holder, holder_body, holder_status, holder_outcome
	FROM commit_activity($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`

func scanMade(row column.Scanner) (m made, err error) {
	var status, outcome sql.NullString
	if err := row.Scan(&m.seq, &m.verdict, &m.holder, &m.body, &status, &outcome); err != nil {
		return m, err
	}
	m.state.Status = status.String
	if err := column.ReadOutcome(outcome, &m.state); err != nil {
		return m, fmt.Errorf("decode outcome of %s: %w", m.holder.String, err)
	}
	return m, nil
}

// taken is who has the claimed key; nil where nobody else has.
func (m made) taken(claim *store.Claim) *store.Taken {
	if !m.holder.Valid {
		return nil
	}
	return &store.Taken{
		ExecID: m.holder.String, Status: m.state.Status, ExitCode: m.state.ExitCode,
		Same: slices.ContainsFunc(claim.Bodies, func(b []byte) bool { return bytes.Equal(b, m.body) }),
	}
}

// arguments are those of commit_activity: its arrays, in columns.
type arguments struct {
	lessees, logs []string

	completes, frees                                          []bool
	ids, orgs, workspaces, types, statuses, actors, summaries []string
	created, completed                                        []sql.NullInt64
	details, outcomes, replicas                               []sql.NullString
	classes                                                   []int16
	ofWorkspace, ofOrg                                        []sql.NullInt32
	hashes, bodies                                            [][]byte
	keysAt, keysOver                                          []sql.NullInt64
}

// list returns the arguments in the function's order.
func (a *arguments) list() []any {
	return []any{
		inOrder(a.lessees), inOrder(a.logs),
		a.completes, a.ids, a.orgs, a.workspaces, a.types, a.statuses, a.actors, a.summaries,
		a.created, a.completed, a.details, a.outcomes, a.replicas, a.classes, a.ofWorkspace, a.ofOrg,
		a.hashes, a.bodies, a.keysAt, a.keysOver, a.frees,
	}
}

// inOrder returns each text once.
func inOrder(texts []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(texts)))
}

func (a *arguments) add(change store.ActivityChange) error {
	row := change.Row
	outcome, err := column.Outcome(row)
	if err != nil {
		return fmt.Errorf("%w: encode outcome: %w", store.ErrUnwritable, err)
	}
	var detail sql.NullString
	if !change.Complete {
		text, err := column.Detail(row)
		if err != nil {
			return fmt.Errorf("%w: encode detail: %w", store.ErrUnwritable, err)
		}
		detail = sql.NullString{String: text, Valid: true}
		if row.Replica != "" {
			a.lessees = append(a.lessees, row.Replica)
		}
	}
	a.logs = append(a.logs, row.OrgID)
	a.completes, a.frees = append(a.completes, change.Complete), append(a.frees, change.FreeKey)
	a.ids, a.orgs, a.workspaces = append(a.ids, row.ID), append(a.orgs, row.OrgID), append(a.workspaces, row.WorkspaceID)
	a.types, a.statuses, a.actors = append(a.types, row.Type), append(a.statuses, row.Status), append(a.actors, row.Actor)
	a.summaries = append(a.summaries, row.Summary)
	a.created, a.completed = append(a.created, column.Time(row.CreatedAt)), append(a.completed, column.TimePointer(row.CompletedAt))
	a.details, a.outcomes = append(a.details, detail), append(a.outcomes, outcome)
	a.replicas, a.classes = append(a.replicas, column.Text(row.Replica)), append(a.classes, int16(row.Class))
	a.addQuota(change.Quota)
	a.addClaim(change.Claim)
	return nil
}

func (a *arguments) addQuota(quota *store.Quota) {
	var ofWorkspace, ofOrg sql.NullInt32
	if quota != nil {
		ofWorkspace = sql.NullInt32{Int32: int32(quota.OfWorkspace), Valid: true}
		ofOrg = sql.NullInt32{Int32: int32(quota.OfOrg), Valid: true}
	}
	a.ofWorkspace, a.ofOrg = append(a.ofWorkspace, ofWorkspace), append(a.ofOrg, ofOrg)
}

func (a *arguments) addClaim(claim *store.Claim) {
	var hash, body []byte
	var at, over sql.NullInt64
	if claim != nil {
		hash, body = claim.Hash[:], claim.Bodies[0]
		at, over = column.Time(claim.At), column.Time(claim.At.Add(-claim.Life))
	}
	a.hashes, a.bodies = append(a.hashes, hash), append(a.bodies, body)
	a.keysAt, a.keysOver = append(a.keysAt, at), append(a.keysOver, over)
}
