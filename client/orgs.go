package client

import (
	"context"
	"errors"
	"iter"
	"net/http"

	"sallyport/client/sallyport"
)

// ListOrgs returns one page of the organisations, oldest first. Organisations
// are the admin's: to others every call about them is scope_forbidden.
func (c *Client) ListOrgs(ctx context.Context, p Page) (sallyport.List[sallyport.Org], error) {
	var list sallyport.List[sallyport.Org]
	err := c.do(ctx, call{doing: "list organisations", method: http.MethodGet, path: "/orgs", query: p.query()}, &list)
	return list, err
}

// AllOrgs yields every organisation, oldest first, and ends with the first error.
func (c *Client) AllOrgs(ctx context.Context) iter.Seq2[sallyport.Org, error] {
	return all(func(cursor string) (sallyport.List[sallyport.Org], error) {
		return c.ListOrgs(ctx, Page{Limit: pageMax, Cursor: cursor})
	})
}

// GetOrg returns the organisation with an id or a name.
func (c *Client) GetOrg(ctx context.Context, ref string) (sallyport.Org, error) {
	return c.oneOrg(ctx, "get organisation "+ref, http.MethodGet, ref, nil)
}

// CreateOrg makes an organisation.
func (c *Client) CreateOrg(ctx context.Context, o sallyport.OrgCreate) (sallyport.Org, error) {
	var org sallyport.Org
	err := c.do(ctx, call{doing: "create organisation " + o.Name, method: http.MethodPost, path: "/orgs", body: o}, &org)
	return org, err
}

// UpdateOrg changes what patch holds of an organisation, and returns it as it is
// then.
func (c *Client) UpdateOrg(ctx context.Context, ref string, patch sallyport.OrgPatch) (sallyport.Org, error) {
	return c.oneOrg(ctx, "update organisation "+ref, http.MethodPatch, ref, patch)
}

// DeleteOrg deletes an organisation with its tokens. The error's code is
// org_not_empty while it has workspaces.
func (c *Client) DeleteOrg(ctx context.Context, ref string) error {
	if err := checkRef("organisation", ref); err != nil {
		return err
	}
	return c.do(ctx, call{doing: "delete organisation " + ref, method: http.MethodDelete, path: path("orgs", ref)}, nil)
}

func (c *Client) oneOrg(ctx context.Context, doing, method, ref string, body any) (sallyport.Org, error) {
	var org sallyport.Org
	if err := checkRef("organisation", ref); err != nil {
		return org, err
	}
	err := c.do(ctx, call{doing: doing, method: method, path: path("orgs", ref), body: body}, &org)
	return org, err
}

// ErrNoOrg is a call about an organisation that names none, by a token that
// belongs to none: the admin's.
var ErrNoOrg = errors.New("the admin token belongs to no organisation, and none was named")

// Owner is the organisation or workspace whose tokens or activity a call is about. The zero
// value is the client's own token's: its organisation, or its workspace.
type Owner struct {
	// Org is an organisation's id or name. Beside Workspace it is the
	// organisation in which the workspace is looked up. Empty is Client.Org.
	Org string
	// Workspace is an id or a name.
	Workspace string
}

// find fills in the fields that are empty, and asks the server if it must.
func (o Owner) find(ctx context.Context, c *Client) (Owner, error) {
	if o.Org == "" {
		o.Org = c.Org
	}
	if o.Workspace != "" {
		return o, checkRef("workspace", o.Workspace)
	}
	if o.Org != "" {
		return o, checkRef("organisation", o.Org)
	}
	s, err := c.quiet().Session(ctx)
	if err != nil {
		return o, err
	}
	if s.WorkspaceID == "" && s.OrgID == "" {
		return o, ErrNoOrg
	}
	if s.WorkspaceID != "" {
		return Owner{Workspace: s.WorkspaceID}, nil
	}
	return Owner{Org: s.OrgID}, nil
}

// quiet is c without OnAnswer, for a question that the caller didn't ask.
func (c *Client) quiet() *Client {
	quiet := *c
	quiet.OnAnswer = nil
	return &quiet
}

// path returns the path of what the owner has, such as its tokens.
func (o Owner) path(elements ...string) string {
	if o.Workspace != "" {
		return path("workspaces", o.Workspace) + path(elements...)
	}
	return path("orgs", o.Org) + path(elements...)
}

// lookupOrg is the organisation in which the owner's workspace is looked up.
func (o Owner) lookupOrg() string {
	if o.Workspace == "" {
		return ""
	}
	return o.Org
}
