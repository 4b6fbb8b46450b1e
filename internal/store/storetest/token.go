package storetest

import (
	"fmt"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

func testTokens(t *testing.T, e Engine) {
	ctx := t.Context()
	org := mustOrg(t, e, "acme")
	ws := mustWorkspace(t, e, org.ID, "web")
	for _, tok := range []store.Token{
		newToken(org.ID, "", "an organisation's"),
		newToken(org.ID, ws.ID, "a workspace's"),
		{ID: id.New(), OrgID: org.ID, Name: "for ever", Hash: [32]byte{1}, Scopes: []sallyport.Scope{}, CreatedAt: start()},
	} {
		row := newRow(org.ID, tok.WorkspaceID, sallyport.ActivityTokenCreated)
		must(t, e.CreateToken(ctx, tok, 0, store.ActivityChange{Row: row}))
		wantEqual(t, value(e.TokenByHash(ctx, tok.Hash))(t), tok)
		wantEqual(t, value(e.Token(ctx, org.ID, tok.WorkspaceID, tok.ID))(t), tok)
		wantEqual(t, value(e.Activity(ctx, org.ID, row.ID))(t), *row)
	}
}

func testTokenErrors(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	foreign := mustWorkspace(t, e, other.ID, "web")
	change := noted(org.ID)
	for _, tok := range []store.Token{
		newToken(id.New(), "", "nobody's"),
		newToken(org.ID, id.New(), "for nothing"),
		newToken(org.ID, foreign.ID, "for another's"),
	} {
		wantError(t, e.CreateToken(ctx, tok, 0, change), store.ErrNotFound)
		_, err := e.TokenByHash(ctx, tok.Hash)
		wantError(t, err, store.ErrNotFound)
	}
	_, err := e.Activity(ctx, "", change.Row.ID)
	wantError(t, err, store.ErrNotFound)
	_, err = e.TokenByHash(ctx, [32]byte{})
	wantError(t, err, store.ErrNotFound)

	tok := mustToken(t, e, org.ID, "", "ci")
	twin := newToken(org.ID, "", "ci")
	twin.Hash = tok.Hash
	wantOther(t, e.CreateToken(ctx, twin, 0, noted(org.ID)))
	mustToken(t, e, org.ID, "", "ci") // names are free text
}

func testTokensListing(t *testing.T, e Engine) {
	ctx := t.Context()
	org := mustOrg(t, e, "acme")
	ws := mustWorkspace(t, e, org.ID, "web")
	owners := []string{"", ws.ID}
	var of [2][]store.Token
	for i := range 8 {
		of[i%2] = append(of[i%2], mustToken(t, e, org.ID, owners[i%2], fmt.Sprintf("tok-%d", 9-i)))
	}
	for i, owner := range owners {
		list := func(page store.Page) ([]store.Positioned[store.Token], error) {
			return e.Tokens(ctx, org.ID, owner, page)
		}
		for _, limit := range []int{1, 3, 4, 5} {
			wantEqual(t, records(t, pages(t, limit, list), false), of[i])
		}
		must(t, e.RevokeToken(ctx, org.ID, owner, of[i][1].ID, start(), noted(org.ID)))
		live := append([]store.Token{of[i][0]}, of[i][2:]...)
		wantEqual(t, records(t, pages(t, 2, list), false), live)
	}
	wantEqual(t, len(value(e.Tokens(ctx, id.New(), "", all))(t)), 0)
	wantEqual(t, len(value(e.Tokens(ctx, "", ws.ID, all))(t)), 0)
}

func testRevokeToken(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	ws := mustWorkspace(t, e, org.ID, "web")
	orgs, workspaces := mustToken(t, e, org.ID, "", "a"), mustToken(t, e, org.ID, ws.ID, "b")
	at := start().Add(time.Minute)
	change := store.ActivityChange{Row: newRow(org.ID, "", sallyport.ActivityTokenRevoked)}
	for _, c := range []struct{ org, ws, id string }{
		{other.ID, "", orgs.ID}, {other.ID, ws.ID, workspaces.ID}, {org.ID, ws.ID, orgs.ID},
		{org.ID, "", workspaces.ID}, {org.ID, id.New(), workspaces.ID}, {org.ID, "", id.New()}, {"", "", orgs.ID},
	} {
		_, err := e.Token(ctx, c.org, c.ws, c.id)
		wantError(t, err, store.ErrNotFound)
		wantError(t, e.RevokeToken(ctx, c.org, c.ws, c.id, at, change), store.ErrNotFound)
	}
	wantEqual(t, value(e.TokenByHash(ctx, orgs.Hash))(t), orgs)

	must(t, e.RevokeToken(ctx, org.ID, "", orgs.ID, at, change))
	orgs.RevokedAt = at
	wantEqual(t, value(e.TokenByHash(ctx, orgs.Hash))(t), orgs)
	wantEqual(t, value(e.Activity(ctx, org.ID, change.Row.ID))(t), *change.Row)
	must(t, e.RevokeToken(ctx, org.ID, ws.ID, workspaces.ID, at, noted(org.ID)))
	workspaces.RevokedAt = at
	wantEqual(t, value(e.TokenByHash(ctx, workspaces.Hash))(t), workspaces)

	_, err := e.Token(ctx, org.ID, "", orgs.ID)
	wantError(t, err, store.ErrNotFound) // it is live no more
	again := noted(org.ID)
	wantError(t, e.RevokeToken(ctx, org.ID, "", orgs.ID, at.Add(time.Hour), again), store.ErrNotFound)
	wantEqual(t, value(e.TokenByHash(ctx, orgs.Hash))(t), orgs)
	wantEqual(t, again.Row.Seq, int64(0))
}

func testRevokeTokensNamed(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	ws := mustWorkspace(t, e, org.ID, "web")
	at := start().Add(time.Minute)
	named := []store.Token{mustToken(t, e, org.ID, "", "dev"), mustToken(t, e, org.ID, "", "dev")}
	kept := []store.Token{
		mustToken(t, e, org.ID, "", "dev-2"), mustToken(t, e, org.ID, ws.ID, "dev"), mustToken(t, e, other.ID, "", "dev"),
	}
	rows := len(value(e.Activities(ctx, store.ActivityFilter{}, all))(t))

	must(t, e.RevokeTokensNamed(ctx, org.ID, "dev", at))
	for _, tok := range named {
		tok.RevokedAt = at
		wantEqual(t, value(e.TokenByHash(ctx, tok.Hash))(t), tok)
	}
	must(t, e.RevokeTokensNamed(ctx, org.ID, "dev", at.Add(time.Hour)))
	wantEqual(t, value(e.TokenByHash(ctx, named[0].Hash))(t).RevokedAt, at)
	must(t, e.RevokeTokensNamed(ctx, id.New(), "dev", at))
	for _, tok := range kept {
		wantEqual(t, value(e.TokenByHash(ctx, tok.Hash))(t), tok)
	}
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{}, all))(t)), rows)
}
