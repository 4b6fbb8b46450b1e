package administration

import (
	"context"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// discoverer is a connector that can list the machines it could reach.
type discoverer interface {
	Discover(ctx context.Context, target connector.Target, q sallyport.InstanceQuery, cursor string, page int) (found []sallyport.Instance, next string, err error)
}

// Instances lists EC2 instances that could be workspaces of an organisation, with the
// organisation's own role. What the server's own credentials show is everybody's, and so
// the admin's alone. It returns not_found, scope_forbidden, or as an exec that can't
// reach its machine.
func (a *Administration) Instances(ctx context.Context, by access.Caller, ref string, q sallyport.InstanceQuery, page access.PageRequest) (sallyport.List[sallyport.Instance], error) {
	var none sallyport.List[sallyport.Instance]
	const tried = "list EC2 instances"
	org, err := a.Access.Org(ctx, by, ref)
	if err != nil {
		return none, err
	}
	if err := a.Access.Check(ctx, by, a.Access.Rules.WriteWorkspaces, nil, tried); err != nil {
		return none, err
	}
	if by.Kind != principal.Admin && org.AWS == (sallyport.OrgAWS{}) {
		return none, a.Access.Refuse(ctx, by, sallyport.Errorf(sallyport.CodeScopeForbidden,
			"%s may not do this: the organisation has no AWS role of its own, and what the server's credentials show is the admin's", by.Actor()), nil, tried)
	}
	c, ok := a.Connectors[sallyport.ConnectorEIC].(discoverer)
	if !ok {
		return none, a.unknownConnector(sallyport.ConnectorEIC)
	}
	ctx, cancel := context.WithTimeout(ctx, a.ConnectTime)
	defer cancel()
	limit := page.Limit
	if limit == 0 {
		limit = limits.PageDefault
	}
	found, next, err := c.Discover(ctx, connector.Target{AWS: org.AWS}, q, page.Cursor, limit)
	if err != nil {
		return none, err
	}
	known, err := a.instanceWorkspaces(ctx, org.ID)
	if err != nil {
		return none, err
	}
	for i := range found {
		ws := known[found[i].ID]
		found[i].WorkspaceID, found[i].WorkspaceName = ws.id, ws.name
	}
	if found == nil {
		found = []sallyport.Instance{}
	}
	return sallyport.List[sallyport.Instance]{Items: found, NextCursor: next}, nil
}

// knownWorkspace holds the shown fields of an instance's workspace.
type knownWorkspace struct{ id, name string }

// instanceWorkspaces are the organisation's workspaces on EC2, by their instances.
func (a *Administration) instanceWorkspaces(ctx context.Context, orgID string) (map[string]knownWorkspace, error) {
	known := map[string]knownWorkspace{}
	page := store.Page{Limit: limits.PageMax, Bytes: limits.PageBytesMax}
	for {
		found, err := a.Workspaces.Workspaces(ctx, orgID, page)
		if err != nil {
			return nil, access.Unavailable(err)
		}
		if len(found) == 0 {
			return known, nil
		}
		for _, ws := range found {
			if c := ws.Record.Connector; c != nil && c.Type == sallyport.ConnectorEIC {
				known[c.InstanceID] = knownWorkspace{ws.Record.ID, ws.Record.Name}
			}
			page.After = ws.Position
		}
	}
}
