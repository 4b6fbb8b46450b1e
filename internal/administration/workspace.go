package administration

import (
	"context"
	"errors"
	"maps"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/field"
	"sallyport/internal/id"
	"sallyport/internal/live"
	"sallyport/internal/policy"
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

// CreateWorkspace makes a workspace. It returns scope_forbidden, not_found for an
// unknown organisation, name_taken, too_many_workspaces, or invalid_ and what is wrong.
func (a *Administration) CreateWorkspace(ctx context.Context, by access.Caller, req sallyport.WorkspaceCreate) (sallyport.Workspace, error) {
	if err := a.Access.Check(ctx, by, a.Access.Rules.WriteWorkspaces, nil, "create a workspace"); err != nil {
		return sallyport.Workspace{}, err
	}
	if req.OrgID == "" && by.Kind == principal.Admin {
		return sallyport.Workspace{}, sallyport.Errorf(sallyport.CodeInvalidOrgID, "org_id is needed: the admin token belongs to no organisation")
	}
	if err := a.checkWorkspace(req); err != nil {
		return sallyport.Workspace{}, err
	}
	orgID, err := a.Access.Tenant(ctx, by, req.OrgID)
	if err != nil {
		return sallyport.Workspace{}, err
	}
	now := a.Now().UTC()
	ws := store.Workspace{
		ID: id.New(), OrgID: orgID, Name: req.Name, Tier: req.Tier, Labels: req.Labels, ForwardAllow: req.ForwardAllow, RecordTerminals: req.RecordTerminals,
		CreatedAt: now, UpdatedAt: now,
	}
	if err := a.setConnector(&ws, req.Connector); err != nil {
		return sallyport.Workspace{}, err
	}
	if ws.Tier == 0 {
		ws.Tier = sallyport.DefaultTier
	}
	change := a.Access.Event(by, sallyport.ActivityWorkspaceCreated, orgID, ws.ID, "workspace %s created, tier %d", ws.Name, ws.Tier)
	most, err := a.Access.OrgLimits(ctx, orgID)
	if err != nil {
		return sallyport.Workspace{}, err
	}
	switch err := a.Workspaces.CreateWorkspace(ctx, ws, most.Workspaces, change); {
	case errors.Is(err, store.ErrNotFound): // deleted since it was looked up
		return sallyport.Workspace{}, access.NotFound(access.Organisation)
	case errors.Is(err, store.ErrTooMany):
		return sallyport.Workspace{}, sallyport.Errorf(sallyport.CodeTooManyWorkspaces,
			"the organisation has as many workspaces as it may, %d; delete some that nobody uses", most.Workspaces)
	case err != nil:
		return sallyport.Workspace{}, access.StoreError(err, access.Workspace)
	}
	return wireWorkspace(ws), nil
}

func (a *Administration) checkWorkspace(req sallyport.WorkspaceCreate) error {
	if err := field.CheckName(req.Name); err != nil {
		return err
	}
	if req.Tier != 0 {
		if err := field.CheckTier(req.Tier); err != nil {
			return err
		}
	}
	if err := field.CheckLabels(req.Labels); err != nil {
		return err
	}
	return policy.CheckForwardAllow(req.ForwardAllow)
}

// ListWorkspaces lists the workspaces that by may see, oldest first. org is the
// admin's to give; without it the admin sees all.
func (a *Administration) ListWorkspaces(ctx context.Context, by access.Caller, org string, page access.PageRequest) (sallyport.List[sallyport.Workspace], error) {
	var none sallyport.List[sallyport.Workspace]
	orgID, err := a.Access.Tenant(ctx, by, org)
	if err != nil {
		return none, err
	}
	scope := "workspaces/" + orgID + "/" + by.WorkspaceID
	p, err := access.StorePage(scope, page)
	if err != nil {
		return none, err
	}
	if by.Kind == principal.Workspace {
		ws, err := a.Access.Workspace(ctx, by, access.Ref{Workspace: by.WorkspaceID})
		if err != nil {
			return none, err
		}
		return sallyport.List[sallyport.Workspace]{Items: []sallyport.Workspace{wireWorkspace(ws)}}, nil
	}
	found, err := a.Workspaces.Workspaces(ctx, orgID, p)
	return access.List(scope, p, found, wireWorkspace), access.StoreError(err, access.Workspace)
}

// Workspace shows a workspace. It returns workspace_not_found.
func (a *Administration) Workspace(ctx context.Context, by access.Caller, ref access.Ref) (sallyport.Workspace, error) {
	ws, err := a.Access.Workspace(ctx, by, ref)
	if err != nil {
		return sallyport.Workspace{}, err
	}
	return wireWorkspace(ws), a.Access.Check(ctx, by, a.Access.Rules.ReadWorkspaces, &ws, "read the workspace")
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
	// ForwardAllow replaces the list; one that is nil is the default.
	ForwardAllow *[]string
	// RecordTerminals says whether every terminal is recorded.
	RecordTerminals *bool
}

// UpdateWorkspace changes a workspace. It returns workspace_not_found,
// scope_forbidden, name_taken, or invalid_ and what is wrong.
func (a *Administration) UpdateWorkspace(ctx context.Context, by access.Caller, ref access.Ref, c WorkspaceChange) (sallyport.Workspace, error) {
	ws, err := a.Access.Workspace(ctx, by, ref)
	if err != nil {
		return sallyport.Workspace{}, err
	}
	if err := a.Access.Check(ctx, by, a.Access.Rules.WriteWorkspaces, &ws, "update the workspace"); err != nil {
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
	runsDetached := false
	if c.Connector != nil && a.RunsDetached != nil {
		if runsDetached, err = a.RunsDetached(ctx, ws.OrgID, ws.ID); err != nil {
			return sallyport.Workspace{}, err
		}
	}
	var was int // the tier before
	ws, err = a.Workspaces.UpdateWorkspace(ctx, ws.OrgID, ws.ID, func(ws *store.Workspace) (store.ActivityChange, error) {
		was = ws.Tier
		changed := c.apply(ws)
		ws.UpdatedAt = a.Now().UTC()
		err := a.checkWorkspace(sallyport.WorkspaceCreate{Name: ws.Name, Tier: ws.Tier, Labels: ws.Labels, ForwardAllow: ws.ForwardAllow})
		if err == nil && c.Connector != nil {
			changed = append(changed, "connector")
			machine := machineOf(ws.Connector)
			err = a.changeConnector(ws, c.Connector)
			if err == nil && runsDetached && machineOf(ws.Connector) != machine {
				err = sallyport.Errorf(sallyport.CodeDetachedRunning, "detached execs run on the workspace's machine: end them, or wait for them, before you name another")
			}
		}
		change := a.Access.Event(by, sallyport.ActivityWorkspaceUpdated, ws.OrgID, ws.ID, "workspace %s updated: %s", ws.Name, strings.Join(changed, ", "))
		return change, err
	})
	if err != nil {
		return sallyport.Workspace{}, access.StoreError(err, access.Workspace)
	}
	a.End(ctx, live.Ending{Of: live.EndingOfLookup, ID: ws.ID})
	if ws.Tier < was && policy.HostExec(ws) != nil {
		a.End(ctx, live.Ending{Of: live.EndingOfTier, ID: ws.ID})
	}
	return wireWorkspace(ws), nil
}

func (c WorkspaceChange) isEmpty() bool {
	return c.Name == nil && c.Tier == nil && !c.ClearLabels && len(c.Labels) == 0 && c.Connector == nil && c.ForwardAllow == nil && c.RecordTerminals == nil
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
	if c.ForwardAllow != nil {
		ws.ForwardAllow = *c.ForwardAllow
		changed = append(changed, "forward_allow")
	}
	if c.RecordTerminals != nil {
		ws.RecordTerminals = *c.RecordTerminals
		changed = append(changed, "record_terminals")
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
func (a *Administration) DeleteWorkspace(ctx context.Context, by access.Caller, ref access.Ref) error {
	ws, err := a.Access.Workspace(ctx, by, ref)
	if err != nil {
		return err
	}
	if err := a.Access.Check(ctx, by, a.Access.Rules.WriteWorkspaces, &ws, "delete the workspace"); err != nil {
		return err
	}
	change := a.Access.Event(by, sallyport.ActivityWorkspaceDeleted, ws.OrgID, ws.ID, "workspace %s deleted", ws.Name)
	if err := a.Workspaces.DeleteWorkspace(ctx, ws.OrgID, ws.ID, change); err != nil {
		return access.StoreError(err, access.Workspace)
	}
	a.End(ctx, live.Ending{Of: live.EndingOfWorkspace, ID: ws.ID})
	return nil
}

func wireWorkspace(ws store.Workspace) sallyport.Workspace {
	labels := ws.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return sallyport.Workspace{
		ID: ws.ID, OrgID: ws.OrgID, Name: ws.Name, Tier: ws.Tier, Labels: labels, Connector: ws.Connector, ForwardAllow: policy.ForwardAllow(ws),
		RecordTerminals: ws.RecordTerminals, CreatedAt: ws.CreatedAt, UpdatedAt: ws.UpdatedAt,
	}
}
