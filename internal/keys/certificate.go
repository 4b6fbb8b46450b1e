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

	"sallyport/internal/limits"
)

// Grant is what a certificate is for.
type Grant struct {
	// Principal is the one user to log in as: not empty, and at most
	// limits.PrincipalBytesMax bytes without blanks and control characters.
	Principal string
	// For names what the connection is for, such as "workspace/ID". The machine's
	// sshd writes it into its log, so it is no secret: visible ASCII, and at most
	// limits.CertificateForBytesMax bytes of it.
	For string
}

// Certify makes a key that is kept nowhere and, for each CA key in force, newest
// first, a certificate for it: to be offered in that order, so that a machine that
// knows any of these keys lets in. They are valid for limits.CertificateLife, and
// from limits.CertificateSkew ago, for the one principal, and allow to run
// commands and subsystems: no terminal and no forwarding.
//
// Certificates are proven when a connection is made and don't end it later. The
// error is the store's, or says what can't be granted or opened.
func (ca *CA) Certify(ctx context.Context, g Grant) ([]ssh.Signer, error) {
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	keys, err := ca.Keys(ctx)
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
		KeyId: "sallyport " + g.For, ValidPrincipals: []string{g.Principal},
		ValidAfter:  uint64(now.Add(-limits.CertificateSkew).Unix()),
		ValidBefore: uint64(now.Add(limits.CertificateLife).Unix()),
	}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		return nil, err
	}
	return ssh.NewCertSigner(cert, subject)
}

// check keeps out what a server could read as something else. A certificate
// without a principal is anybody's to some.
func (g Grant) check() error {
	odd := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	switch {
	case g.Principal == "":
		return errors.New("there is no user to log in as")
	case len(g.Principal) > limits.PrincipalBytesMax:
		return fmt.Errorf("the user's name is longer than %d bytes", limits.PrincipalBytesMax)
	case !utf8.ValidString(g.Principal) || strings.ContainsFunc(g.Principal, odd):
		return errors.New("the user's name has blanks or control characters")
	case g.For == "" || len(g.For) > limits.CertificateForBytesMax:
		return fmt.Errorf("what the certificate is for takes 1 to %d bytes", limits.CertificateForBytesMax)
	case strings.ContainsFunc(g.For, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("what the certificate is for is visible ASCII")
	}
	return nil
}
