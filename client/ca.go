package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"sallyport/client/sallyport"
)

// CAKeys returns the public keys in force of an organisation's SSH CA, newest first:
// those that its machines are to trust. The organisation is Client.Org, or else the
// token's own; the admin must name one.
func (c *Client) CAKeys(ctx context.Context) ([]sallyport.CAKey, error) {
	ask := call{doing: "get the SSH CA's keys", method: http.MethodGet, path: path("ca")}
	if c.Org != "" {
		ask.query = url.Values{"org": {c.Org}}
	}
	var list sallyport.List[sallyport.CAKey]
	err := c.do(ctx, ask, &list)
	return list.Items, err
}

// RotateCA makes a new key of an organisation's SSH CA, and returns the keys in force
// then, newest first. It takes the admin, or a token of the organisation with scope
// workspaces. The organisation is Client.Org, or else the token's own; ErrNoOrg if there
// is neither. The error's code is too_many_ca_keys where as many are in force as can be.
func (c *Client) RotateCA(ctx context.Context, r sallyport.CARotate) ([]sallyport.CAKey, error) {
	const doing = "rotate the SSH CA"
	org, err := c.ownOrg(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	var list sallyport.List[sallyport.CAKey]
	err = c.do(ctx, call{doing: doing, method: http.MethodPost, path: path("orgs", org, "ca", "rotate"), body: r}, &list)
	return list.Items, err
}

// ownOrg returns Client.Org, or asks the server for the organisation of the token.
func (c *Client) ownOrg(ctx context.Context) (string, error) {
	if c.Org != "" {
		return c.Org, checkRef("organisation", c.Org)
	}
	s, err := c.quiet().Session(ctx)
	if err == nil && s.OrgID == "" {
		err = ErrNoOrg
	}
	return s.OrgID, err
}
