package gateway

import (
	"context"
	"errors"
	"maps"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/field"
	"sallyport/internal/id"
	"sallyport/internal/live"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// WorkspaceStore keeps the workspaces.
type WorkspaceStore interface {
	// CreateWorkspace keeps an organisation from having more than most workspaces; 0 is no
	// bound. It returns store.ErrTooMany.
	CreateWorkspace(ctx context.Context, ws store.Workspace, most int, change store.ActivityChange) error
	// Workspace finds one by id or name within an organisation; with orgID "" by
	// id in any.
	Workspace(ctx context.Context, orgID, ref string) (store.Workspace, error)
	UpdateWorkspace(ctx context.Context, orgID, id string, change func(*store.Workspace) (store.ActivityChange, error)) (store.Workspace, error)
	DeleteWorkspace(ctx context.Context, orgID, id string, change store.ActivityChange) error
	// Workspaces lists those of an organisation, or of all with orgID "",
	// oldest first.
	Workspaces(ctx context.Context, orgID string, page store.Page) ([]store.Positioned[store.Workspace], error)
}

const noWorkspace = "workspace"

// CreateWorkspace makes a workspace. It returns scope_forbidden, not_found for an
// unknown organisation, name_taken, too_many_workspaces, or invalid_ and what is wrong.
func (g *Gateway) CreateWorkspace(ctx context.Context, by Caller, req sallyport.WorkspaceCreate) (sallyport.Workspace, error) {
	if err := g.check(ctx, by, g.Rules.WriteWorkspaces, nil, "create a workspace"); err != nil {
		return sallyport.Workspace{}, err
	}
	if req.OrgID == "" && by.Kind == principal.Admin {
		return sallyport.Workspace{}, sallyport.Errorf(sallyport.CodeInvalidOrgID, "org_id is needed: the admin token belongs to no organisation")
	}
	if err := g.checkWorkspace(req); err != nil {
		return sallyport.Workspace{}, err
	}
	orgID, err := g.tenant(ctx, by, req.OrgID)
	if err != nil {
		return sallyport.Workspace{}, err
	}
	now := g.Now().UTC()
	ws := store.Workspace{
		ID: id.New(), OrgID: orgID, Name: req.Name, Tier: req.Tier, Labels: req.Labels, CreatedAt: now, UpdatedAt: now,
	}
	if err := g.setConnector(&ws, req.Connector); err != nil {
		return sallyport.Workspace{}, err
	}
	if ws.Tier == 0 {
		ws.Tier = sallyport.DefaultTier
	}
	change := g.event(by, sallyport.ActivityWorkspaceCreated, orgID, ws.ID, "workspace %s created, tier %d", ws.Name, ws.Tier)
	most, err := g.orgLimits(ctx, orgID)
	if err != nil {
		return sallyport.Workspace{}, err
	}
	switch err := g.Workspaces.CreateWorkspace(ctx, ws, most.Workspaces, change); {
	case errors.Is(err, store.ErrNotFound): // deleted since it was looked up
		return sallyport.Workspace{}, notFound(noOrg)
	case errors.Is(err, store.ErrTooMany):
		return sallyport.Workspace{}, sallyport.Errorf(sallyport.CodeTooManyWorkspaces,
			"the organisation has as many workspaces as it may, %d; delete some that nobody uses", most.Workspaces)
	case err != nil:
		return sallyport.Workspace{}, storeError(err, noWorkspace)
	}
	return wireWorkspace(ws), nil
}

func (g *Gateway) checkWorkspace(req sallyport.WorkspaceCreate) error {
	if err := field.CheckName(req.Name); err != nil {
		return err
	}
	if req.Tier != 0 {
		if err := field.CheckTier(req.Tier); err != nil {
			return err
		}
	}
	return field.CheckLabels(req.Labels)
}

// ListWorkspaces lists the workspaces that by may see, oldest first. org is the
// admin's to give; without it the admin sees all.
func (g *Gateway) ListWorkspaces(ctx context.Context, by Caller, org string, page PageRequest) (sallyport.List[sallyport.Workspace], error) {
	var none sallyport.List[sallyport.Workspace]
	orgID, err := g.tenant(ctx, by, org)
	if err != nil {
		return none, err
	}
	scope := "workspaces/" + orgID + "/" + by.WorkspaceID
	p, err := storePage(scope, page)
	if err != nil {
		return none, err
	}
	if by.Kind == principal.Workspace {
		ws, err := g.workspace(ctx, by, Ref{Workspace: by.WorkspaceID})
		if err != nil {
			return none, err
		}
		return sallyport.List[sallyport.Workspace]{Items: []sallyport.Workspace{wireWorkspace(ws)}}, nil
	}
	found, err := g.Workspaces.Workspaces(ctx, orgID, p)
	return list(scope, p, found, wireWorkspace), storeError(err, noWorkspace)
}

// Workspace shows a workspace. It returns workspace_not_found.
func (g *Gateway) Workspace(ctx context.Context, by Caller, ref Ref) (sallyport.Workspace, error) {
	ws, err := g.workspace(ctx, by, ref)
	if err != nil {
		return sallyport.Workspace{}, err
	}
	return wireWorkspace(ws), g.check(ctx, by, g.Rules.ReadWorkspaces, &ws, "read the workspace")
}

// WorkspaceChange is a checked JSON merge patch of a workspace: what is not Set
// stays.
type WorkspaceChange struct {
	Name *string
	Tier *int
	// ClearLabels removes all labels before Labels is applied.
	ClearLabels bool
	// Labels holds the labels to set; nil removes one.
	Labels map[string]*string
	// Connector, where set, makes the new connector from the one that there is;
	// either may be nil.
	Connector func(now *sallyport.Connector) (*sallyport.Connector, error)
}

// UpdateWorkspace changes a workspace. It returns workspace_not_found,
// scope_forbidden, name_taken, or invalid_ and what is wrong.
func (g *Gateway) UpdateWorkspace(ctx context.Context, by Caller, ref Ref, c WorkspaceChange) (sallyport.Workspace, error) {
	ws, err := g.workspace(ctx, by, ref)
	if err != nil {
		return sallyport.Workspace{}, err
	}
	if err := g.check(ctx, by, g.Rules.WriteWorkspaces, &ws, "update the workspace"); err != nil {
		return sallyport.Workspace{}, err
	}
	if c.isEmpty() {
		return wireWorkspace(ws), nil
	}
	if c.Tier != nil {
		if err := field.CheckTier(*c.Tier); err != nil {
			return sallyport.Workspace{}, err
		}
	}
	ws, err = g.Workspaces.UpdateWorkspace(ctx, ws.OrgID, ws.ID, func(ws *store.Workspace) (store.ActivityChange, error) {
		changed := c.apply(ws)
		ws.UpdatedAt = g.Now().UTC()
		err := g.checkWorkspace(sallyport.WorkspaceCreate{Name: ws.Name, Tier: ws.Tier, Labels: ws.Labels})
		if err == nil && c.Connector != nil {
			changed = append(changed, "connector")
			err = g.changeConnector(ws, c.Connector)
		}
		change := g.event(by, sallyport.ActivityWorkspaceUpdated, ws.OrgID, ws.ID, "workspace %s updated: %s", ws.Name, strings.Join(changed, ", "))
		return change, err
	})
	if err != nil {
		return sallyport.Workspace{}, storeError(err, noWorkspace)
	}
	g.endEverywhere(ctx, live.Ending{Of: live.EndingOfLookup, ID: ws.ID})
	return wireWorkspace(ws), nil
}

func (c WorkspaceChange) isEmpty() bool {
	return c.Name == nil && c.Tier == nil && !c.ClearLabels && len(c.Labels) == 0 && c.Connector == nil
}

// apply changes ws, and returns the changes in words.
func (c WorkspaceChange) apply(ws *store.Workspace) (changed []string) {
	if c.Name != nil {
		ws.Name = *c.Name
		changed = append(changed, "name")
	}
	if c.Tier != nil {
		ws.Tier = *c.Tier
		changed = append(changed, "tier")
	}
	if c.ClearLabels || len(c.Labels) > 0 {
		ws.Labels = c.labels(ws.Labels)
		changed = append(changed, "labels")
	}
	return changed
}

func (c WorkspaceChange) labels(now map[string]string) map[string]string {
	labels := map[string]string{}
	if !c.ClearLabels {
		maps.Copy(labels, now)
	}
	for key, value := range c.Labels {
		if value == nil {
			delete(labels, key)
			continue
		}
		labels[key] = *value
	}
	return labels
}

// DeleteWorkspace deletes a workspace with its tokens and ends its running acts.
// It returns workspace_not_found or scope_forbidden.
func (g *Gateway) DeleteWorkspace(ctx context.Context, by Caller, ref Ref) error {
	ws, err := g.workspace(ctx, by, ref)
	if err != nil {
		return err
	}
	if err := g.check(ctx, by, g.Rules.WriteWorkspaces, &ws, "delete the workspace"); err != nil {
		return err
	}
	change := g.event(by, sallyport.ActivityWorkspaceDeleted, ws.OrgID, ws.ID, "workspace %s deleted", ws.Name)
	if err := g.Workspaces.DeleteWorkspace(ctx, ws.OrgID, ws.ID, change); err != nil {
		return storeError(err, noWorkspace)
	}
	g.endEverywhere(ctx, live.Ending{Of: live.EndingOfWorkspace, ID: ws.ID})
	return nil
}

func wireWorkspace(ws store.Workspace) sallyport.Workspace {
	labels := ws.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return sallyport.Workspace{
		ID: ws.ID, OrgID: ws.OrgID, Name: ws.Name, Tier: ws.Tier, Labels: labels, Connector: ws.Connector,
		CreatedAt: ws.CreatedAt, UpdatedAt: ws.UpdatedAt,
	}
}
