package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/id"
	"sallyport/internal/limits"
)

// CAKey is a key of an organisation's CA, as it is stored.
type CAKey struct {
	ID string
	// OrgID is the organisation whose machines trust the key.
	OrgID string
	// PublicKey is a line of an authorized_keys file without its comment.
	PublicKey string
	// Sealed is the seed of the private key, sealed for this OrgID, ID and PublicKey.
	Sealed    []byte
	CreatedAt time.Time
	// EndsAt is zero on the newest key, which is in force until another replaces it.
	EndsAt time.Time
}

// InForce reports whether the key signs at a time, and machines are to trust it then.
func (k CAKey) InForce(at time.Time) bool { return k.EndsAt.IsZero() || at.Before(k.EndsAt) }

// Check returns why the seal can't open the key, or nil. The error wraps one of
// Sealer.Open's.
func (k CAKey) Check(seal *Sealer) error {
	private, err := k.private(seal)
	clear(private)
	return err
}

// private opens the key. The caller clears it.
func (k CAKey) private(seal *Sealer) (ed25519.PrivateKey, error) {
	seed, err := seal.Open(k.purpose(), k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("CA key %s: %w", k.ID, err)
	}
	defer clear(seed)
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("CA key %s: its private key has %d bytes", k.ID, len(seed))
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// purpose binds the sealed key to its organisation: in the row of another one it
// opens nothing.
func (k CAKey) purpose() string { return "ca/" + k.OrgID + "/" + k.ID + "/" + k.PublicKey }

// CARotation replaces the newest key of one organisation.
type CARotation struct {
	Next CAKey
	// OthersEndAt is when the other keys of the organisation end, unless they end sooner.
	OthersEndAt time.Time
}

// CAStore keeps the keys of the CAs. Exactly one key of an organisation has no end.
type CAStore interface {
	// CAKeys returns every key of the organisation, newest first.
	CAKeys(ctx context.Context, orgID string) ([]CAKey, error)
	// AddFirstCAKey adds a key to its organisation if that has none. If two callers add
	// one at the same time, the store keeps the first and ignores the other.
	AddFirstCAKey(ctx context.Context, key CAKey) error
	// ResealCAKey replaces the sealed private key. If the key doesn't exist any more,
	// ResealCAKey does nothing.
	ResealCAKey(ctx context.Context, keyID string, sealed []byte) error
}

// CA is the SSH certificate authority of each organisation. Its fields are set before
// the first use. It is safe for concurrent use.
//
// CA caches nothing: a key that another server has rotated is in use here from the next
// login on. A private key is in memory in the clear only while it signs.
type CA struct {
	Store CAStore
	Seal  *Sealer
	Now   func() time.Time
}

// Keys returns the organisation's keys in force, newest first, and makes the first key
// if the organisation has none. Its error is the store's, or says that a key can't be
// opened: a public key that somebody put into the database is shown to no machine.
func (ca *CA) Keys(ctx context.Context, orgID string) ([]CAKey, error) {
	keys, err := ca.Store.CAKeys(ctx, orgID)
	if err == nil && len(keys) == 0 {
		keys, err = ca.addFirst(ctx, orgID)
	}
	if err != nil {
		return nil, err
	}
	at := ca.Now()
	var inForce []CAKey
	for _, key := range keys {
		if !key.InForce(at) || len(inForce) == limits.CAKeysMax {
			continue
		}
		if err := key.Check(ca.Seal); err != nil {
			return nil, err
		}
		inForce = append(inForce, key)
	}
	return inForce, nil
}

// Reseal checks that the seal opens a key, and seals the key anew if an older key of
// the seal file sealed it. The error wraps ErrSealKey where the seal file is another
// one, and is the store's where the store can't answer.
func (ca *CA) Reseal(ctx context.Context, key CAKey) error {
	if ca.Seal.IsCurrent(key.Sealed) {
		return key.Check(ca.Seal)
	}
	seed, err := ca.Seal.Open(key.purpose(), key.Sealed)
	if err != nil {
		return fmt.Errorf("CA key %s: %w", key.ID, err)
	}
	defer clear(seed)
	return ca.Store.ResealCAKey(ctx, key.ID, ca.Seal.Seal(key.purpose(), seed))
}

// NewKey makes a key for an organisation. The key signs once it is in the store.
func (ca *CA) NewKey(orgID string) (CAKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return CAKey{}, fmt.Errorf("make a CA key: %w", err)
	}
	defer clear(private)
	line, err := publicLine(public)
	if err != nil {
		return CAKey{}, err
	}
	key := CAKey{ID: id.New(), OrgID: orgID, PublicKey: line, CreatedAt: ca.Now()}
	seed := private.Seed()
	defer clear(seed)
	key.Sealed = ca.Seal.Seal(key.purpose(), seed)
	return key, nil
}

// addFirst makes the first key of an organisation. If several servers make one at the
// same time, all of them return the one that the store kept.
func (ca *CA) addFirst(ctx context.Context, orgID string) ([]CAKey, error) {
	first, err := ca.NewKey(orgID)
	if err != nil {
		return nil, err
	}
	if err := ca.Store.AddFirstCAKey(ctx, first); err != nil {
		return nil, err
	}
	keys, err := ca.Store.CAKeys(ctx, orgID)
	if err == nil && len(keys) == 0 {
		err = errors.New("the organisation has no CA key, and none can be added")
	}
	return keys, err
}

func publicLine(public ed25519.PublicKey) (string, error) {
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("make a CA key: %w", err)
	}
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key))), nil
}
