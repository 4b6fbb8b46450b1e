package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"math/big"
	"strings"

	"sallyport/internal/principal"
)

// A token reads KIND_PREFIX…: one of the words below, 8 characters that
// name it and are no secret, 43 that hold 256 random bits, and 6 of checksum
// (CRC-32), all of [0-9A-Za-z]. The checksum lets a scanner find a leaked token
// without asking us, and tells a typo at once.
const (
	orgWord       = "sp_org_"
	workspaceWord = "sp_ws_"
	adminWord     = "sp_adm_"
	sessionWord   = "sp_ses_"

	nameLen   = 8
	secretLen = 43
	sumLen    = 6
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Minted is a new token.
type Minted struct {
	// Secret is the whole token. It is shown once and stored nowhere.
	Secret string
	// Prefix names the token; it is no secret.
	Prefix string
	// Hash is the SHA-256 of Secret, which is what is stored: 256 random bits
	// need no salt and no slow hash.
	Hash [32]byte
}

// Mint makes a token for a principal of kind.
func Mint(kind principal.Kind) Minted {
	word := orgWord
	switch kind {
	case principal.Workspace:
		word = workspaceWord
	case principal.Admin:
		word = adminWord
	}
	return mint(word)
}

func mint(word string) Minted {
	var random [32]byte
	rand.Read(random[:])
	prefix := word + randomName()
	body := prefix + encode(new(big.Int).SetBytes(random[:]), secretLen)
	secret := body + checksum(body)
	return Minted{Secret: secret, Prefix: prefix, Hash: Hash(secret)}
}

// Hash returns the form in which the store keeps a token.
func Hash(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// WellFormed reports whether s has the form of a token of ours, with a valid
// checksum. The token may still not exist.
func WellFormed(s string) bool { return wellFormed(s, orgWord, workspaceWord, adminWord) }

func wellFormed(s string, words ...string) bool {
	for _, word := range words {
		if rest, ok := strings.CutPrefix(s, word); ok {
			return len(rest) == nameLen+secretLen+sumLen &&
				strings.Trim(rest, alphabet) == "" &&
				checksum(s[:len(s)-sumLen]) == s[len(s)-sumLen:]
		}
	}
	return false
}

// Claims reports whether s looks like a token of ours.
func Claims(s string) bool { return strings.HasPrefix(s, "sp_") }

// randomName draws characters without bias: 248 is the largest multiple of 62
// that a byte holds.
func randomName() string {
	name := make([]byte, 0, nameLen)
	for len(name) < nameLen {
		var b [2 * nameLen]byte
		rand.Read(b[:])
		for _, c := range b {
			if c < 248 && len(name) < nameLen {
				name = append(name, alphabet[c%62])
			}
		}
	}
	return string(name)
}

func checksum(body string) string {
	return encode(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(body)))), sumLen)
}

// encode writes n in base 62, in width digits.
func encode(n *big.Int, width int) string {
	digits := make([]byte, width)
	base, digit := big.NewInt(62), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		digits[i] = alphabet[digit.Int64()]
	}
	return string(digits)
}
