// Package connector is the contract of the ways to a machine: a connector
// hands out a byte stream to a workspace's SSH server, and knows how to log in
// there. Everything above it is the same SSH. The suite in connectortest is
// what each connector passes.
package connector

import (
	"context"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
)

// Target names the machine to reach.
type Target struct {
	// OrgID and WorkspaceID name the workspace, for connectors that need to know whose
	// machine it is.
	OrgID, WorkspaceID string
	// Spec is the workspace's connector as it is stored.
	Spec sallyport.Connector
	// ExecID is the exec for which the machine is reached, for the logs of the server and
	// of the machine; empty where it is for none.
	ExecID string
	// AWS is the organisation's access to AWS, for connectors that need one.
	AWS sallyport.OrgAWS
	// SealedKey is the private key that goes with it, for connectors that log in
	// with one and know how to open it.
	SealedKey []byte
}

// A Connector reaches the SSH servers of one type of workspace. It is safe for
// concurrent use.
type Connector interface {
	// Dial opens a byte stream to target's SSH server. It obeys ctx while it
	// dials; afterwards ctx no longer matters to the Link. A *sallyport.Error
	// in the chain says what to tell the caller (connect_failed with a reason);
	// any other error is a connect_failed without one.
	Dial(ctx context.Context, target Target) (*Link, error)
}

// Link is one byte stream to an SSH server and what it takes to log in there.
// Whoever dialled it closes Conn.
type Link struct {
	// Conn: Close is idempotent and unblocks Read and Write at once. Deadlines
	// are not promised; time is enforced by closing.
	Conn net.Conn
	// User is whom to log in as.
	User string
	// Signers proves us; calling it again renews a grant that has run out.
	Signers func(ctx context.Context) ([]ssh.Signer, error)
	// HostKey is the machine's key where the connector itself vouches for it;
	// nil where it must be pinned or trusted by what is stored. The check is
	// made above the connector, never in it.
	HostKey ssh.PublicKey
	// MaxLife is how long the stream lasts at most, from the dial on; 0 is without
	// limit.
	MaxLife time.Duration
	// Shared names what the link takes a place of that others wait for, such as an
	// endpoint with so many tunnels; empty is nothing.
	Shared string
	// DirectStart tells that the server behind the link is sshhost's, in a process of ours, and
	// starts programs without a shell (sshhost.StartRequest). Only the connector can know:
	// no server's word is taken for it.
	DirectStart bool
	// Explain, where set, says what an error means that the login over the link ended
	// with; ctx is that of the dial.
	Explain func(ctx context.Context, err *sallyport.Error) *sallyport.Error
}
