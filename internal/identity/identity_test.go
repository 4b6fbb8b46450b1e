package identity_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/identity"
	"sallyport/internal/principal"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// desk is an authenticator on a real store, with an organisation and a workspace.
type desk struct {
	*identity.Authenticator
	db             *sqlite.DB
	org, workspace string
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d := &desk{db: db, org: id.New(), workspace: id.New(),
		Authenticator: &identity.Authenticator{Store: db, Now: func() time.Time { return now }}}
	must(t, db.CreateOrg(t.Context(), store.Org{ID: d.org, Name: "o", CreatedAt: now}, d.row()))
	must(t, db.CreateWorkspace(t.Context(), store.Workspace{
		ID: d.workspace, OrgID: d.org, Name: "w", Tier: 3, CreatedAt: now, UpdatedAt: now,
	}, 0, d.row()))
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// row is one of the activity log, which every change brings.
func (d *desk) row() store.ActivityChange {
	return store.ActivityChange{Row: &store.Activity{Activity: sallyport.Activity{
		ID: id.New(), OrgID: d.org, Type: sallyport.ActivityTokenCreated, Status: sallyport.StatusOK, CreatedAt: now,
	}}}
}

// mint makes a token; change may change its record.
func (d *desk) mint(t testing.TB, kind principal.Kind, change func(*store.Token)) (secret string, record store.Token) {
	t.Helper()
	m := identity.Mint(kind)
	record = store.Token{ID: id.New(), OrgID: d.org, Name: "n", Prefix: m.Prefix, Hash: m.Hash, CreatedAt: now,
		Scopes: []sallyport.Scope{sallyport.ScopeExec}}
	if kind == principal.Workspace {
		record.WorkspaceID = d.workspace
	}
	if change != nil {
		change(&record)
	}
	must(t, d.db.CreateToken(t.Context(), record, 0, d.row()))
	return m.Secret, record
}

func bearer(token string) []string { return []string{"Bearer " + token} }

func TestAuthenticate(t *testing.T) {
	d := newDesk(t)
	org, orgRecord := d.mint(t, principal.Org, nil)
	workspace, workspaceRecord := d.mint(t, principal.Workspace, nil)
	admin := strings.Repeat("admin-", 6)
	hash := identity.Hash(admin)
	d.Admin = &hash
	tests := []struct {
		token, actor, org, workspace, id string
		kind                             principal.Kind
		scopes                           int
	}{
		{org, "org-token:" + orgRecord.Prefix, d.org, "", orgRecord.ID, principal.Org, 1},
		{workspace, "workspace-token:" + workspaceRecord.Prefix, d.org, d.workspace, workspaceRecord.ID, principal.Workspace, 1},
		{admin, "admin-token", "", "", "", principal.Admin, len(sallyport.AllScopes())},
	}
	for _, tt := range tests {
		for _, header := range []string{"Bearer " + tt.token, "bEARER  " + tt.token + " "} {
			p, err := d.Authenticate(t.Context(), []string{header})
			must(t, err)
			if p.Kind != tt.kind || p.Actor() != tt.actor || p.OrgID != tt.org || p.WorkspaceID != tt.workspace ||
				p.TokenID != tt.id || len(p.Scopes) != tt.scopes {
				t.Errorf("%s is %+v", tt.actor, p)
			}
		}
	}
}

// A token that was revoked or whose time is over proves nobody: to the instant.
func TestDeadTokens(t *testing.T) {
	d := newDesk(t)
	tests := []struct {
		name    string
		expires time.Time
		revoke  bool
		lives   bool
	}{
		{name: "for ever", lives: true},
		{name: "expires in a moment", expires: now.Add(time.Millisecond), lives: true},
		{name: "expires now", expires: now},
		{name: "expired", expires: now.Add(-time.Hour)},
		{name: "revoked", revoke: true},
		{name: "revoked before it expires", revoke: true, expires: now.Add(time.Hour)},
	}
	for _, tt := range tests {
		token, record := d.mint(t, principal.Org, func(r *store.Token) { r.ExpiresAt = tt.expires })
		if tt.revoke {
			// Revoked at a time that has not come yet: it is dead at once.
			must(t, d.db.RevokeToken(t.Context(), d.org, "", record.ID, now.Add(time.Hour), d.row()))
		}
		p, err := d.Authenticate(t.Context(), bearer(token))
		if tt.lives != (err == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !tt.lives {
			wantNobody(t, tt.name, p, err)
		}
	}
}

type reporter interface {
	Helper()
	Errorf(string, ...any)
}

// refusal is the one answer to whoever proves nobody.
const refusal = "a valid token is needed: Authorization: Bearer TOKEN"

func wantNobody(t reporter, what string, p principal.Principal, err error) {
	t.Helper()
	if sallyport.CodeOf(err) != sallyport.CodeUnauthenticated || err.Error() != refusal || p.Kind != principal.Nobody || p.Scopes != nil {
		t.Errorf("%s: %+v, %v", what, p, err)
	}
}

// Whatever stands in the header, there are two answers: a token's principal, and
// the one refusal, which is always the same.
func TestRefusalsAreAlike(t *testing.T) {
	d := newDesk(t)
	live, _ := d.mint(t, principal.Org, nil)
	dead, _ := d.mint(t, principal.Org, func(r *store.Token) { r.ExpiresAt = now })
	admin := strings.Repeat("admin-", 6)
	hash := identity.Hash(admin)
	d.Admin = &hash
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		token := rapid.OneOf(tokenGen(), rapid.String(), rapid.Just(dead), rapid.Just(live), rapid.Just(admin)).Draw(t, "token")
		scheme := rapid.SampledFrom([]string{"Bearer ", "bearer ", "Basic ", "", "Bearer", "Bearer\t", " Bearer "}).Draw(t, "scheme")
		headers := rapid.SampledFrom([][]string{{scheme + token}, {scheme + token, scheme + token}, {scheme + token, ""}, {}, nil}).Draw(t, "headers")
		p, err := d.Authenticate(ctx, headers)
		isProof := len(headers) == 1 && (scheme == "Bearer " || scheme == "bearer ") &&
			(strings.Trim(token, " ") == live || strings.Trim(token, " ") == admin)
		if isProof {
			if err != nil || p.Kind == principal.Nobody {
				t.Errorf("%q proves nobody: %v", headers, err)
			}
			return
		}
		wantNobody(t, strings.Join(headers, "|"), p, err)
	})
}

