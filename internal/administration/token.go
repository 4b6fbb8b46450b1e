package administration

import (
	"context"
	"errors"
	"slices"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/field"
	"sallyport/internal/id"
	"sallyport/internal/identity"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// TokenStore keeps the tokens.
type TokenStore interface {
	// CreateToken keeps an organisation from having more than most live tokens; 0 is no
	// bound. It returns store.ErrTooMany.
	CreateToken(ctx context.Context, t store.Token, most int, change store.ActivityChange) error
	// Token finds a live token of an organisation, or of one workspace of it.
	Token(ctx context.Context, orgID, workspaceID, id string) (store.Token, error)
	RevokeToken(ctx context.Context, orgID, workspaceID, id string, at time.Time, change store.ActivityChange) error
	// Tokens lists the live tokens, oldest first.
	Tokens(ctx context.Context, orgID, workspaceID string, page store.Page) ([]store.Positioned[store.Token], error)
}

// TokenHome is whose tokens a call is about: an organisation's own, or those of
// one workspace.
type TokenHome struct {
	// Org is an organisation's id or name; with Workspace it is the admin's ?org=.
	Org string
	// Workspace is an id or a name; empty for the organisation's own tokens.
	Workspace string
}

// home finds the organisation, or the workspace, that owns the tokens, and checks that
// the caller may manage them.
func (a *Administration) home(ctx context.Context, by access.Caller, h TokenHome, tried string) (orgID, workspaceID string, err error) {
	if h.Workspace == "" {
		org, err := a.Access.Org(ctx, by, h.Org)
		if err != nil {
			return "", "", err
		}
		return org.ID, "", a.Access.Check(ctx, by, a.Access.Rules.Tokens, nil, tried)
	}
	ws, err := a.Access.Workspace(ctx, by, access.Ref(h))
	if err != nil {
		return "", "", err
	}
	return ws.OrgID, ws.ID, a.Access.Check(ctx, by, a.Access.Rules.Tokens, &ws, tried)
}

// CreateToken mints a token; its secret is in the answer and nowhere else. The token
// expires no later than its maker's own. It returns not_found or workspace_not_found,
// scope_forbidden, too_many_tokens, or invalid_ and what is wrong.
func (a *Administration) CreateToken(ctx context.Context, by access.Caller, h TokenHome, req sallyport.TokenCreate) (sallyport.Token, error) {
	if err := field.CheckToken(req); err != nil {
		return sallyport.Token{}, err
	}
	const tried = "create a token"
	orgID, workspaceID, err := a.home(ctx, by, h, tried)
	if err != nil {
		return sallyport.Token{}, err
	}
	if len(req.Scopes) == 0 {
		req.Scopes = sallyport.DefaultScopes()
	}
	if err := a.Access.Refuse(ctx, by, policy.Grant(by.Principal, req.Scopes), &store.Workspace{OrgID: orgID, ID: workspaceID}, tried); err != nil {
		return sallyport.Token{}, err
	}
	kind := principal.Org
	if workspaceID != "" {
		kind = principal.Workspace
	}
	minted := identity.Mint(kind)
	t := a.newToken(minted, orgID, workspaceID, req)
	t.ExpiresAt = noLater(t.ExpiresAt, by.TokenExpiresAt)
	most, err := a.Access.OrgLimits(ctx, orgID)
	if err != nil {
		return sallyport.Token{}, err
	}
	change := a.Access.Event(by, sallyport.ActivityTokenCreated, orgID, workspaceID, "token %s created: %s", t.Prefix, t.Name)
	switch err := a.Tokens.CreateToken(ctx, t, most.Tokens, change); {
	case errors.Is(err, store.ErrTooMany):
		return sallyport.Token{}, sallyport.Errorf(sallyport.CodeTooManyTokens,
			"the organisation has as many live tokens as it may, %d; revoke some that nobody uses", most.Tokens)
	case err != nil:
		return sallyport.Token{}, access.StoreError(err, homeless(workspaceID))
	}
	out := wireToken(t)
	out.Secret = minted.Secret
	return out, nil
}

// noLater returns end, or the maker's own end where that comes first; zero is never. What
// somebody may do until a time, they can't hand on for longer.
func noLater(end, makers time.Time) time.Time {
	if makers.IsZero() || !end.IsZero() && end.Before(makers) {
		return end
	}
	return makers
}

// homeless names what was deleted between the look-up of a token's home and the token's
// creation.
func homeless(workspaceID string) string {
	if workspaceID != "" {
		return access.Workspace
	}
	return access.Organisation
}

func (a *Administration) newToken(minted identity.Minted, orgID, workspaceID string, req sallyport.TokenCreate) store.Token {
	t := store.Token{
		ID: id.New(), OrgID: orgID, WorkspaceID: workspaceID, Name: req.Name,
		Prefix: minted.Prefix, Hash: minted.Hash, CreatedAt: a.Now().UTC(),
	}
	for _, s := range sallyport.AllScopes() {
		if slices.Contains(req.Scopes, s) {
			t.Scopes = append(t.Scopes, s)
		}
	}
	if req.ExpiresInS > 0 {
		t.ExpiresAt = t.CreatedAt.Add(time.Duration(req.ExpiresInS) * time.Second)
	}
	return t
}

// ListTokens lists live tokens, oldest first, without their secrets.
func (a *Administration) ListTokens(ctx context.Context, by access.Caller, h TokenHome, page access.PageRequest) (sallyport.List[sallyport.Token], error) {
	var none sallyport.List[sallyport.Token]
	orgID, workspaceID, err := a.home(ctx, by, h, "list tokens")
	if err != nil {
		return none, err
	}
	scope := "tokens/" + orgID + "/" + workspaceID
	p, err := access.StorePage(scope, page)
	if err != nil {
		return none, err
	}
	found, err := a.Tokens.Tokens(ctx, orgID, workspaceID, p)
	return access.List(scope, p, found, wireToken), access.StoreError(err, access.Token)
}

// RevokeToken revokes a token and ends its running acts. It returns not_found.
func (a *Administration) RevokeToken(ctx context.Context, by access.Caller, h TokenHome, tokenID string) error {
	orgID, workspaceID, err := a.home(ctx, by, h, "revoke a token")
	if err != nil {
		return err
	}
	t, err := a.Tokens.Token(ctx, orgID, workspaceID, tokenID)
	if err != nil {
		return access.StoreError(err, access.Token)
	}
	change := a.Access.Event(by, sallyport.ActivityTokenRevoked, orgID, workspaceID, "token %s revoked: %s", t.Prefix, t.Name)
	if err := a.Tokens.RevokeToken(ctx, orgID, workspaceID, tokenID, a.Now().UTC(), change); err != nil {
		return access.StoreError(err, access.Token)
	}
	a.End(ctx, live.Ending{Of: live.EndingOfToken, ID: tokenID})
	return nil
}

func wireToken(t store.Token) sallyport.Token {
	out := sallyport.Token{
		ID: t.ID, OrgID: t.OrgID, WorkspaceID: t.WorkspaceID, Name: t.Name, Prefix: t.Prefix,
		Scopes: t.Scopes, CreatedAt: t.CreatedAt,
	}
	if !t.ExpiresAt.IsZero() {
		out.ExpiresAt = &t.ExpiresAt
	}
	return out
}
