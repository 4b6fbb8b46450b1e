package identity_test

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport/internal/identity"
	"sallyport/internal/principal"
)

var kinds = map[principal.Kind]string{
	principal.Org: "sp_org_", principal.Workspace: "sp_ws_", principal.Admin: "sp_adm_",
}

var shape = regexp.MustCompile(`^sp_(?:org|ws|adm)_[0-9A-Za-z]{8}[0-9A-Za-z]{43}([0-9A-Za-z]{6})$`)

// isToken is what a token is, said in another way than the product does.
func isToken(s string) bool {
	parts := shape.FindStringSubmatch(s)
	return parts != nil && parts[1] == sumOf(s[:len(s)-6])
}

// sumOf is the checksum of body: its CRC-32 in six digits of base 62.
func sumOf(body string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	n, sum := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		sum, n = string(digits[n%62])+sum, n/62
	}
	return sum
}

func TestMint(t *testing.T) {
	seen := map[string]bool{}
	for kind, word := range kinds {
		for range 50 {
			m := identity.Mint(kind)
			if !strings.HasPrefix(m.Secret, word) || !isToken(m.Secret) || !identity.WellFormed(m.Secret) || !identity.Claims(m.Secret) {
				t.Fatalf("%q is no %s token", m.Secret, word)
			}
			if m.Prefix != m.Secret[:len(word)+8] {
				t.Errorf("prefix %q of %q", m.Prefix, m.Secret)
			}
			if m.Hash != sha256.Sum256([]byte(m.Secret)) || m.Hash != identity.Hash(m.Secret) {
				t.Error("the hash is not the secret's SHA-256")
			}
			secret := m.Secret[len(m.Prefix) : len(m.Prefix)+43]
			if seen[m.Prefix] || seen[secret] {
				t.Errorf("%s was minted twice, in part at least", m.Secret)
			}
			seen[m.Prefix], seen[secret] = true, true
		}
	}
}

// Each of a secret's digits varies: none of the random bits is left out.
func TestMintIsRandom(t *testing.T) {
	const tokens, digits = 400, 43
	var seen [digits]map[byte]bool
	for range tokens {
		m := identity.Mint(principal.Org)
		for i := range digits {
			if seen[i] == nil {
				seen[i] = map[byte]bool{}
			}
			seen[i][m.Secret[len(m.Prefix)+i]] = true
		}
	}
	// 62^43 is 9.6 times 2^256, so the first digit has but seven values.
	for i, values := range seen {
		if least := map[bool]int{true: 4, false: 50}[i == 0]; len(values) < least {
			t.Errorf("digit %d has %d values in %d tokens", i, len(values), tokens)
		}
	}
}

// Tokens that were once given out are good for ever.
func TestWellFormedForEver(t *testing.T) {
	for _, s := range []string{
		"sp_org_00000000" + strings.Repeat("0", 43) + "0dsxDr",
		"sp_ws_AbCdEfGh" + strings.Repeat("z", 43) + "4QOZFA",
		"sp_adm_12345678" + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg" + "1yYnWT",
	} {
		if !identity.WellFormed(s) {
			t.Errorf("%s is no token any more; its checksum would be %s", s, sumOf(s[:len(s)-6]))
		}
	}
}

func tokenGen() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		body := rapid.SampledFrom([]string{"sp_org_", "sp_ws_", "sp_adm_"}).Draw(t, "word") +
			rapid.StringMatching(`[0-9A-Za-z]{51}`).Draw(t, "body")
		return body + sumOf(body)
	})
}

// A typo, two letters that changed places, a part that was lost: all are told
// without asking the store.
func TestTyposAreTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := tokenGen().Draw(t, "token")
		if !identity.WellFormed(token) {
			t.Fatalf("%s is a token", token)
		}
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		typo := []byte(token)
		typo[at] = rapid.ByteRange(' ', '~').Draw(t, "typo")
		swapped := []byte(token)
		swapped[at], swapped[max(at-1, 0)] = swapped[max(at-1, 0)], swapped[at]
		for _, wrong := range []string{
			string(typo), string(swapped), token[:at], token[at:], token[:at] + token[at+1:], token + token[at:],
			strings.ToLower(token), strings.ToUpper(token), " " + token, token + "\n",
		} {
			if wrong != token && identity.WellFormed(wrong) {
				t.Fatalf("%q passes for %q", wrong, token)
			}
		}
	})
}

func FuzzWellFormed(f *testing.F) {
	for kind := range kinds {
		f.Add(identity.Mint(kind).Secret)
	}
	for _, s := range []string{
		"", "sp_", "sp_org_", "sp_ws_", "sp_adm_x", "Bearer sp_org_", "sp_org_" + strings.Repeat("0", 57), "sp_user_" + strings.Repeat("0", 57),
		"sp_org_" + strings.Repeat("-", 51), "sp_ws_aaaa" + strings.Repeat("\x00", 43) + "aaaa", "sp_ws_" + strings.Repeat("é", 28) + "x", "sp_org_00000000" + strings.Repeat("0", 43) + "\x00\x00\x00\x00\x00\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := identity.WellFormed(s), isToken(s); got != want {
			t.Errorf("WellFormed(%q) is %v, want %v", s, got, want)
		}
		// The same with a checksum that is right: the fuzzer would not find one.
		if summed := s + sumOf(s); identity.WellFormed(summed) != isToken(summed) {
			t.Errorf("WellFormed(%q) is %v", summed, identity.WellFormed(summed))
		}
		if got, want := identity.Claims(s), strings.HasPrefix(s, "sp_"); got != want {
			t.Errorf("Claims(%q) is %v", s, got)
		}
	})
}

func TestAdminHash(t *testing.T) {
	minted := identity.Mint(principal.Admin).Secret
	tests := []struct {
		token, problem string
	}{
		{minted, ""},
		{strings.Repeat("x", 32), ""},
		{"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", ""},
		{strings.Repeat("x", 31), "31 characters are too few"},
		{"", "0 characters are too few"},
		{strings.Repeat("x", 31) + " ", "visible ASCII"},
		{strings.Repeat("x", 31) + "\n", "visible ASCII"},
		{strings.Repeat("x", 31) + "\x7f", "visible ASCII"},
		{strings.Repeat("é", 32), "visible ASCII"},
		{minted[:len(minted)-1], "checksum"},
		{"sp_" + strings.Repeat("x", 40), "checksum"},
	}
	for _, tt := range tests {
		hash, err := identity.AdminHash(tt.token)
		switch {
		case tt.problem == "" && (err != nil || hash != sha256.Sum256([]byte(tt.token))):
			t.Errorf("%q: %x, %v", tt.token, hash, err)
		case tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)):
			t.Errorf("%q: %v, want %q", tt.token, err, tt.problem)
		case tt.token != "" && strings.Contains(fmt.Sprint(err), tt.token):
			t.Errorf("%v shows the token", err)
		}
	}
}