// Without an admin token in the configuration nobody is the admin, whatever the
// empty string's hash is.
func TestNoAdmin(t *testing.T) {
	d := newDesk(t)
	for _, headers := range [][]string{{"Bearer "}, {"Bearer"}, {""}, bearer(identity.Mint(principal.Admin).Secret)} {
		p, err := d.Authenticate(t.Context(), headers)
		wantNobody(t, strings.Join(headers, "|"), p, err)
	}
}

// A store that can't answer is not a wrong token; one that is told by its form
// needs no store.
func TestStoreIsDown(t *testing.T) {
	d := newDesk(t)
	token, _ := d.mint(t, principal.Org, nil)
	d.db.Close()
	p, err := d.Authenticate(t.Context(), bearer(token))
	if sallyport.CodeOf(err) != sallyport.CodePlatformUnavailable || p.Kind != principal.Nobody {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = d.Authenticate(t.Context(), bearer(token+"x"))
	wantNobody(t, "a typo", p, err)
}

// A caller who goes away is not one whose token is wrong.
func TestCanceled(t *testing.T) {
	d := newDesk(t)
	token, _ := d.mint(t, principal.Org, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Authenticate(ctx, bearer(token)); err == nil || sallyport.CodeOf(err) == sallyport.CodeUnauthenticated {
		t.Errorf("got %v", err)
	}
}
