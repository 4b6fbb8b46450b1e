package keys

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/id"
	"sallyport/internal/limits"
)

// Grant is the purpose of a certificate.
type Grant struct {
	// OrgID is the organisation whose CA signs: the machine must trust that one.
	OrgID string
	// WorkspaceID is the workspace whose machine the certificate opens, and ExecID the
	// exec for which the connection is made; ExecID is empty if it is made for none. The
	// machine's sshd writes the ids into its log: they are no secret.
	WorkspaceID, ExecID string
	// Principal is the one user to log in as: not empty, and at most
	// limits.PrincipalBytesMax bytes without blanks and control characters.
	Principal string
}

// Certify makes a key that is kept nowhere, and a certificate for it from each CA key of
// the organisation that is in force, newest first. Offered in that order, they open a
// machine that trusts any of these keys, and no machine of another organisation. A
// certificate is valid from limits.CertificateSkew ago until limits.CertificateLife from
// now, for the one principal, and allows commands and subsystems: no terminal and no
// forwarding.
//
// A machine checks a certificate at the login alone: its end doesn't end the connection.
// The error is the store's, or says what can't be granted or opened.
func (ca *CA) Certify(ctx context.Context, g Grant) ([]ssh.Signer, error) {
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	keys, err := ca.Keys(ctx, g.OrgID)
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	subject, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	var signers []ssh.Signer
	for _, key := range keys {
		signer, err := ca.certify(key, subject, g)
		if err != nil {
			return nil, fmt.Errorf("certify: %w", err)
		}
		signers = append(signers, signer)
	}
	return signers, nil
}

func (ca *CA) certify(key CAKey, subject ssh.Signer, g Grant) (ssh.Signer, error) {
	private, err := key.private(ca.Seal)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	authority, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return nil, err
	}
	var serial [8]byte
	_, _ = rand.Read(serial[:]) // it never fails: the program would end
	now := ca.Now()
	cert := &ssh.Certificate{
		Key: subject.PublicKey(), Serial: binary.BigEndian.Uint64(serial[:]), CertType: ssh.UserCert,
		KeyId: g.keyID(), ValidPrincipals: []string{g.Principal},
		ValidAfter:  uint64(now.Add(-limits.CertificateSkew).Unix()),
		ValidBefore: uint64(now.Add(limits.CertificateLife).Unix()),
		// sshd forwards for nobody else, and gives nobody else a terminal.
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": "", "permit-pty": ""}},
	}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		return nil, err
	}
	return ssh.NewCertSigner(cert, subject)
}

// keyID names the certificate in the machine's log.
func (g Grant) keyID() string {
	name := "sallyport org/" + g.OrgID + " workspace/" + g.WorkspaceID
	if g.ExecID != "" {
		name += " exec/" + g.ExecID
	}
	return name
}

// check refuses a grant that an SSH server could read as something else. To some
// servers a certificate without a principal is anybody's.
func (g Grant) check() error {
	isOdd := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	switch {
	case !id.Is(g.OrgID), !id.Is(g.WorkspaceID), g.ExecID != "" && !id.Is(g.ExecID):
		return errors.New("a certificate is for an organisation, a workspace and an exec, each named by its id")
	case g.Principal == "":
		return errors.New("there is no user to log in as")
	case len(g.Principal) > limits.PrincipalBytesMax:
		return fmt.Errorf("the user's name is longer than %d bytes", limits.PrincipalBytesMax)
	case !utf8.ValidString(g.Principal) || strings.ContainsFunc(g.Principal, isOdd):
		return errors.New("the user's name has blanks or control characters")
	}
	return nil
}
