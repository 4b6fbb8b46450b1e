package sshpool

import (
	"context"
	"time"

	"sallyport/internal/connector"
)

// Target is a machine to reach: all that the callers who share its connections have in
// common.
type Target struct {
	// Key names the machine: two targets with one key share connections. It
	// must change with everything that the connection depends on.
	Key string
	// Owner is who pays for the machine's idle connections: the bound on those of all
	// machines is shared out by owner.
	Owner string
	// HostKey is the key that CheckHostKey will want, as HostKey.Line has it, where
	// that is known: a machine has several, and is asked for this one.
	HostKey string
}

// Need is what one caller brings, and no other caller's connection is made with.
type Need struct {
	// Life is how long the caller will need a session at most. A connection that ends
	// sooner (connector.Link.MaxLife) is not used for it.
	Life time.Duration
	// ConnectTime bounds how long the machine may take until a channel can be asked for; 0 is
	// no bound but the context's. OpenForward alone looks at it.
	ConnectTime time.Duration
	// ForwardOpenTime is how long the target of a forward may take to take the connection; 0
	// is limits.ForwardOpenTime.
	ForwardOpenTime time.Duration
	// By reaches the machine on the caller's behalf. It is used where this caller's need
	// is what causes a dial.
	By Dialer

	// slotless is for a channel that takes none of the sessions that a machine takes on a
	// connection.
	slotless bool
}

// Dialer reaches a machine on behalf of one caller.
type Dialer struct {
	// Dial opens the byte stream; see connector.Connector.
	Dial func(ctx context.Context) (*connector.Link, error)
	// CheckHostKey judges the key that the machine has proven. Nil accepts only
	// the key that the link itself vouches for. ctx is that of the dial.
	CheckHostKey func(ctx context.Context, key HostKey) error
}

// HostKey is a key that a machine has proven.
type HostKey struct {
	// Line is its type and base64, as known_hosts has it.
	Line string
	// Fingerprint is its SHA-256, as ssh-keygen -l prints it.
	Fingerprint string
}
