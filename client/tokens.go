package client

import (
	"context"
	"iter"
	"net/http"

	"sallyport/client/sallyport"
)

// ListTokens returns one page of an owner's live tokens, oldest first, without
// their secrets.
func (c *Client) ListTokens(ctx context.Context, owner Owner, p Page) (sallyport.List[sallyport.Token], error) {
	var list sallyport.List[sallyport.Token]
	owner, err := owner.find(ctx, c)
	if err != nil {
		return list, err
	}
	q := p.query()
	set(q, "org", owner.lookupOrg())
	err = c.do(ctx, call{doing: "list tokens", method: http.MethodGet, path: owner.path("tokens"), query: q}, &list)
	return list, err
}

// AllTokens yields every live token of an owner, oldest first, and ends with the
// first error.
func (c *Client) AllTokens(ctx context.Context, owner Owner) iter.Seq2[sallyport.Token, error] {
	return func(yield func(sallyport.Token, error) bool) {
		owner, err := owner.find(ctx, c)
		if err != nil {
			yield(sallyport.Token{}, err)
			return
		}
		all(func(cursor string) (sallyport.List[sallyport.Token], error) {
			return c.ListTokens(ctx, owner, Page{Limit: pageMax, Cursor: cursor})
		})(yield)
	}
}

// CreateToken makes a token for an owner. The Token that it returns is the only place in
// which the Secret ever stands.
func (c *Client) CreateToken(ctx context.Context, owner Owner, t sallyport.TokenCreate) (sallyport.Token, error) {
	var token sallyport.Token
	owner, err := owner.find(ctx, c)
	if err != nil {
		return token, err
	}
	err = c.do(ctx, call{
		doing: "create token " + t.Name, method: http.MethodPost,
		path: owner.path("tokens"), query: orgQuery(owner.lookupOrg()), body: t,
	}, &token)
	return token, err
}

// RevokeToken ends a token, and the execs and streams that run under it. The error's code is
// not_found where the owner has no live token with this id.
func (c *Client) RevokeToken(ctx context.Context, owner Owner, id string) error {
	if err := checkRef("token", id); err != nil {
		return err
	}
	owner, err := owner.find(ctx, c)
	if err != nil {
		return err
	}
	return c.do(ctx, call{
		doing: "revoke token " + id, method: http.MethodDelete,
		path: owner.path("tokens", id), query: orgQuery(owner.lookupOrg()),
	}, nil)
}
