package cli

import (
	"context"

	"sallyport/client"
	"sallyport/internal/limits"
)

// namesAskedMax bounds how many workspaces, and organisations, are asked for one by one
// to name them: in what is shown behind that there are ids.
const namesAskedMax = 100

// names are those of the workspaces and organisations that rows hold the ids of.
type names struct {
	ctx         context.Context
	client      *client.Client
	workspaces  map[string]string
	orgs        map[string]string
	asked       int
	hasListed   bool
	areOrgsRead bool
	// isLive tells that there may be workspaces that weren't there when they were listed.
	isLive bool
}

// newNames asks nobody yet.
func (a *app) newNames(ctx context.Context, api *api) *names {
	quiet := *api.Client
	quiet.OnAnswer = nil
	return &names{ctx: ctx, client: &quiet, workspaces: map[string]string{}, orgs: map[string]string{}}
}

// workspace is the name of a workspace; its id where it has none any more, or can't be
// seen.
func (n *names) workspace(id string) string {
	if id == "" {
		return "-"
	}
	if _, known := n.workspaces[id]; !known && !n.hasListed {
		n.hasListed = true
		list, err := n.client.ListWorkspaces(n.ctx, client.Page{Limit: limits.PageMax})
		for _, ws := range list.Items {
			n.workspaces[ws.ID] = ws.Name
		}
		if err == nil && list.NextCursor == "" && !n.isLive {
			n.asked = namesAskedMax // these are all
		}
	}
	if _, known := n.workspaces[id]; !known {
		n.workspaces[id] = id
		if n.asked < namesAskedMax {
			n.asked++
			if ws, err := n.client.GetWorkspace(n.ctx, id); err == nil {
				n.workspaces[id] = ws.Name
			}
		}
	}
	return n.workspaces[id]
}

// org is the name of an organisation, to the admin.
func (n *names) org(id string) string {
	if id == "" {
		return "-"
	}
	if !n.areOrgsRead {
		n.areOrgsRead = true
		list, _ := n.client.ListOrgs(n.ctx, client.Page{Limit: limits.PageMax}) // without it there are ids
		for _, org := range list.Items {
			n.orgs[org.ID] = org.Name
		}
	}
	if name, known := n.orgs[id]; known {
		return name
	}
	return id
}
