// Package gateway is every use case of Sallyport, a file a verb: decide, record,
// reach, act, record. Nothing touches a workspace except through it.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/connector"
	"sallyport/internal/fairqueue"
	"sallyport/internal/feed"
	"sallyport/internal/field"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/principal"
	"sallyport/internal/quota"
	"sallyport/internal/recent"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// Gateway holds what the use cases work with. Make it with New; its fields are
// set before the first use. It is safe for concurrent use.
type Gateway struct {
	Orgs       OrgStore
	Workspaces WorkspaceStore
	Tokens     TokenStore
	Activities ActivityStore
	CARecords  CAStore
	Leases     LeaseStore
	// Attachments keeps the records of attachments; the files are on the machines.
	Attachments AttachmentStore
	// Limits are those of each organisation; nil is for none.
	Limits *quota.Orgs
	// Rates are the requests of each token, and of each organisation, on this replica.
	Rates quota.Rates
	// Starts shares out the starts of acts that are on their way at once; nil is without bound.
	Starts *fairqueue.Queue
	// RunningFiles bounds the file operations that run at once.
	RunningFiles RunningLimits
	// EventStreams bounds the event streams that are open on this replica.
	EventStreams live.StreamLimits

	// Peers are the other servers that share the store; nil is none.
	Peers Peers
	// Holds tells whether this server alone may complete what it runs; nil is always.
	Holds func() bool
	// Sessions are the cookie sessions; nil is none.
	Sessions SessionStore
	// ClearAuthCache drops all cached authentications. Nil if nothing is cached.
	ClearAuthCache func()
	// WorkspaceCacheTime is how long a workspace that was looked up for an act is cached; 0
	// asks the store each time.
	WorkspaceCacheTime time.Duration
	// OnlyOrg is the id of the one organisation that the server is for; empty for all.
	OnlyOrg string
	// Replica is this server among those that share the store.
	Replica string

	Audit *audit.Log
	Feed  *feed.Feed
	Pool  *sshpool.Pool
	// CA is the SSH CA of each organisation. A key stays in force for CAOverlap beside the
	// one that has replaced it.
	CA        *keys.CA
	CAOverlap time.Duration
	// Connectors are the ways to a machine that are enabled, by type.
	Connectors map[string]connector.Connector
	// SealKey encrypts a workspace's private key with a key from outside the store.
	SealKey func(workspaceID string, key []byte) (sealed []byte)
	// MAC hashes what an idempotency key stands for with keys from outside the store:
	// the first is in force, the others were.
	MAC   func(purpose string, data []byte) [][]byte
	Rules policy.RuleSet
	Log   *slog.Logger
	// Now is the clock of records; durations don't depend on it.
	Now func() time.Time
	// ConnectTime is the budget for reaching a machine.
	ConnectTime time.Duration
	// OutputGrace: see limits.OutputGrace.
	OutputGrace time.Duration
	// Watch is told of each exec when it is over, refused ones too, on the exec's own
	// goroutine, with the context that Exec was called with: it must not block. Nil
	// is for nobody.
	Watch func(context.Context, *ActReport)

	live live.Calls
	// known are the workspaces that acts were begun on a moment ago.
	known recent.Cache[workspaceKey, store.Workspace]
	// fileLocks are those of files that are changed on a condition.
	fileLocks keyedLocks
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

// workspace finds a workspace within the caller's tenant. One of another tenant,
// or another one than the token's own, is answered exactly as one that does not
// exist, by the same statements.
func (g *Gateway) workspace(ctx context.Context, by Caller, ref Ref) (store.Workspace, error) {
	return g.findWorkspace(ctx, by, ref, 0)
}

// cachedWorkspace is workspace, as the store had it at most WorkspaceCacheTime ago, and not
// before the latest change that was answered. Only what the caller may know of is cached:
// all else costs a question to the store each time, whether it exists or not.
func (g *Gateway) cachedWorkspace(ctx context.Context, by Caller, ref Ref) (store.Workspace, error) {
	return g.findWorkspace(ctx, by, ref, g.WorkspaceCacheTime)
}

// findWorkspace is workspace, as it was less than life ago.
func (g *Gateway) findWorkspace(ctx context.Context, by Caller, ref Ref, life time.Duration) (store.Workspace, error) {
	if !field.IsRef(ref.Workspace) {
		return store.Workspace{}, workspaceNotFound()
	}
	orgID, err := g.tenant(ctx, by, ref.Org)
	switch {
	case sallyport.CodeOf(err) == sallyport.CodeNotFound:
		return store.Workspace{}, workspaceNotFound()
	case err != nil:
		return store.Workspace{}, err
	case orgID == "" && !id.Is(ref.Workspace):
		return store.Workspace{}, workspaceNotFound()
	}
	key := workspaceKey{orgID: orgID, ref: ref.Workspace, tokenFor: by.WorkspaceID}
	return g.known.Look(key, life, limits.WorkspaceCacheMax, func() (store.Workspace, error) {
		return g.lookUpWorkspace(ctx, by, orgID, ref.Workspace)
	})
}

// lookUpWorkspace asks the store for a workspace of the organisation, or of any where that is
// empty.
func (g *Gateway) lookUpWorkspace(ctx context.Context, by Caller, orgID, ref string) (store.Workspace, error) {
	ws, err := g.Workspaces.Workspace(ctx, orgID, ref)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Workspace{}, workspaceNotFound()
	case err != nil:
		return store.Workspace{}, unavailable(err)
	case by.Kind == principal.Workspace && ws.ID != by.WorkspaceID:
		return store.Workspace{}, workspaceNotFound()
	}
	return ws, nil
}

