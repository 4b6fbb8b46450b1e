package administration

import (
	"context"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/field"
	"sallyport/internal/id"
	"sallyport/internal/live"
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

// CreateOrg makes an organisation, and its SSH CA. It returns scope_forbidden, invalid_name, invalid_aws,
// invalid_limits or name_taken.
func (a *Administration) CreateOrg(ctx context.Context, by access.Caller, req sallyport.OrgCreate) (sallyport.Org, error) {
	if err := a.Access.Check(ctx, by, a.Access.Rules.Orgs, nil, "create an organisation"); err != nil {
		return sallyport.Org{}, err
	}
	if err := field.CheckName(req.Name); err != nil {
		return sallyport.Org{}, err
	}
	org := store.Org{ID: id.New(), Name: req.Name, CreatedAt: a.Now().UTC()}
	if req.AWS != nil {
		if err := field.CheckAWS(*req.AWS); err != nil {
			return sallyport.Org{}, err
		}
		org.AWS = *req.AWS
	}
	if req.Limits != nil {
		if err := field.CheckLimits(*req.Limits); err != nil {
			return sallyport.Org{}, err
		}
		org.Limits = *req.Limits
	}
	change := a.Access.Event(by, sallyport.ActivityOrgCreated, org.ID, "", "organisation %s created", org.Name)
	if err := a.Orgs.CreateOrg(ctx, org, change); err != nil {
		return sallyport.Org{}, access.StoreError(err, access.Organisation)
	}
	if _, err := a.CA.Keys(ctx, org.ID); err != nil { // the next who asks for the CA makes it
		a.Log.Warn("a new organisation's SSH CA could not be made yet", "org_id", org.ID, "cause", err)
	}
	return wireOrg(org), nil
}

// ListOrgs lists the organisations, oldest first.
func (a *Administration) ListOrgs(ctx context.Context, by access.Caller, page access.PageRequest) (sallyport.List[sallyport.Org], error) {
	if err := a.Access.Check(ctx, by, a.Access.Rules.Orgs, nil, "list organisations"); err != nil {
		return sallyport.List[sallyport.Org]{}, err
	}
	const scope = "orgs"
	p, err := access.StorePage(scope, page)
	if err != nil {
		return sallyport.List[sallyport.Org]{}, err
	}
	found, err := a.Orgs.Orgs(ctx, p)
	return access.List(scope, p, found, wireOrg), access.StoreError(err, access.Organisation)
}

// Org shows an organisation. It returns not_found.
func (a *Administration) Org(ctx context.Context, by access.Caller, ref string) (sallyport.Org, error) {
	if err := a.Access.Check(ctx, by, a.Access.Rules.Orgs, nil, "read an organisation"); err != nil {
		return sallyport.Org{}, err
	}
	org, err := a.Access.Org(ctx, by, ref)
	return wireOrg(org), err
}

// OrgChange is a checked JSON merge patch of an organisation: a nil field keeps its value.
type OrgChange struct {
	Name *string
	// AWS makes the new access to AWS from the one that there is; zero is none.
	AWS func(now sallyport.OrgAWS) (sallyport.OrgAWS, error)
	// Limits makes the new limits from those that there are; zero is none.
	Limits func(now sallyport.OrgLimits) (sallyport.OrgLimits, error)
}

// UpdateOrg changes an organisation. It returns not_found, invalid_name, invalid_aws,
// invalid_limits or name_taken.
func (a *Administration) UpdateOrg(ctx context.Context, by access.Caller, ref string, c OrgChange) (sallyport.Org, error) {
	if err := a.Access.Check(ctx, by, a.Access.Rules.Orgs, nil, "update an organisation"); err != nil {
		return sallyport.Org{}, err
	}
	org, err := a.Access.Org(ctx, by, ref)
	if err != nil {
		return sallyport.Org{}, err
	}
	if c.Name == nil && c.AWS == nil && c.Limits == nil {
		return wireOrg(org), nil
	}
	if c.Name != nil {
		if err := field.CheckName(*c.Name); err != nil {
			return sallyport.Org{}, err
		}
	}
	org, err = a.Orgs.UpdateOrg(ctx, org.ID, func(org *store.Org) (store.ActivityChange, error) {
		summary, err := c.apply(org)
		return a.Access.Event(by, sallyport.ActivityOrgUpdated, org.ID, "", "organisation %s", summary), err
	})
	if err == nil && a.Access.Limits != nil {
		a.Access.Limits.Forget(org.ID)
	}
	return wireOrg(org), access.StoreError(err, access.Organisation)
}

// apply changes org, and returns the changes in words.
func (c OrgChange) apply(org *store.Org) (summary string, err error) {
	summary = org.Name
	if c.Name != nil {
		summary += " renamed to " + *c.Name
		org.Name = *c.Name
	}
	var updated []string
	if c.AWS != nil {
		updated = append(updated, "aws")
		if org.AWS, err = c.AWS(org.AWS); err == nil && org.AWS != (sallyport.OrgAWS{}) {
			err = field.CheckAWS(org.AWS)
		}
		if err != nil {
			return summary, err
		}
	}
	if c.Limits != nil {
		was := org.Limits
		if org.Limits, err = c.Limits(was); err == nil {
			err = field.CheckLimits(org.Limits)
		}
		if err != nil {
			return summary, err
		}
		updated = append(updated, "limits"+field.LimitChanges(was, org.Limits))
	}
	if len(updated) > 0 {
		summary += " updated: " + strings.Join(updated, ", ")
	}
	return summary, nil
}

// DeleteOrg deletes an organisation and its tokens. It returns not_found, or
// org_not_empty while it has workspaces.
func (a *Administration) DeleteOrg(ctx context.Context, by access.Caller, ref string) error {
	if err := a.Access.Check(ctx, by, a.Access.Rules.Orgs, nil, "delete an organisation"); err != nil {
		return err
	}
	org, err := a.Access.Org(ctx, by, ref)
	if err != nil {
		return err
	}
	change := a.Access.Event(by, sallyport.ActivityOrgDeleted, org.ID, "", "organisation %s deleted", org.Name)
	if err := a.Orgs.DeleteOrg(ctx, org.ID, change); err != nil {
		return access.StoreError(err, access.Organisation)
	}
	a.End(ctx, live.Ending{Of: live.EndingOfOrg, ID: org.ID})
	return nil
}

func wireOrg(o store.Org) sallyport.Org {
	org := sallyport.Org{ID: o.ID, Name: o.Name, CreatedAt: o.CreatedAt}
	if o.AWS != (sallyport.OrgAWS{}) {
		org.AWS = &o.AWS
	}
	if o.Limits != (sallyport.OrgLimits{}) {
		org.Limits = &o.Limits
	}
	return org
}
