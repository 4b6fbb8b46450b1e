// Package administration is the use cases on Sallyport's own records, which touch no machine, a
// file a kind of record: organisations, workspaces, tokens, the keys of SSH CAs, and the
// instances that could be workspaces. What ends with a record is told to whoever runs it.
package administration

import (
	"context"
	"log/slog"
	"time"

	"sallyport/internal/access"
	"sallyport/internal/connector"
	"sallyport/internal/keys"
	"sallyport/internal/live"
)

// Administration holds what the use cases work with. Its fields are set before the first
// use. It is safe for concurrent use.
type Administration struct {
	Access     *access.Access
	Orgs       OrgStore
	Workspaces WorkspaceStore
	Tokens     TokenStore
	CARecords  CAStore

	// CA is the SSH CA of each organisation. A key stays in force for CAOverlap beside the
	// one that has replaced it.
	CA        *keys.CA
	CAOverlap time.Duration
	// Connectors are the ways to a machine that are enabled, by type.
	Connectors map[string]connector.Connector
	// ConnectTime is the budget for a listing of instances.
	ConnectTime time.Duration
	// SealKey encrypts a workspace's private key with a key from outside the store.
	SealKey func(workspaceID string, key []byte) (sealed []byte)
	// RunsDetached tells whether detached execs run on a workspace's machine; nil is never.
	RunsDetached func(ctx context.Context, orgID, workspaceID string) (bool, error)
	// End ends, on every replica, what runs under a record that has been deleted or revoked.
	// When it returns all of them have acted on it, or have found out by themselves.
	End func(ctx context.Context, ending live.Ending)

	Log *slog.Logger
	// Now is the clock of records.
	Now func() time.Time
}
