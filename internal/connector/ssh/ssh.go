// Package ssh is the connector to SSH servers that the server can reach by itself:
// a TCP connection to an address that is allowed, and a way to log in there.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/keys"
)

// Connector dials SSH servers over TCP. Its fields are set before its first use; it
// is safe for concurrent use.
type Connector struct {
	// Rules say which addresses may be dialled.
	Rules Rules
	// Certify makes a key with a short-lived certificate from each CA key of the
	// workspace's organisation, to be offered in order; see keys.CA.
	Certify func(ctx context.Context, g keys.Grant) ([]ssh.Signer, error)
	// OpenKey opens a workspace's sealed private key.
	OpenKey func(workspaceID string, sealed []byte) ([]byte, error)
	// Resolver looks names up; nil is the system's.
	Resolver *net.Resolver
}

// Dial connects to target's host. Its errors are connect_failed with the reason
// name_not_found, address_forbidden or dial_failed.
func (c *Connector) Dial(ctx context.Context, target connector.Target) (*connector.Link, error) {
	spec := target.Spec
	port := spec.Port
	if port == 0 {
		port = sallyport.DefaultSSHPort
	}
	dialer := net.Dialer{Resolver: c.Resolver, ControlContext: c.control}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(spec.Host, strconv.Itoa(port)))
	if err != nil {
		return nil, connector.OutOfFiles(dialError(err))
	}
	return &connector.Link{
		Conn: conn, User: spec.User,
		Signers: func(ctx context.Context) ([]ssh.Signer, error) { return c.signers(ctx, target) },
	}, nil
}

// control sees each address just before it is dialled, whatever a name stood for.
func (c *Connector) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	return c.Rules.Check(to.Addr())
}

func dialError(err error) error {
	var dns *net.DNSError
	e := sallyport.Errorf(sallyport.CodeConnectFailed, "the machine could not be reached")
	e.Reason = sallyport.ReasonDialFailed
	switch {
	case errors.Is(err, ErrForbidden):
		e.Message, e.Reason = "the machine's address is not one that this server may dial", sallyport.ReasonAddressForbidden
	case errors.As(err, &dns):
		e.Message, e.Reason = "the machine's name can't be found", sallyport.ReasonNameNotFound
	}
	return e.Because(err)
}

// signers makes what logs in: anew for each call, since a certificate is short-lived
// and a key is not to be kept in memory.
func (c *Connector) signers(ctx context.Context, target connector.Target) ([]ssh.Signer, error) {
	signers, err := c.proofs(ctx, target)
	if err != nil {
		if sallyport.CodeOf(err) == sallyport.CodePlatformUnavailable {
			return nil, err
		}
		e := sallyport.Errorf(sallyport.CodeConnectFailed, "the server has no usable key for the machine")
		e.Reason = sallyport.ReasonKeyUnusable
		return nil, e.Because(err)
	}
	return signers, nil
}

func (c *Connector) proofs(ctx context.Context, target connector.Target) ([]ssh.Signer, error) {
	auth := target.Spec.Auth
	if auth == nil || auth.Type == sallyport.AuthCA {
		signers, err := c.Certify(ctx, keys.Grant{
			OrgID: target.OrgID, WorkspaceID: target.WorkspaceID, ExecID: target.ExecID, Principal: target.Spec.User,
		})
		if err != nil && !errors.Is(err, keys.ErrSealKey) {
			// The store, which has the CA's keys: the machine has nothing to do with it.
			err = sallyport.Errorf(sallyport.CodePlatformUnavailable, "the server can't read the keys of the organisation's CA now; try again in a moment").Because(err)
		}
		return signers, err
	}
	pem, err := c.OpenKey(target.WorkspaceID, target.SealedKey)
	if err != nil {
		return nil, err
	}
	defer clear(pem)
	signer, err := ParseKey(pem)
	return []ssh.Signer{signer}, err
}
