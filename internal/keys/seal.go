// Package keys holds the SSH certificate authority of each organisation, and the seal
// under which the store keeps private keys.
package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"sallyport/internal/limits"
)

// Why a sealed value can't be opened. None says anything of what is in it.
var (
	// ErrSealVersion: it is of a form that this program doesn't know.
	ErrSealVersion = errors.New("sealed in a form that this version does not know")
	// ErrSealKey: it was sealed with a key that the seal file doesn't hold.
	ErrSealKey = errors.New("sealed with a key that is not in the seal file")
	// ErrSealBroken: it was changed, or it was sealed for another purpose.
	ErrSealBroken = errors.New("changed since it was sealed, or sealed for something else")
)

const (
	// sealVersion is the first byte of a sealed value: it is followed by the id
	// of the key, the nonce, and what AES-256-GCM makes of the secret.
	sealVersion  = 1
	sealKeyBytes = 32
	sealIDBytes  = 8
	sealHeader   = 1 + sealIDBytes
)

// Sealer seals secrets that the store keeps, with a key that it doesn't keep.
// Make it with ReadSeal. It is safe for concurrent use.
type Sealer struct {
	keys []sealKey // the first seals
}

type sealKey struct {
	id   [sealIDBytes]byte
	aead cipher.AEAD
	mac  [sha256.Size]byte // for MAC; not the key itself
	prk  []byte            // for Derive; not the key itself
}

// ReadSeal reads the text of a seal file. Each line is a key, 32 random bytes in
// base64; empty lines and those that begin with # don't count. The first key
// seals; the others open secrets that they sealed before they were replaced.
//
// Its errors name a line and show nothing of it. The text may be cleared after.
func ReadSeal(text []byte) (*Sealer, error) {
	s := &Sealer{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if len(s.keys) == limits.SealKeysMax {
			return nil, fmt.Errorf("it has more than %d keys", limits.SealKeysMax)
		}
		key, err := readSealKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if s.find(key.id[:]) != nil {
			return nil, fmt.Errorf("line %d: the same key is above it already", i+1)
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return s, nil
}

func readSealKey(line []byte) (sealKey, error) {
	secret := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	defer clear(secret)
	n, err := base64.StdEncoding.Strict().Decode(secret, line)
	if err != nil || n != sealKeyBytes {
		return sealKey{}, fmt.Errorf("a key is %d bytes in base64, as `openssl rand -base64 %d` prints them", sealKeyBytes, sealKeyBytes)
	}
	block, err := aes.NewCipher(secret[:n])
	if err != nil {
		return sealKey{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealKey{}, err
	}
	sum := sha256.Sum256(append([]byte("sallyport seal id\x00"), secret[:n]...))
	key := sealKey{aead: aead, mac: sha256.Sum256(append([]byte("sallyport seal mac\x00"), secret[:n]...))}
	copy(key.id[:], sum[:])
	if key.prk, err = hkdf.Extract(sha256.New, secret[:n], []byte("sallyport seal derive")); err != nil {
		return sealKey{}, err
	}
	return key, nil
}

// NewSeal returns the text of a seal file with a new key. The caller clears it
// once it is written.
func NewSeal() []byte {
	const about = "# Sallyport's seal: what opens the private keys in its database. Keep it secret, keep a\n" +
		"# copy apart from the database's, and give every replica the same. docs/keys.md tells more.\n"
	secret := make([]byte, sealKeyBytes)
	defer clear(secret)
	_, _ = rand.Read(secret) // it never fails: the program would end
	return append(base64.StdEncoding.AppendEncode([]byte(about), secret), '\n')
}

// Seal seals secret for one purpose, such as "workspace/ID": opened for any other
// it is of no use. The caller clears secret.
func (s *Sealer) Seal(purpose string, secret []byte) []byte {
	key := s.keys[0]
	header := append([]byte{sealVersion}, key.id[:]...)
	return key.aead.Seal(header, nil, secret, boundTo(header, purpose))
}

// Open returns the secret that was sealed for the purpose. The caller clears it. The error is
// one of ErrSealVersion, ErrSealKey and ErrSealBroken.
func (s *Sealer) Open(purpose string, sealed []byte) ([]byte, error) {
	key, err := s.keyOf(sealed)
	if err != nil {
		return nil, err
	}
	secret, err := key.aead.Open(nil, nil, sealed[sealHeader:], boundTo(sealed[:sealHeader], purpose))
	if err != nil {
		return nil, ErrSealBroken
	}
	return secret, nil
}

// MAC returns keyed hashes (HMAC-SHA-256) of data for one purpose, with each key: the
// first key's is the one to keep.
func (s *Sealer) MAC(purpose string, data []byte) [][]byte {
	var all [][]byte
	for _, key := range s.keys {
		h := hmac.New(sha256.New, key.mac[:])
		_, _ = fmt.Fprintf(h, "%s\x00", purpose) // a hash takes all
		_, _ = h.Write(data)
		all = append(all, h.Sum(nil))
	}
	return all
}

// Derive returns a secret of 32 bytes for one purpose from each key (HKDF-SHA-256): the
// first key's is the one in force. Every holder of the seal file derives the same.
func (s *Sealer) Derive(purpose string) ([][]byte, error) {
	var all [][]byte
	for _, key := range s.keys {
		secret, err := hkdf.Expand(sha256.New, key.prk, purpose, sealKeyBytes)
		if err != nil {
			return nil, err
		}
		all = append(all, secret)
	}
	return all, nil
}

// IsCurrent tells whether a value was sealed with the first key. One that was not
// is sealed anew by whoever keeps it, so that the older key can be given up.
func (s *Sealer) IsCurrent(sealed []byte) bool {
	key, err := s.keyOf(sealed)
	return err == nil && key == &s.keys[0]
}

func (s *Sealer) keyOf(sealed []byte) (*sealKey, error) {
	switch {
	case len(sealed) == 0:
		return nil, ErrSealBroken
	case sealed[0] != sealVersion:
		return nil, ErrSealVersion
	case len(sealed) < sealHeader:
		return nil, ErrSealBroken
	}
	key := s.find(sealed[1:sealHeader])
	if key == nil {
		return nil, ErrSealKey
	}
	return key, nil
}

func (s *Sealer) find(id []byte) *sealKey {
	for i := range s.keys {
		if bytes.Equal(s.keys[i].id[:], id) {
			return &s.keys[i]
		}
	}
	return nil
}

// boundTo is the additional data: it has but one reading, since the header's
// length is fixed.
func boundTo(header []byte, purpose string) []byte {
	return fmt.Appendf(nil, "sallyport seal\x00%s%s", header, purpose)
}
