package ssh

import (
	//lint:ignore SA1019 it is known here to be refused
	"crypto/dsa"
	"crypto/rsa"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

const (
	// KeyBytesMax bounds a private key: the longest that are in use, of RSA with
	// 16384 bits, take 13 kB.
	KeyBytesMax = 16 << 10
	// rsaBitsMin is what OpenSSH demands (RequiredRSASize is 1024 by default, and
	// NIST SP 800-131A has 2048).
	rsaBitsMin = 2048
)

// ParseKey reads a private key as ssh-keygen writes it. Its errors are for the person
// who gave the key, and hold nothing of it.
func ParseKey(pem []byte) (ssh.Signer, error) {
	if len(pem) > KeyBytesMax {
		return nil, fmt.Errorf("the private key is larger than %d bytes", KeyBytesMax)
	}
	raw, err := ssh.ParseRawPrivateKey(pem)
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, errors.New("the private key has a passphrase: store one without, which is encrypted here")
	case err != nil: // its text may quote the key
		return nil, errors.New("the private key can't be read: it must be as ssh-keygen writes it, with its BEGIN and END lines")
	}
	switch key := raw.(type) {
	case *dsa.PrivateKey:
		return nil, errors.New("the private key is of type DSA, which is weak: make one of type ed25519")
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < rsaBitsMin {
			return nil, fmt.Errorf("the private key is of RSA with %d bits, which is weak: make one of type ed25519", bits)
		}
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, errors.New("the private key is of a type that is not supported: make one of type ed25519")
	}
	return signer, nil
}
