package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"sallyport/client/sallyport"
)

// ListWorkspaces returns one page of the workspaces that the token may see,
// oldest first.
func (c *Client) ListWorkspaces(ctx context.Context, p Page) (sallyport.List[sallyport.Workspace], error) {
	var list sallyport.List[sallyport.Workspace]
	q := p.query()
	set(q, "org", c.Org)
	err := c.do(ctx, call{doing: "list workspaces", method: http.MethodGet, path: "/workspaces", query: q}, &list)
	return list, err
}

// AllWorkspaces yields every workspace that the token may see, oldest first, and
// ends with the first error.
func (c *Client) AllWorkspaces(ctx context.Context) iter.Seq2[sallyport.Workspace, error] {
	return all(func(cursor string) (sallyport.List[sallyport.Workspace], error) {
		return c.ListWorkspaces(ctx, Page{Limit: pageMax, Cursor: cursor})
	})
}

// pageMax is the largest page that the server makes.
const pageMax = 500

// GetWorkspace returns the workspace with an id or a name. The error's code is
// workspace_not_found where there is none.
func (c *Client) GetWorkspace(ctx context.Context, ref string) (sallyport.Workspace, error) {
	return c.oneWorkspace(ctx, "get workspace "+ref, http.MethodGet, ref, nil)
}

// CreateWorkspace makes a workspace, in the organisation Org unless w names one.
func (c *Client) CreateWorkspace(ctx context.Context, w sallyport.WorkspaceCreate) (sallyport.Workspace, error) {
	if w.OrgID == "" {
		w.OrgID = c.Org
	}
	var ws sallyport.Workspace
	err := c.do(ctx, call{doing: "create workspace " + w.Name, method: http.MethodPost, path: "/workspaces", body: w}, &ws)
	return ws, err
}

// UpdateWorkspace changes the fields of a workspace that patch holds, and returns the
// workspace after that.
func (c *Client) UpdateWorkspace(ctx context.Context, ref string, patch sallyport.WorkspacePatch) (sallyport.Workspace, error) {
	return c.oneWorkspace(ctx, "update workspace "+ref, http.MethodPatch, ref, patch)
}

// DeleteWorkspace deletes a workspace with its tokens, and ends the execs that run there.
func (c *Client) DeleteWorkspace(ctx context.Context, ref string) error {
	if err := checkRef("workspace", ref); err != nil {
		return err
	}
	return c.do(ctx, call{
		doing: "delete workspace " + ref, method: http.MethodDelete, path: path("workspaces", ref), query: orgQuery(c.Org),
	}, nil)
}

// GetConnection returns the state of the server's connections to a workspace's machine. The
// machine isn't asked; see Diagnose for that. It takes the scope workspaces.
func (c *Client) GetConnection(ctx context.Context, ref string) (sallyport.Connection, error) {
	var connection sallyport.Connection
	if err := checkRef("workspace", ref); err != nil {
		return connection, err
	}
	err := c.do(ctx, call{
		doing: "get connection of workspace " + ref, method: http.MethodGet, path: path("workspaces", ref, "connection"), query: orgQuery(c.Org),
	}, &connection)
	return connection, err
}

// Diagnose tries the way to a workspace's machine, and returns the result of each step.
// Nothing is changed, and no host key is trusted. It takes the scope workspaces.
func (c *Client) Diagnose(ctx context.Context, ref string) (sallyport.Diagnosis, error) {
	var found sallyport.Diagnosis
	if err := checkRef("workspace", ref); err != nil {
		return found, err
	}
	err := c.do(ctx, call{
		doing: "diagnose workspace " + ref, method: http.MethodPost, path: path("workspaces", ref, "diagnose"), query: orgQuery(c.Org),
	}, &found)
	return found, err
}

func (c *Client) oneWorkspace(ctx context.Context, doing, method, ref string, body any) (sallyport.Workspace, error) {
	var ws sallyport.Workspace
	if err := checkRef("workspace", ref); err != nil {
		return ws, err
	}
	err := c.do(ctx, call{doing: doing, method: method, path: path("workspaces", ref), query: orgQuery(c.Org), body: body}, &ws)
	return ws, err
}

// orgQuery names the organisation in which a workspace is looked up.
func orgQuery(org string) url.Values {
	q := url.Values{}
	set(q, "org", org)
	return q
}
