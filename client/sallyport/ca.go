package sallyport

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// CAKey is a public key of an organisation's SSH CA: a machine that trusts it lets the
// server log in for this organisation, and for no other.
type CAKey struct {
	ID string `json:"id"`
	// PublicKey is the key's type and the key, as in an authorized_keys file.
	PublicKey string `json:"public_key"`
	// Fingerprint is as ssh-keygen -l shows it, and as sshd logs it.
	Fingerprint string    `json:"fingerprint"`
	CreatedAt   time.Time `json:"created_at"`
	// EndsAt is when the server gives up a key that another has replaced; nil on
	// the newest.
	EndsAt *time.Time `json:"ends_at,omitempty"`
}

// CARotate is the body of POST /orgs/{org}/ca/rotate.
type CARotate struct {
	// Now ends the keys before at once, without an overlap: for a key that has got
	// out. A machine that doesn't know the new one yet is out of reach until then.
	Now bool `json:"now,omitempty"`
}

const caComment = "sallyport-ca-"

// NewCAKey returns a key with its fingerprint, from a line of an authorized_keys
// file. endsAt is zero for a key without an end.
func NewCAKey(id, publicKey string, createdAt, endsAt time.Time) (CAKey, error) {
	kind, encoded, _ := strings.Cut(publicKey, " ")
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || kind == "" || len(blob) == 0 {
		return CAKey{}, fmt.Errorf("%.40q is not a public key", publicKey)
	}
	sum := sha256.Sum256(blob)
	k := CAKey{
		ID: id, PublicKey: publicKey, CreatedAt: createdAt.UTC(),
		Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]),
	}
	if !endsAt.IsZero() {
		endsAt = endsAt.UTC()
		k.EndsAt = &endsAt
	}
	return k, nil
}

// Line returns the key as GET /ca gives it and sshd's TrustedUserCAKeys takes it,
// without a newline. Its comment holds the id, and the end of a key that has one.
func (k CAKey) Line() string {
	line := k.PublicKey + " " + caComment + k.ID
	if k.EndsAt != nil {
		line += " until " + k.EndsAt.UTC().Format(time.RFC3339)
	}
	return line
}
