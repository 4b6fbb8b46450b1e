package audit

import (
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/principal"
	"sallyport/internal/redact"
	"sallyport/internal/store"
)

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
