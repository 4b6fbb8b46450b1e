package peer

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"sallyport/internal/limits"
)

// SeedPurpose is what the seeds of an Authority are derived from the seal for.
const SeedPurpose = "replicas' certificates"

// Authority is the CA of the servers that have the same seal: each derives it by itself,
// and nobody else can. It is safe for concurrent use.
type Authority struct {
	roots *x509.CertPool
	// signer signs, as issuer; above are certificates of the issuer by the older keys of the
	// seal, for servers that know nothing of its newest yet.
	signer crypto.Signer
	issuer *x509.Certificate
	above  [][]byte
}

// NewAuthority returns the authority of seeds of ed25519.SeedSize bytes, one of each key of
// the seal, for SeedPurpose: the first signs, and what any of them has signed is good.
func NewAuthority(seeds [][]byte) (*Authority, error) {
	if len(seeds) == 0 {
		return nil, errors.New("an authority needs a seed")
	}
	a := &Authority{roots: x509.NewCertPool()}
	for i, seed := range seeds {
		key := ed25519.NewKeyFromSeed(seed)
		root, err := sign(rootTemplate(key), nil, key.Public(), key)
		if err != nil {
			return nil, err
		}
		a.roots.AddCert(root)
		if i == 0 {
			a.signer, a.issuer = key, root
			continue
		}
		crossed, err := sign(rootTemplate(a.signer), root, a.signer.Public(), key)
		if err != nil {
			return nil, err
		}
		a.above = append(a.above, crossed.Raw)
	}
	return a, nil
}

// rootTemplate is the certificate of a key of the authority: whoever has the key makes the
// same one.
func rootTemplate(key crypto.Signer) *x509.Certificate {
	id := sha256.Sum256(key.Public().(ed25519.PublicKey))
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), SubjectKeyId: id[:20],
		Subject:   pkix.Name{CommonName: "sallyport replicas " + hex.EncodeToString(id[:8])},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

// sign makes a certificate of public by parent's key; a nil parent is the template itself.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for replicas: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Issue makes a certificate for a replica, with a new key, that is good for
// limits.PeerCertificateTime from at on.
func (a *Authority) Issue(replica string, at time.Time) (*tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // it never fails: the program would end
	leaf, err := sign(&x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: replica}, DNSNames: []string{replica},
		NotBefore: at.Add(-limits.PeerClockSkew), NotAfter: at.Add(limits.PeerCertificateTime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.issuer, public, a.signer)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{leaf.Raw}, a.above...), PrivateKey: private, Leaf: leaf}, nil
}

// has tells whether a chain, its leaf first, is of this authority, and in force at a time.
func (a *Authority) has(chain []*x509.Certificate, at time.Time) error {
	if len(chain) == 0 {
		return errors.New("there is no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: a.roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// identity is the certificate of this server, which is made anew before it ends.
type identity struct {
	authority *Authority
	replica   string
	now       func() time.Time

	mu      sync.Mutex // guards the fields below
	current *tls.Certificate
}

func (i *identity) certificate() (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	if i.current != nil && now.Add(limits.PeerCertificateTime/2).Before(i.current.Leaf.NotAfter) && now.After(i.current.Leaf.NotBefore) {
		return i.current, nil
	}
	made, err := i.authority.Issue(i.replica, now)
	if err != nil {
		return nil, err
	}
	i.current = made
	return made, nil
}

// tls is what both sides have in common: each shows its certificate, and each connection
// proves itself anew.
func (i *identity) tls() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, Time: i.now, SessionTicketsDisabled: true,
		RootCAs: i.authority.roots, ClientCAs: i.authority.roots, ClientAuth: tls.RequireAndVerifyClientCert,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.certificate() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.certificate() },
	}
}

// replicaOf is whose certificate a connection has shown; "" is nobody's.
func replicaOf(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 {
		return ""
	}
	leaf := state.VerifiedChains[0][0]
	if len(leaf.DNSNames) != 1 || !bytes.Equal([]byte(leaf.DNSNames[0]), []byte(leaf.Subject.CommonName)) {
		return ""
	}
	return leaf.DNSNames[0]
}
