package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/id"
	"sallyport/internal/limits"
)

// CAKey is a key of the CA, as it is stored.
type CAKey struct {
	ID string
	// PublicKey is a line of an authorized_keys file without its comment.
	PublicKey string
	// Sealed is the private key's seed, sealed for this ID and PublicKey.
	Sealed    []byte
	CreatedAt time.Time
	// EndsAt is zero on the newest key, which is in force until it is replaced.
	EndsAt time.Time
}

// InForce tells whether the key signs, and machines are to trust it.
func (k CAKey) InForce(at time.Time) bool { return k.EndsAt.IsZero() || at.Before(k.EndsAt) }

// Check tells why the seal doesn't open the key, if it doesn't: the error wraps one
// of Sealer.Open's.
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

func (k CAKey) purpose() string { return "ca/" + k.ID + "/" + k.PublicKey }

// CARotation replaces the newest key.
type CARotation struct {
	Next CAKey
	// OthersEndAt is when the keys that there are end, unless they end sooner.
	OthersEndAt time.Time
}

// CAStore keeps the CA's keys. Exactly one of them has no end.
type CAStore interface {
	// CAKeys returns every key, newest first.
	CAKeys(ctx context.Context) ([]CAKey, error)
	// AddFirstCAKey adds a key if there is none yet, whoever else tries, and
	// else does nothing.
	AddFirstCAKey(ctx context.Context, key CAKey) error
	// ResealCAKey replaces what is sealed of a key. A key that has gone meanwhile
	// is no error.
	ResealCAKey(ctx context.Context, keyID string, sealed []byte) error
}

// CA is the server's SSH certificate authority. Its fields are set before the
// first use. It is safe for concurrent use.
//
// A private key of its own is in memory in the clear only while it signs.
type CA struct {
	Store CAStore
	Seal  *Sealer
	Now   func() time.Time

	mu     sync.Mutex // guards what follows
	cached []CAKey
	readAt time.Time
	// forgotten counts the calls of Forget, so that what was read before one is
	// not kept after it.
	forgotten int
}

// Open makes the first key if there is none, sees to it that every key can be
// opened, and seals those anew that an older key of the seal file has sealed. Its
// error wraps ErrSealKey where the seal file is another one, and is the store's
// where that can't answer.
func (ca *CA) Open(ctx context.Context) error {
	keys, err := ca.read(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if ca.Seal.IsCurrent(key.Sealed) {
			continue
		}
		seed, err := ca.Seal.Open(key.purpose(), key.Sealed)
		if err != nil {
			return fmt.Errorf("CA key %s: %w", key.ID, err)
		}
		sealed := ca.Seal.Seal(key.purpose(), seed)
		clear(seed)
		if err := ca.Store.ResealCAKey(ctx, key.ID, sealed); err != nil {
			return err
		}
	}
	ca.Forget()
	return nil
}

// Keys returns the keys in force, newest first. What another replica has changed
// shows after limits.CAKeysReadEvery at the latest. The caller changes nothing of
// them. Its error is the store's, or says of a key that it can't be opened.
func (ca *CA) Keys(ctx context.Context) ([]CAKey, error) {
	ca.mu.Lock()
	keys, forgotten := ca.cached, ca.forgotten
	fresh := keys != nil && time.Since(ca.readAt) < limits.CAKeysReadEvery
	ca.mu.Unlock()
	if !fresh {
		began := time.Now()
		var err error
		if keys, err = ca.read(ctx); err != nil {
			return nil, err
		}
		ca.mu.Lock()
		if ca.forgotten == forgotten {
			ca.cached, ca.readAt = keys, began
		}
		ca.mu.Unlock()
	}
	at := ca.Now()
	var inForce []CAKey
	for _, key := range keys {
		if key.InForce(at) && len(inForce) < limits.CAKeysMax {
			inForce = append(inForce, key)
		}
	}
	return inForce, nil
}

// Forget drops what is cached: the keys have changed.
func (ca *CA) Forget() {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.cached = nil
	ca.forgotten++
}

// NewKey makes a key, which is the CA's once the store has it.
func (ca *CA) NewKey() (CAKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return CAKey{}, fmt.Errorf("make a CA key: %w", err)
	}
	defer clear(private)
	line, err := publicLine(public)
	if err != nil {
		return CAKey{}, err
	}
	key := CAKey{ID: id.New(), PublicKey: line, CreatedAt: ca.Now()}
	seed := private.Seed()
	defer clear(seed)
	key.Sealed = ca.Seal.Seal(key.purpose(), seed)
	return key, nil
}

// read asks the store, makes the first key where there is none, and opens each: a
// public key that somebody has put into the database is told to no machine.
func (ca *CA) read(ctx context.Context) ([]CAKey, error) {
	keys, err := ca.Store.CAKeys(ctx)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		if keys, err = ca.addFirst(ctx); err != nil {
			return nil, err
		}
	}
	for _, key := range keys {
		if err := key.Check(ca.Seal); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// addFirst makes the first key. Where several servers start together, one of them
// makes it for all.
func (ca *CA) addFirst(ctx context.Context) ([]CAKey, error) {
	first, err := ca.NewKey()
	if err != nil {
		return nil, err
	}
	if err := ca.Store.AddFirstCAKey(ctx, first); err != nil {
		return nil, err
	}
	keys, err := ca.Store.CAKeys(ctx)
	if err == nil && len(keys) == 0 {
		err = errors.New("the CA has no key, and none can be added")
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
