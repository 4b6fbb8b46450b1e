package gateway_test

import (
	"context"
	"io"
	"slices"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/administration"
	"sallyport/internal/gateway"
)

// act is one use case with something wrong about it.
type act struct {
	name string
	do   func(ctx context.Context) error
	want sallyport.Code
}

// Of two things that are wrong the earlier in the order is told: the record
// within the caller's tenant, then who may, then what was asked for, then what
// the store says. The order of an exec is the contract's, and tested there.
func TestOrderOfChecks(t *testing.T) {
	w := newWorld(t)
	a, b := w.org(t, "a"), w.org(t, "b")
	mine, theirs := w.workspace(t, a, "mine"), w.workspace(t, b, "theirs")
	reader := w.caller(t, administration.TokenHome{Org: a.ID}, sallyport.ScopeAuditRead)
	writer := w.caller(t, administration.TokenHome{Org: a.ID}, sallyport.ScopeWorkspaces, sallyport.ScopeTokens)
	bad, nine := "BAD", 9
	create := func(by gateway.Caller, req sallyport.WorkspaceCreate) func(context.Context) error {
		return func(ctx context.Context) error { _, err := w.CreateWorkspace(ctx, by, req); return err }
	}
	update := func(by gateway.Caller, ref string, c administration.WorkspaceChange) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := w.UpdateWorkspace(ctx, by, gateway.Ref{Workspace: ref}, c)
			return err
		}
	}
	mint := func(by gateway.Caller, home administration.TokenHome, scopes ...sallyport.Scope) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := w.CreateToken(ctx, by, home, sallyport.TokenCreate{Name: "x", Scopes: scopes})
			return err
		}
	}
	tests := []act{
		{"create: who, values", create(reader, sallyport.WorkspaceCreate{Name: bad}), sallyport.CodeScopeForbidden},
		{"create: values, organisation", create(writer, sallyport.WorkspaceCreate{Name: bad, OrgID: b.ID}), sallyport.CodeInvalidName},
		{"create: name, tier", create(writer, sallyport.WorkspaceCreate{Name: bad, Tier: 9}), sallyport.CodeInvalidName},
		{"create: organisation, taken", create(writer, sallyport.WorkspaceCreate{Name: "mine", OrgID: b.ID}), sallyport.CodeNotFound},
		{"create: no organisation like another's", create(writer, sallyport.WorkspaceCreate{Name: "x", OrgID: "no-such"}), sallyport.CodeNotFound},
		{"create: the admin names none", create(w.admin, sallyport.WorkspaceCreate{Name: bad}), sallyport.CodeInvalidOrgID},
		{"create: taken", create(writer, sallyport.WorkspaceCreate{Name: "mine"}), sallyport.CodeNameTaken},
		{"create: another's name is free", create(writer, sallyport.WorkspaceCreate{Name: "theirs"}), ""},
		{"update: record, who", update(reader, theirs.ID, administration.WorkspaceChange{}), sallyport.CodeWorkspaceNotFound},
		{"update: record by its name, who", update(reader, "no-such", administration.WorkspaceChange{}), sallyport.CodeWorkspaceNotFound},
		{"update: no name at all, who", update(reader, "../mine", administration.WorkspaceChange{}), sallyport.CodeWorkspaceNotFound},
		{"update: who, values", update(reader, mine.ID, administration.WorkspaceChange{Tier: &nine}), sallyport.CodeScopeForbidden},
		{"update: values, taken", update(writer, mine.ID, administration.WorkspaceChange{Tier: &nine, Name: &theirs.Name}), sallyport.CodeInvalidTier},
		{"delete: record, who", func(ctx context.Context) error {
			return w.DeleteWorkspace(ctx, reader, gateway.Ref{Workspace: theirs.ID})
		}, sallyport.CodeWorkspaceNotFound},
		{"delete: who", func(ctx context.Context) error {
			return w.DeleteWorkspace(ctx, reader, gateway.Ref{Workspace: mine.ID})
		}, sallyport.CodeScopeForbidden},
		{"token: organisation, who", mint(reader, administration.TokenHome{Org: b.ID}), sallyport.CodeNotFound},
		{"token: workspace, who", mint(reader, administration.TokenHome{Workspace: theirs.ID}), sallyport.CodeWorkspaceNotFound},
		{"token: who, grant", mint(reader, administration.TokenHome{Org: a.ID}, sallyport.ScopeExec), sallyport.CodeScopeForbidden},
		{"token: grant", mint(writer, administration.TokenHome{Org: a.ID}, sallyport.ScopeExec), sallyport.CodeScopeForbidden},
		{"token: default scopes are a grant too", mint(writer, administration.TokenHome{Org: a.ID}), sallyport.CodeScopeForbidden},
		{"token: what one has", mint(writer, administration.TokenHome{Workspace: mine.ID}, sallyport.ScopeTokens), ""},
		{"org: who, values", func(ctx context.Context) error {
			_, err := w.CreateOrg(ctx, writer, sallyport.OrgCreate{Name: bad})
			return err
		}, sallyport.CodeScopeForbidden},
		{"org: who, record", func(ctx context.Context) error { _, err := w.Org(ctx, writer, "no-such"); return err }, sallyport.CodeScopeForbidden},
		{"activity: record, who", func(ctx context.Context) error {
			_, err := w.WorkspaceActivity(ctx, writer, gateway.Ref{Workspace: theirs.ID}, gateway.ActivityQuery{})
			return err
		}, sallyport.CodeWorkspaceNotFound},
		{"activity: who, cursor", func(ctx context.Context) error {
			_, err := w.WorkspaceActivity(ctx, writer, gateway.Ref{Workspace: mine.ID}, gateway.ActivityQuery{Page: gateway.PageRequest{Cursor: "x"}})
			return err
		}, sallyport.CodeScopeForbidden},
	}
	for _, tt := range tests {
		before := len(w.rows(t, ""))
		err := tt.do(t.Context())
		wantCode(t, tt.name, err, tt.want)
		// A refusal of who leaves one row, an act its own; all else leaves none.
		left := 0
		if tt.want == "" || tt.want == sallyport.CodeScopeForbidden {
			left = 1
		}
		rows := w.rows(t, "")
		if len(rows)-before != left {
			t.Errorf("%s: %d rows, want %d", tt.name, len(rows)-before, left)
		} else if tt.want != "" && left == 1 && (rows[0].Type != sallyport.ActivityAccessDenied || rows[0].Code != tt.want || rows[0].ClientAddr != "10.0.0.1") {
			t.Errorf("%s: row %+v", tt.name, rows[0])
		}
	}
}

