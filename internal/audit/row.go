package audit

import (
	"strings"
	"time"

	"sallyport"
	"sallyport/internal/id"
	"sallyport/internal/principal"
	"sallyport/internal/redact"
	"sallyport/internal/store"
)

// Exec is what is known of an exec before it runs.
type Exec struct {
	By          principal.Principal
	ClientAddr  string
	OrgID       string
	WorkspaceID string
	// Argv is as it will run: the log masks what it keeps.
	Argv       []string
	Cwd        string
	EnvNames   []string
	StdinBytes int64
	TimeoutS   int
	// Replica is who runs it; see store.Activity.
	Replica string
	// Claim takes an idempotency key along with the row; nil is none.
	Claim *store.Claim
	// Quota bounds how many execs run with this one; nil is no bound.
	Quota *store.Quota
}

// ExecEnd is how an exec ended. Status is one of sallyport's but running.
type ExecEnd struct {
	Status string
	Code   sallyport.Code
	Reason string
	// NothingRan gives the exec's idempotency key back.
	NothingRan bool
	// Ran tells that the command had started: without it what follows is void.
	Ran                              bool
	ExitCode                         *int
	Signal                           string
	Duration                         time.Duration
	StdoutBytes, StderrBytes         int64
	StdoutTruncated, StderrTruncated bool
	// Survivors is nil where the command ended by itself, or nobody could look.
	Survivors        *int
	SurvivorsUnknown bool
}

// Denial is the refusal of an authenticated caller.
type Denial struct {
	By         principal.Principal
	ClientAddr string
	// OrgID is that of the workspace, or else the caller's own.
	OrgID       string
	WorkspaceID string
	// Tried says what was refused, in a few words of ours.
	Tried string
	Code  sallyport.Code
}

// Event is an act on Sallyport's own records.
type Event struct {
	Type        string
	By          principal.Principal
	ClientAddr  string
	OrgID       string
	WorkspaceID string
	// Summary is one line of ours; names in it may be a caller's.
	Summary string
	// Code is set for what went wrong.
	Code sallyport.Code
}

func (l *Log) execRow(e Exec) store.Activity {
	argv := redact.Argv(e.Argv)
	row := l.newRow(sallyport.ActivityExec, e.By, e.ClientAddr)
	row.Status, row.CompletedAt = sallyport.StatusRunning, nil
	row.OrgID, row.WorkspaceID, row.Replica = e.OrgID, e.WorkspaceID, e.Replica
	row.Summary = redact.Summary(argv)
	row.Argv, row.Cwd, row.EnvNames = argv, redact.Text(e.Cwd), e.EnvNames
	row.StdinBytes, row.TimeoutS = &e.StdinBytes, e.TimeoutS
	return row
}

func (l *Log) denialRow(d Denial) store.Activity {
	row := l.newRow(sallyport.ActivityAccessDenied, d.By, d.ClientAddr)
	row.Status, row.Code = sallyport.StatusDenied, d.Code
	row.OrgID, row.WorkspaceID = d.OrgID, d.WorkspaceID
	row.Summary = summary(d.Tried)
	return row
}

func (l *Log) eventRow(e Event) store.Activity {
	row := l.newRow(e.Type, e.By, e.ClientAddr)
	row.Status, row.Code = sallyport.StatusOK, e.Code
	if e.Code != "" {
		row.Status = sallyport.StatusError
	}
	row.OrgID, row.WorkspaceID = e.OrgID, e.WorkspaceID
	row.Summary = summary(e.Summary)
	return row
}

// newRow is a row that is complete when it is written.
func (l *Log) newRow(kind string, by principal.Principal, addr string) store.Activity {
	now := l.now().UTC()
	return store.Activity{Activity: sallyport.Activity{
		ID: id.New(), Type: kind, Actor: by.Actor(), CreatedAt: now, CompletedAt: &now,
		ActBegun: sallyport.ActBegun{ClientAddr: addr},
	}}
}

// summary masks and escapes one line of ours that may hold a caller's words.
func summary(s string) string {
	return redact.Line(strings.TrimSpace(s))
}

func (e ExecEnd) apply(row *sallyport.Activity) {
	row.Status, row.Code, row.Reason = e.Status, e.Code, e.Reason
	row.Survivors, row.SurvivorsUnknown = e.Survivors, e.SurvivorsUnknown
	if !e.Ran {
		return
	}
	ms := e.Duration.Milliseconds()
	row.ExitCode, row.Signal, row.DurationMS = e.ExitCode, e.Signal, &ms
	row.StdoutBytes, row.StderrBytes = &e.StdoutBytes, &e.StderrBytes
	row.StdoutTruncated, row.StderrTruncated = &e.StdoutTruncated, &e.StderrTruncated
}
