package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/administration"
	"sallyport/internal/audit"
	"sallyport/internal/gateway"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/policy"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

// ledger is a real store that writes down what it is asked, and by whom it was
// found, but not what for.
type ledger struct {
	*sqlite.DB
	asked []string
}

func (l *ledger) note(what string, orgID string) { l.asked = append(l.asked, what+" of "+orgID) }

func (l *ledger) Org(ctx context.Context, ref string) (store.Org, error) {
	l.note("Org", "all")
	return l.DB.Org(ctx, ref)
}

func (l *ledger) UpdateOrg(ctx context.Context, id string, change func(*store.Org) (store.ActivityChange, error)) (store.Org, error) {
	l.note("UpdateOrg", "all")
	return l.DB.UpdateOrg(ctx, id, change)
}

func (l *ledger) DeleteOrg(ctx context.Context, id string, change store.ActivityChange) error {
	l.note("DeleteOrg", "all")
	return l.DB.DeleteOrg(ctx, id, change)
}

func (l *ledger) CreateWorkspace(ctx context.Context, ws store.Workspace, most int, change store.ActivityChange) error {
	l.note("CreateWorkspace", ws.OrgID)
	return l.DB.CreateWorkspace(ctx, ws, 0, change)
}

func (l *ledger) Workspace(ctx context.Context, orgID, ref string) (store.Workspace, error) {
	l.note("Workspace", orgID)
	return l.DB.Workspace(ctx, orgID, ref)
}

func (l *ledger) UpdateWorkspace(ctx context.Context, orgID, id string, change func(*store.Workspace) (store.ActivityChange, error)) (store.Workspace, error) {
	l.note("UpdateWorkspace", orgID)
	return l.DB.UpdateWorkspace(ctx, orgID, id, change)
}

func (l *ledger) DeleteWorkspace(ctx context.Context, orgID, id string, change store.ActivityChange) error {
	l.note("DeleteWorkspace", orgID)
	return l.DB.DeleteWorkspace(ctx, orgID, id, change)
}

func (l *ledger) CreateToken(ctx context.Context, t store.Token, most int, change store.ActivityChange) error {
	l.note("CreateToken", t.OrgID)
	return l.DB.CreateToken(ctx, t, 0, change)
}

func (l *ledger) Token(ctx context.Context, orgID, workspaceID, id string) (store.Token, error) {
	l.note("Token", orgID+"/"+workspaceID)
	return l.DB.Token(ctx, orgID, workspaceID, id)
}

func (l *ledger) RevokeToken(ctx context.Context, orgID, workspaceID, id string, at time.Time, change store.ActivityChange) error {
	l.note("RevokeToken", orgID+"/"+workspaceID)
	return l.DB.RevokeToken(ctx, orgID, workspaceID, id, at, change)
}

func (l *ledger) Tokens(ctx context.Context, orgID, workspaceID string, page store.Page) ([]store.Positioned[store.Token], error) {
	l.note("Tokens", orgID+"/"+workspaceID)
	return l.DB.Tokens(ctx, orgID, workspaceID, page)
}

func (l *ledger) TokenByHash(ctx context.Context, hash [32]byte) (store.Token, error) {
	l.note("TokenByHash", "all")
	return l.DB.TokenByHash(ctx, hash)
}

func (l *ledger) Activities(ctx context.Context, filter store.ActivityFilter, page store.Page) ([]store.Positioned[store.Activity], error) {
	l.note("Activities", filter.OrgID+"/"+filter.WorkspaceID)
	return l.DB.Activities(ctx, filter, page)
}

func (l *ledger) CommitActivity(ctx context.Context, changes []store.ActivityChange, durable bool) error {
	l.note("CommitActivity", fmt.Sprint(len(changes)))
	return l.DB.CommitActivity(ctx, changes, durable)
}

// newLedgerAPI is an API on a ledger, with organisations mine and theirs and a
// workspace in each. Workspaces are cached, and don't get old.
func newLedgerAPI(t *testing.T) (*api, *ledger) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Migrate: true})
	must(t, err)
	l, quiet := &ledger{DB: db}, slog.New(slog.DiscardHandler)
	log := audit.New(l, quiet, nil)
	t.Cleanup(func() {
		log.Close()
		db.Close()
	})
	seal, err := keys.ReadSeal(keys.NewSeal())
	must(t, err)
	may := &access.Access{Orgs: l, Workspaces: l, Audit: log, Rules: policy.Rules(), WorkspaceCacheTime: time.Hour}
	g := &gateway.Gateway{Access: may, Orgs: l, Workspaces: l, Tokens: l, Activities: l, Audit: log, Log: quiet, Now: time.Now}
	a := serve(g, &administration.Administration{
		Access: may, Orgs: l, Workspaces: l, Tokens: l, CA: &keys.CA{Store: l, Seal: seal, Now: time.Now},
		End: g.EndEverywhere, Log: quiet, Now: time.Now,
	}, l)
	for _, org := range []string{"mine", "theirs"} {
		a.create(t, "/orgs", `{"name":"`+org+`"}`)
		a.create(t, "/workspaces", `{"org_id":"`+org+`","name":"of-`+org+`","tier":4}`)
	}
	return a, l
}

