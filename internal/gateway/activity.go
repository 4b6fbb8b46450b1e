package gateway

import (
	"context"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/store"
)

// ActivityStore reads the activity log.
type ActivityStore interface {
	// Activities lists rows, the newest written first.
	Activities(ctx context.Context, filter store.ActivityFilter, page store.Page) ([]store.Positioned[store.Activity], error)
	// Activity finds a row within an organisation.
	Activity(ctx context.Context, orgID, rowID string) (store.Activity, error)
}

// ActivityQuery says which rows a caller wants. Empty fields don't filter.
type ActivityQuery struct {
	Type, Status, Actor string
	// Class is that of acts; store.ClassNone is any row.
	Class store.Class
	// Since is inclusive, Until exclusive.
	Since, Until time.Time
	// Text is a substring of the summary.
	Text string
	Page PageRequest
}

// ActivityPage is one page of the log.
type ActivityPage = sallyport.List[sallyport.Activity]

// WorkspaceActivity reads a workspace's log, newest first. It returns
// workspace_not_found or scope_forbidden.
func (g *Gateway) WorkspaceActivity(ctx context.Context, by Caller, ref Ref, q ActivityQuery) (ActivityPage, error) {
	ws, err := g.Access.Workspace(ctx, by, ref)
	if err != nil {
		return ActivityPage{}, err
	}
	if err := g.Access.Check(ctx, by, g.Access.Rules.ReadActivity, &ws, "read the activity"); err != nil {
		return ActivityPage{}, err
	}
	return g.activity(ctx, ws.OrgID, ws.ID, q)
}

// OrgActivity reads an organisation's log, newest first. It returns not_found or
// scope_forbidden.
func (g *Gateway) OrgActivity(ctx context.Context, by Caller, ref string, q ActivityQuery) (ActivityPage, error) {
	org, err := g.Access.Org(ctx, by, ref)
	if err != nil {
		return ActivityPage{}, err
	}
	if err := g.Access.Check(ctx, by, g.Access.Rules.ReadOrgActivity, nil, "read the organisation's activity"); err != nil {
		return ActivityPage{}, err
	}
	return g.activity(ctx, org.ID, "", q)
}

// AllActivity reads the log of every organisation, newest first.
func (g *Gateway) AllActivity(ctx context.Context, by Caller, q ActivityQuery) (ActivityPage, error) {
	if err := g.Access.Check(ctx, by, g.Access.Rules.AllActivity, nil, "read the activity of all organisations"); err != nil {
		return ActivityPage{}, err
	}
	return g.activity(ctx, "", "", q)
}

func (g *Gateway) activity(ctx context.Context, orgID, workspaceID string, q ActivityQuery) (ActivityPage, error) {
	scope := "activity/" + orgID + "/" + workspaceID
	p, err := access.StorePage(scope, q.Page)
	if err != nil {
		return ActivityPage{}, err
	}
	filter := store.ActivityFilter{
		OrgID: orgID, WorkspaceID: workspaceID, Type: q.Type, Status: q.Status, Actor: q.Actor, Class: q.Class,
		Since: q.Since, Until: q.Until, Query: q.Text,
	}
	found, err := g.Activities.Activities(ctx, filter, p)
	return access.List(scope, p, found, func(a store.Activity) sallyport.Activity { return a.Activity }), access.StoreError(err, "activity")
}