// tenant is the organisation within which by's names are resolved: its own, or
// the one that the admin names, or "" for all. It returns not_found for an
// organisation that is not by's to see.
func (g *Gateway) tenant(ctx context.Context, by Caller, ref string) (string, error) {
	if ref == "" {
		return by.OrgID, nil
	}
	org, err := g.org(ctx, by, ref)
	return org.ID, err
}

// org finds an organisation that by may know of.
func (g *Gateway) org(ctx context.Context, by Caller, ref string) (store.Org, error) {
	if !field.IsRef(ref) {
		return store.Org{}, notFound("organisation")
	}
	org, err := g.Orgs.Org(ctx, ref)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Org{}, notFound("organisation")
	case err != nil:
		return store.Org{}, unavailable(err)
	case by.Kind != principal.Admin && org.ID != by.OrgID:
		return store.Org{}, notFound("organisation")
	}
	return org, nil
}

// check applies a rule, and records a refusal. ws is the workspace that it is
// about, if there is one.
func (g *Gateway) check(ctx context.Context, by Caller, rule policy.Rule, ws *store.Workspace, tried string) error {
	return g.refuse(ctx, by, rule.Check(by.Principal), ws, tried)
}

// refuse records the refusal err of what was tried, and returns it; nil stays
// nil. A refusal that can't be recorded is platform_unavailable: nothing happens
// here that the log doesn't tell.
func (g *Gateway) refuse(ctx context.Context, by Caller, err error, ws *store.Workspace, tried string) error {
	if err == nil {
		return nil
	}
	denial := audit.Denial{By: by.Principal, ClientAddr: by.Addr, OrgID: by.OrgID, Tried: tried, Code: sallyport.CodeOf(err)}
	if ws != nil {
		denial.OrgID, denial.WorkspaceID = ws.OrgID, ws.ID
	}
	if recordErr := g.Audit.Deny(ctx, denial); recordErr != nil {
		return recordErr
	}
	return err
}

// event is the row of an act on Sallyport's own records.
func (g *Gateway) event(by Caller, kind, orgID, workspaceID, format string, args ...any) store.ActivityChange {
	return g.Audit.Event(audit.Event{
		Type: kind, By: by.Principal, ClientAddr: by.Addr, OrgID: orgID, WorkspaceID: workspaceID,
		Summary: fmt.Sprintf(format, args...),
	})
}

func workspaceNotFound() error {
	return sallyport.Errorf(sallyport.CodeWorkspaceNotFound, "no such workspace")
}

func notFound(what string) error {
	if what == noWorkspace {
		return workspaceNotFound()
	}
	return sallyport.Errorf(sallyport.CodeNotFound, "no such %s", what)
}

func unavailable(cause error) error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the store can't answer now; try again in a moment").Because(cause)
}

// storeError gives a store's error its code; nil stays nil.
func storeError(err error, what string) error {
	var known *sallyport.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, store.ErrNotFound):
		return notFound(what)
	case errors.Is(err, store.ErrConflict):
		return sallyport.Errorf(sallyport.CodeNameTaken, "the name is in use by another %s", what)
	case errors.Is(err, store.ErrNotEmpty):
		return sallyport.Errorf(sallyport.CodeOrgNotEmpty, "the organisation still has workspaces; delete them first")
	}
	return unavailable(err)
}