// What is another's is looked for as what doesn't exist is: with the same questions
// to the store, in the same order, in the caller's own organisation. So there is no
// path on which the time could tell them apart.
func TestForeignCostsWhatAbsentDoes(t *testing.T) {
	a, l := newLedgerAPI(t)
	var theirs sallyport.Workspace
	must(t, json.Unmarshal(a.answer(a.request("GET", "/workspaces/of-theirs?org=theirs", "")).Body.Bytes(), &theirs))
	made := func(path string) (token sallyport.Token) {
		w := a.answer(a.request("POST", path, `{"name":"t","scopes":["exec","audit:read","workspaces","tokens"]}`))
		must(t, json.Unmarshal(w.Body.Bytes(), &token))
		return token
	}
	mine, foreign := made("/orgs/mine/tokens"), made("/orgs/theirs/tokens")
	ask := func(method, path, body string) (string, []string) {
		l.asked = nil
		r := a.request(method, path, body)
		r.Header.Set("Authorization", "Bearer "+mine.Secret)
		w := a.answer(r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return w.Body.String(), l.asked
	}
	const exec, token = `{"cmd":["true"]}`, `{"name":"x"}`
	for _, tt := range []struct{ method, path, body string }{
		{"GET", "/workspaces/{ws}", ""}, {"PATCH", "/workspaces/{ws}", `{"tier":1}`}, {"DELETE", "/workspaces/{ws}", ""}, {"POST", "/workspaces/{ws}/exec", exec},
		{"GET", "/workspaces/{ws}/tokens", ""}, {"POST", "/workspaces/{ws}/tokens", token}, {"DELETE", "/workspaces/{ws}/tokens/{token}", ""},
		{"GET", "/workspaces/{ws}/activity", ""}, {"GET", "/workspaces/{ws}/events", ""}, {"GET", "/workspaces/{name}", ""}, {"POST", "/workspaces/{name}/exec", exec},
		{"GET", "/orgs/{org}/tokens", ""}, {"POST", "/orgs/{org}/tokens", token}, {"DELETE", "/orgs/{org}/tokens/{token}", ""}, {"DELETE", "/orgs/mine/tokens/{token}", ""},
		{"GET", "/orgs/{org}/activity", ""}, {"GET", "/orgs/{org}/events", ""}, {"POST", "/workspaces", `{"name":"x","org_id":"{org}"}`}, {"GET", "/workspaces?org={org}", ""},
	} {
		fill := func(org, ws, name, token string) func(string) string {
			return strings.NewReplacer("{org}", org, "{ws}", ws, "{name}", name, "{token}", token).Replace
		}
		there, absent := fill("theirs", theirs.ID, "of-theirs", foreign.ID), fill("nobody", id.New(), "of-nobody", id.New())
		gotBody, got := ask(tt.method, there(tt.path), there(tt.body))
		wantBody, want := ask(tt.method, absent(tt.path), absent(tt.body))
		if !slices.Equal(got, want) || gotBody != wantBody || len(got) < 2 {
			t.Errorf("%s %s: %s\nfor another's %v\nfor nobody's %v", tt.method, tt.path, gotBody, got, want)
		}
		if asked := strings.Join(got, " "); strings.Contains(asked, foreign.OrgID) {
			t.Errorf("%s %s: %s is asked for", tt.method, tt.path, asked)
		}
	}
}

// A workspace of the caller's organisation that its token isn't for, and that others use
// just now, costs the same questions as one that doesn't exist; and what the caller may
// know of costs none.
func TestSiblingCostsWhatAbsentDoes(t *testing.T) {
	a, l := newLedgerAPI(t)
	var sibling sallyport.Workspace
	must(t, json.Unmarshal(a.answer(a.request("POST", "/workspaces", `{"org_id":"mine","name":"sibling","tier":4}`)).Body.Bytes(), &sibling))
	made := func(path string) (token sallyport.Token) {
		w := a.answer(a.request("POST", path, `{"name":"t","scopes":["exec"]}`))
		must(t, json.Unmarshal(w.Body.Bytes(), &token))
		return token
	}
	neighbour, mine := made("/orgs/mine/tokens"), made("/workspaces/of-mine/tokens?org=mine")
	looks := func(token sallyport.Token, ws string, code sallyport.Code) int {
		t.Helper()
		l.asked = nil
		r := a.request("POST", "/workspaces/"+ws+"/exec", `{"cmd":["true"]}`)
		r.Header.Set("Authorization", "Bearer "+token.Secret)
		w := a.answer(r)
		if !strings.Contains(w.Body.String(), string(code)) {
			t.Errorf("%s: %d %s, want %s", ws, w.Code, w.Body, code)
		}
		return strings.Count(strings.Join(l.asked, " "), "Workspace of "+sibling.OrgID)
	}
	for _, tt := range []struct {
		token sallyport.Token
		ws    string
		code  sallyport.Code
		looks int
	}{
		{neighbour, "sibling", sallyport.CodeWorkspaceHasNoHost, 1}, {neighbour, sibling.ID, sallyport.CodeWorkspaceHasNoHost, 1},
		{neighbour, "sibling", sallyport.CodeWorkspaceHasNoHost, 0}, {neighbour, sibling.ID, sallyport.CodeWorkspaceHasNoHost, 0},
		{mine, "sibling", sallyport.CodeWorkspaceNotFound, 1}, {mine, sibling.ID, sallyport.CodeWorkspaceNotFound, 1},
		{mine, "sibling", sallyport.CodeWorkspaceNotFound, 1}, {mine, sibling.ID, sallyport.CodeWorkspaceNotFound, 1},
		{mine, "nobody", sallyport.CodeWorkspaceNotFound, 1}, {mine, "nobody", sallyport.CodeWorkspaceNotFound, 1},
		{mine, "of-mine", sallyport.CodeWorkspaceHasNoHost, 1}, {mine, "of-mine", sallyport.CodeWorkspaceHasNoHost, 0},
	} {
		if got := looks(tt.token, tt.ws, tt.code); got != tt.looks {
			t.Errorf("%s, token for %q: %d looks for the workspace, want %d", tt.ws, tt.token.WorkspaceID, got, tt.looks)
		}
	}
}
