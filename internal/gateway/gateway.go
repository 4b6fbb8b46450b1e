// Package gateway is every use case of Sallyport on a machine, a file a verb: decide,
// record, reach, act, record. Nothing touches a workspace except through it.
package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"sallyport/internal/access"
	"sallyport/internal/audit"
	"sallyport/internal/connector"
	"sallyport/internal/fairqueue"
	"sallyport/internal/feed"
	"sallyport/internal/live"
	"sallyport/internal/quota"
	"sallyport/internal/recording"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// Gateway holds what the use cases work with. Make it with New; its fields are
// set before the first use. It is safe for concurrent use.
type Gateway struct {
	// Access decides who may what.
	Access     *access.Access
	Orgs       access.OrgStore
	Workspaces WorkspaceStore
	Tokens     TokenStore
	Activities ActivityStore
	Leases     LeaseStore
	// Attachments keeps the records of attachments; the files are on the machines.
	Attachments AttachmentStore
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
	// Replica is this server among those that share the store.
	Replica string

	// Recordings keeps the recordings of terminals.
	Recordings *recording.Archive

	Audit *audit.Log
	Feed  *feed.Feed
	Pool  *sshpool.Pool
	// Connectors are the ways to a machine that are enabled, by type.
	Connectors map[string]connector.Connector
	// MAC hashes what an idempotency key stands for with keys from outside the store:
	// the first is in force, the others were.
	MAC func(purpose string, data []byte) [][]byte
	Log *slog.Logger
	// Now is the clock of records; durations don't depend on it.
	Now func() time.Time
	// TokenPerRun is set where each start of the server replaces its token: a detached exec that was
	// begun with the one before goes on.
	TokenPerRun bool
	// ConnectTime is the budget for reaching a machine.
	ConnectTime time.Duration
	// OutputGrace: see limits.OutputGrace.
	OutputGrace time.Duration
	// EndTime bounds how long an answer waits for the end of a command that is ended; 0 is
	// limits.EndTimeMax.
	EndTime time.Duration
	// ForwardOpenTime is how long the target of a forward may take to take the connection; 0
	// is limits.ForwardOpenTime.
	ForwardOpenTime time.Duration
	// TerminalResume is how long a terminal goes on whose connection is lost; 0 is
	// limits.TerminalResume.
	TerminalResume time.Duration
	// Watch is told of each exec when it is over, refused ones too, on the exec's own
	// goroutine, with the context that Exec was called with: it must not block. Nil
	// is for nobody.
	Watch func(context.Context, *ActReport)

	live live.Calls
	// watchers and resumes: see Stats.
	watchers, resumes atomic.Int64
	// fileLocks are those of files that are changed on a condition.
	fileLocks keyedLocks
	detached  detachedWatch
}

// What callers are, and what they name, is the same for all use cases.
type (
	// Caller is who asks.
	Caller = access.Caller
	// Ref names a workspace as a caller does.
	Ref = access.Ref
	// PageRequest is a caller's wish for a part of a listing.
	PageRequest = access.PageRequest
)

// WorkspaceStore keeps the workspaces.
type WorkspaceStore interface {
	// Workspace finds one by id or name within an organisation.
	Workspace(ctx context.Context, orgID, ref string) (store.Workspace, error)
	UpdateWorkspace(ctx context.Context, orgID, id string, change func(*store.Workspace) (store.ActivityChange, error)) (store.Workspace, error)
}

// TokenStore keeps the tokens.
type TokenStore interface {
	// Token finds a live token of an organisation, or of one workspace of it.
	Token(ctx context.Context, orgID, workspaceID, id string) (store.Token, error)
}