// What a workspace's refusal is about stands in that workspace's activity.
func TestRefusalNamesTheWorkspace(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	ws := w.workspace(t, org, "w")
	reader := w.caller(t, administration.TokenHome{Workspace: ws.ID}, sallyport.ScopeAuditRead)
	wantCode(t, "delete", w.DeleteWorkspace(t.Context(), reader, gateway.Ref{Workspace: "w"}), sallyport.CodeScopeForbidden)
	page, err := w.WorkspaceActivity(t.Context(), reader, gateway.Ref{Workspace: "w"}, gateway.ActivityQuery{Type: sallyport.ActivityAccessDenied})
	if err != nil || len(page.Items) != 1 || page.Items[0].Actor != reader.Actor() || page.Items[0].OrgID != org.ID {
		t.Errorf("rows %+v, %v", page.Items, err)
	}
}

// Where the log can't take the refusal, or the intent, nothing is done and
// nothing is told that the log doesn't know of.
func TestLogIsDown(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	ws, err := w.CreateWorkspace(t.Context(), w.admin, sallyport.WorkspaceCreate{
		OrgID: org.ID, Name: "w", Tier: 4, Connector: &sallyport.Connector{Type: sallyport.ConnectorLocal},
	})
	must(t, err)
	reader := w.caller(t, administration.TokenHome{Org: org.ID}, sallyport.ScopeAuditRead)
	runner := w.caller(t, administration.TokenHome{Org: org.ID}, sallyport.ScopeExec)
	w.Audit.Close()
	ref, file := gateway.Ref{Workspace: ws.ID}, t.TempDir()+"/ran"
	output := gateway.ExecOutput{
		Dispatched: func(string) { t.Error("dispatched") }, Started: func() { t.Error("started") }, Stdout: io.Discard, Stderr: io.Discard,
	}
	for _, by := range []gateway.Caller{reader, runner} {
		_, err := w.Exec(t.Context(), by, ref, gateway.Exec{Argv: []string{"touch", file}, TimeoutS: 10}, output)
		wantCode(t, by.Actor(), err, sallyport.CodePlatformUnavailable)
	}
	_, err = w.Exec(t.Context(), runner, ref, gateway.Exec{Argv: []string{"ls", file}, TimeoutS: 10}, output)
	wantCode(t, "again", err, sallyport.CodePlatformUnavailable)
	if slices.ContainsFunc(w.rows(t, org.ID), func(a sallyport.Activity) bool { return a.Type == sallyport.ActivityExec }) {
		t.Error("there is a row")
	}
	wantNoFile(t, file)
}
