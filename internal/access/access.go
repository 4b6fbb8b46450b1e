// Package access is what every use case begins with: it finds what a caller names within
// the caller's tenant, applies a rule, and records what is refused.
package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/field"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/principal"
	"sallyport/internal/quota"
	"sallyport/internal/recent"
	"sallyport/internal/store"
)

// OrgStore finds organisations.
type OrgStore interface {
	// Org finds one by id or name.
	Org(ctx context.Context, ref string) (store.Org, error)
}

// WorkspaceStore finds workspaces.
type WorkspaceStore interface {
	// Workspace finds one by id or name within an organisation; with orgID "" by
	// id in any.
	Workspace(ctx context.Context, orgID, ref string) (store.Workspace, error)
}

// Access decides what callers may see and do. Its fields are set before the first use. It
// is safe for concurrent use.
type Access struct {
	Orgs       OrgStore
	Workspaces WorkspaceStore
	// OnlyOrg is the id of the one organisation that the server is for; empty for all.
	OnlyOrg string
	// Limits are those of each organisation; nil is for none.
	Limits *quota.Orgs
	// Rules say who may.
	Rules policy.RuleSet
	// Audit records what is refused.
	Audit *audit.Log
	// WorkspaceCacheTime is how long a workspace that was looked up for an act is cached; 0
	// asks the store each time.
	WorkspaceCacheTime time.Duration

	// known are the workspaces that acts were begun on a moment ago.
	known recent.Cache[workspaceKey, store.Workspace]
}

// Caller is the principal of a request, and its address.
type Caller struct {
	principal.Principal
	// Addr is the address of the client, for the activity log.
	Addr string
	// RevocationEpoch is the counter as read before authentication. If it has changed
	// since, the gateway asks the store again whether the token is valid.
	RevocationEpoch live.Epoch
}

// Ref names a workspace as a caller does.
type Ref struct {
	// Org is an organisation's id or name, which the admin may add; empty for none.
	Org string
	// Workspace is an id or a name.
	Workspace string
}

// workspaceKey is what a workspace was looked up by: the tenant, the reference, and the
// workspace that the caller's token is for, if it is for one.
type workspaceKey struct{ orgID, ref, tokenFor string }

// Workspace finds a workspace within the caller's tenant. One of another tenant,
// or another one than the token's own, is answered exactly as one that does not
// exist, by the same statements: workspace_not_found.
func (a *Access) Workspace(ctx context.Context, by Caller, ref Ref) (store.Workspace, error) {
	return a.findWorkspace(ctx, by, ref, 0)
}

// CachedWorkspace is Workspace, as the store had it at most WorkspaceCacheTime ago, and not
// before the latest change that was answered. Only what the caller may know of is cached:
// all else costs a question to the store each time, whether it exists or not.
func (a *Access) CachedWorkspace(ctx context.Context, by Caller, ref Ref) (store.Workspace, error) {
	return a.findWorkspace(ctx, by, ref, a.WorkspaceCacheTime)
}

// ClearCache drops the cached workspaces, and those that are being looked up just now.
func (a *Access) ClearCache() { a.known.Clear() }

// findWorkspace is Workspace, as it was less than life ago.
func (a *Access) findWorkspace(ctx context.Context, by Caller, ref Ref, life time.Duration) (store.Workspace, error) {
	if !field.IsRef(ref.Workspace) {
		return store.Workspace{}, WorkspaceNotFound()
	}
	orgID, err := a.Tenant(ctx, by, ref.Org)
	switch {
	case sallyport.CodeOf(err) == sallyport.CodeNotFound:
		return store.Workspace{}, WorkspaceNotFound()
	case err != nil:
		return store.Workspace{}, err
	case orgID == "" && !id.Is(ref.Workspace):
		return store.Workspace{}, WorkspaceNotFound()
	}
	key := workspaceKey{orgID: orgID, ref: ref.Workspace, tokenFor: by.WorkspaceID}
	return a.known.Look(key, life, limits.WorkspaceCacheMax, func() (store.Workspace, error) {
		return a.lookUpWorkspace(ctx, by, orgID, ref.Workspace)
	})
}

// lookUpWorkspace asks the store for a workspace of the organisation, or of any where that is
// empty.
func (a *Access) lookUpWorkspace(ctx context.Context, by Caller, orgID, ref string) (store.Workspace, error) {
	ws, err := a.Workspaces.Workspace(ctx, orgID, ref)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Workspace{}, WorkspaceNotFound()
	case err != nil:
		return store.Workspace{}, Unavailable(err)
	case by.Kind == principal.Workspace && ws.ID != by.WorkspaceID:
		return store.Workspace{}, WorkspaceNotFound()
	}
	return ws, nil
}

// Tenant returns the organisation within which by's names are resolved: its own, or
// the one that the admin names, or "" for all. It returns not_found for an
// organisation that is not by's to see.
func (a *Access) Tenant(ctx context.Context, by Caller, ref string) (string, error) {
	if ref == "" {
		return by.OrgID, nil
	}
	org, err := a.Org(ctx, by, ref)
	return org.ID, err
}

// Org finds an organisation that by may know of. It returns not_found.
func (a *Access) Org(ctx context.Context, by Caller, ref string) (store.Org, error) {
	if !field.IsRef(ref) {
		return store.Org{}, NotFound(Organisation)
	}
	org, err := a.Orgs.Org(ctx, ref)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Org{}, NotFound(Organisation)
	case err != nil:
		return store.Org{}, Unavailable(err)
	case by.Kind != principal.Admin && org.ID != by.OrgID:
		return store.Org{}, NotFound(Organisation)
	}
	return org, nil
}

// Check applies a rule, and records a refusal. ws is the workspace that it is
// about, if there is one; tried is how the refusal calls what the caller wanted.
func (a *Access) Check(ctx context.Context, by Caller, rule policy.Rule, ws *store.Workspace, tried string) error {
	return a.Refuse(ctx, by, rule.Check(by.Principal), ws, tried)
}

// Refuse records the refusal err of what was tried, and returns it; nil stays
// nil. A refusal that can't be recorded is platform_unavailable: nothing happens
// here that the log doesn't tell.
func (a *Access) Refuse(ctx context.Context, by Caller, err error, ws *store.Workspace, tried string) error {
	if err == nil {
		return nil
	}
	denial := audit.Denial{By: by.Principal, ClientAddr: by.Addr, OrgID: by.OrgID, Tried: tried, Code: sallyport.CodeOf(err)}
	if ws != nil {
		denial.OrgID, denial.WorkspaceID = ws.OrgID, ws.ID
	}
	if recordErr := a.Audit.Deny(ctx, denial); recordErr != nil {
		return recordErr
	}
	return err
}

// Event makes the row of a change of Sallyport's own records, whose summary is a format
// and its arguments.
func (a *Access) Event(by Caller, kind, orgID, workspaceID, format string, args ...any) store.ActivityChange {
	return a.Audit.Event(audit.Event{
		Type: kind, By: by.Principal, ClientAddr: by.Addr, OrgID: orgID, WorkspaceID: workspaceID,
		Summary: fmt.Sprintf(format, args...),
	})
}

// OrgLimits returns the limits in force for an organisation, none where there are none.
func (a *Access) OrgLimits(ctx context.Context, orgID string) (sallyport.OrgLimits, error) {
	if a.Limits == nil {
		return sallyport.OrgLimits{}, nil
	}
	inForce, err := a.Limits.Of(ctx, orgID)
	if err != nil {
		return sallyport.OrgLimits{}, Unavailable(err)
	}
	return inForce, nil
}
