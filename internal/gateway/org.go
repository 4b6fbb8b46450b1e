package gateway

import (
	"context"

	"sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// OrgStore keeps the organisations.
type OrgStore interface {
	CreateOrg(ctx context.Context, org store.Org, change store.ActivityChange) error
	// Org finds one by id or name.
	Org(ctx context.Context, ref string) (store.Org, error)
	UpdateOrg(ctx context.Context, id string, change func(*store.Org) (store.ActivityChange, error)) (store.Org, error)
	DeleteOrg(ctx context.Context, id string, change store.ActivityChange) error
	Orgs(ctx context.Context, page store.Page) ([]store.Positioned[store.Org], error)
}

const noOrg = "organisation"

// CreateOrg makes an organisation. It returns scope_forbidden, invalid_name or
// name_taken.
func (g *Gateway) CreateOrg(ctx context.Context, by Caller, req sallyport.OrgCreate) (sallyport.Org, error) {
	if err := g.check(ctx, by, g.Rules.Orgs, nil, "create an organisation"); err != nil {
		return sallyport.Org{}, err
	}
	if err := checkName(req.Name); err != nil {
		return sallyport.Org{}, err
	}
	org := store.Org{ID: id.New(), Name: req.Name, CreatedAt: g.Now().UTC()}
	change := g.event(by, sallyport.ActivityOrgCreated, org.ID, "", "organisation %s created", org.Name)
	return wireOrg(org), storeError(g.Orgs.CreateOrg(ctx, org, change), noOrg)
}

// ListOrgs lists the organisations, oldest first.
func (g *Gateway) ListOrgs(ctx context.Context, by Caller, page PageRequest) (sallyport.List[sallyport.Org], error) {
	if err := g.check(ctx, by, g.Rules.Orgs, nil, "list organisations"); err != nil {
		return sallyport.List[sallyport.Org]{}, err
	}
	const scope = "orgs"
	p, err := storePage(scope, page)
	if err != nil {
		return sallyport.List[sallyport.Org]{}, err
	}
	found, err := g.Orgs.Orgs(ctx, p)
	return list(scope, p, found, wireOrg), storeError(err, noOrg)
}

// Org shows an organisation. It returns not_found.
func (g *Gateway) Org(ctx context.Context, by Caller, ref string) (sallyport.Org, error) {
	if err := g.check(ctx, by, g.Rules.Orgs, nil, "read an organisation"); err != nil {
		return sallyport.Org{}, err
	}
	org, err := g.org(ctx, by, ref)
	return wireOrg(org), err
}

// UpdateOrg renames an organisation. It returns not_found, invalid_name or name_taken.
func (g *Gateway) UpdateOrg(ctx context.Context, by Caller, ref string, patch sallyport.OrgPatch) (sallyport.Org, error) {
	if err := g.check(ctx, by, g.Rules.Orgs, nil, "update an organisation"); err != nil {
		return sallyport.Org{}, err
	}
	org, err := g.org(ctx, by, ref)
	if err != nil {
		return sallyport.Org{}, err
	}
	if patch.Name == nil {
		return wireOrg(org), nil
	}
	if err := checkName(*patch.Name); err != nil {
		return sallyport.Org{}, err
	}
	org, err = g.Orgs.UpdateOrg(ctx, org.ID, func(org *store.Org) (store.ActivityChange, error) {
		before := org.Name
		org.Name = *patch.Name
		return g.event(by, sallyport.ActivityOrgUpdated, org.ID, "", "organisation %s renamed to %s", before, org.Name), nil
	})
	return wireOrg(org), storeError(err, noOrg)
}

// DeleteOrg deletes an organisation and its tokens. It returns not_found, or
// org_not_empty while it has workspaces.
func (g *Gateway) DeleteOrg(ctx context.Context, by Caller, ref string) error {
	if err := g.check(ctx, by, g.Rules.Orgs, nil, "delete an organisation"); err != nil {
		return err
	}
	org, err := g.org(ctx, by, ref)
	if err != nil {
		return err
	}
	change := g.event(by, sallyport.ActivityOrgDeleted, org.ID, "", "organisation %s deleted", org.Name)
	if err := g.Orgs.DeleteOrg(ctx, org.ID, change); err != nil {
		return storeError(err, noOrg)
	}
	g.endCalls(sallyport.Errorf(sallyport.CodeRevoked, "the organisation was deleted"),
		func(c *runningCall) bool { return c.orgID == org.ID })
	return nil
}

func wireOrg(o store.Org) sallyport.Org {
	return sallyport.Org{ID: o.ID, Name: o.Name, CreatedAt: o.CreatedAt}
}
