package redact

import (
	"encoding/base64"
	"strings"
)

// A shape is a form that the tokens of one issuer have: a prefix that nothing
// else has, and then random characters.
type shape struct {
	prefix string
	// chars are the characters that may follow.
	chars func(c byte) bool
	// charsMin is how many of them there are at least.
	charsMin int
	// glued shapes are found in the middle of a word too.
	glued bool
}

var shapes = []shape{
	// Our own.
	{"sp_org_", isAlnum, 16, true},
	{"sp_ws_", isAlnum, 16, true},
	{"sp_adm_", isAlnum, 16, true},
	{"sp_ses_", isAlnum, 16, true},
	// GitHub; the glued forms are exact, as ghs_ ends ordinary words too.
	{"ghp_", isTokenChar, 16, false}, {"ghp_", isAlnum, 30, true},
	{"gho_", isTokenChar, 16, false}, {"gho_", isAlnum, 30, true},
	{"ghu_", isTokenChar, 16, false}, {"ghu_", isAlnum, 30, true},
	{"ghs_", isTokenChar, 16, false}, {"ghs_", isAlnum, 30, true},
	{"ghr_", isTokenChar, 16, false}, {"ghr_", isAlnum, 30, true},
	{"github_pat_", isTokenChar, 16, true},
	// GitLab.
	{"glpat-", isTokenChar, 16, true}, {"gldt-", isTokenChar, 16, false},
	{"glrt-", isTokenChar, 16, false}, {"glptt-", isTokenChar, 16, false},
	{"glcbt-", isTokenChar, 16, false}, {"glsoat-", isTokenChar, 16, false},
	{"glagent-", isTokenChar, 16, false}, {"glft-", isTokenChar, 16, false},
	// Slack.
	{"xoxa-", isTokenChar, 10, true}, {"xoxb-", isTokenChar, 10, true},
	{"xoxe-", isTokenChar, 10, true}, {"xoxo-", isTokenChar, 10, true},
	{"xoxp-", isTokenChar, 10, true}, {"xoxr-", isTokenChar, 10, true},
	{"xoxs-", isTokenChar, 10, true}, {"xapp-", isTokenChar, 16, false},
	{"hooks.slack.com/services/", isPathChar, 16, true},
	// Clouds.
	{"AKIA", isUpperAlnum, 16, false}, {"ASIA", isUpperAlnum, 16, false},
	{"AIza", isTokenChar, 30, true}, {"ya29.", isTokenChar, 16, false},
	{"dop_v1_", isAlnum, 16, false}, {"doo_v1_", isAlnum, 16, false},
	{"dor_v1_", isAlnum, 16, false}, {"tskey-", isTokenChar, 16, false},
	// Models.
	{"sk-", isTokenChar, 16, false}, {"hf_", isAlnum, 20, false},
	{"xai-", isTokenChar, 24, false}, {"gsk_", isAlnum, 24, false}, {"r8_", isAlnum, 24, false},
	// Registries, payments, mail, secrets, work.
	{"npm_", isAlnum, 20, false}, {"pypi-AgE", isTokenChar, 16, false},
	{"rubygems_", isAlnum, 24, false}, {"dckr_pat_", isTokenChar, 16, false},
	{"dckr_oat_", isTokenChar, 16, false},
	{"sk_live_", isAlnum, 10, true}, {"sk_test_", isAlnum, 10, true},
	{"rk_live_", isAlnum, 10, true}, {"rk_test_", isAlnum, 10, true}, {"whsec_", isBase64, 16, false},
	{"SG.", isTokenChar, 40, false}, {"hvs.", isTokenChar, 20, false},
	{"hvb.", isTokenChar, 20, false}, {"hvr.", isTokenChar, 20, false},
	{"AGE-SECRET-KEY-1", isUpperAlnum, 20, true}, {"shpat_", isAlnum, 20, false},
	{"shpss_", isAlnum, 20, false}, {"shpca_", isAlnum, 20, false}, {"shppa_", isAlnum, 20, false},
	{"lin_api_", isAlnum, 20, false}, {"sntrys_", isBase64, 20, false},
	{"figd_", isTokenChar, 20, false}, {"ATATT3", isTokenChar, 20, false},
	{"api.telegram.org/bot", isBotChar, 20, true},
}

// shapesByFirst finds the shapes that begin with a byte.
var shapesByFirst = func() (by [128][]shape) {
	for _, s := range shapes {
		by[s.prefix[0]] = append(by[s.prefix[0]], s)
	}
	return by
}()

// beginsShape tells the bytes that a token of a known shape begins with, and
// secondOfShape those that may follow.
var beginsShape, secondOfShape = func() (first [256]bool, second [256][256]bool) {
	// A JWT, PEM in base64, and "Bearer" have no entry in shapes.
	prefixes := []string{"eyJ", pemBase64, "bearer", "Bearer", "BEARER", "bEARER"}
	for _, s := range shapes {
		prefixes = append(prefixes, s.prefix)
	}
	for _, p := range prefixes {
		first[p[0]] = true
		second[p[0]][p[1]] = true
	}
	return first, second
}()

func isAlnum(c byte) bool      { return is(c, classAlnum) }
func isUpperAlnum(c byte) bool { return isUpper(c) || isDigit(c) }
func isTokenChar(c byte) bool  { return is(c, className) }
func isBase64(c byte) bool     { return is(c, classAlnum) || strings.IndexByte("+/=-_", c) >= 0 }
func isPathChar(c byte) bool   { return is(c, className) || c == '/' }
func isBotChar(c byte) bool    { return is(c, className) || c == ':' }
func isBearerChar(c byte) bool { return is(c, className) || strings.IndexByte("~+/=", c) >= 0 }

// runEnd returns where the run of chars that begins at from ends.
func runEnd(text string, from int, chars func(byte) bool) int {
	for from < len(text) && chars(text[from]) {
		from++
	}
	return from
}

// shape masks the token that begins at i, if one does, and returns where to go on.
func (s *scanner) shape(i int) int {
	if i+1 == len(s.text) || !secondOfShape[s.text[i]][s.text[i+1]] {
		return i + 1
	}
	begins := s.isBoundary(i)
	switch s.text[i] {
	case 'e':
		if begins && i >= s.jwtFrom && strings.HasPrefix(s.text[i:], "eyJ") {
			return s.jwt(i)
		}
	case 'L':
		if strings.HasPrefix(s.text[i:], pemBase64) {
			return s.encodedPEM(i)
		}
	case 'b', 'B':
		if begins {
			return s.bearer(i)
		}
	}
	for _, sh := range shapesByFirst[s.text[i]] {
		if !(sh.glued || begins) || !strings.HasPrefix(s.text[i:], sh.prefix) {
			continue
		}
		from := i + len(sh.prefix)
		if from <= s.dullEnd {
			continue
		}
		end := runEnd(s.text, from, sh.chars)
		if end-from >= sh.charsMin && looksRandom(s.text[from:end]) {
			return s.add(i, end)
		}
		if end-from >= sh.charsMin {
			// What follows would be read again for each shape in it.
			s.dullEnd = end
		}
	}
	return i + 1
}

// isBoundary tells whether a word may begin at i: what is before is no letter
// or digit, or is the end of an escape (%3D, \n).
func (s *scanner) isBoundary(i int) bool {
	if i == 0 || !is(s.text[i-1], classAlnum) {
		return true
	}
	if i >= 3 && s.text[i-3] == '%' && isHex(s.text[i-2]) && isHex(s.text[i-1]) {
		return true
	}
	return i >= 2 && s.text[i-2] == '\\' && strings.IndexByte("nrt", s.text[i-1]) >= 0
}

// looksRandom tells tokens from names that only begin alike: those are words
// without digits, joined by dashes.
func looksRandom(s string) bool {
	run := 0
	for i := range len(s) {
		switch {
		case isDigit(s[i]):
			return true
		case isLetter(s[i]):
			run++
			if run >= 16 {
				return true
			}
		default:
			run = 0
		}
	}
	return false
}

// jwt masks the JSON web token at i: two or more parts, joined by dots.
func (s *scanner) jwt(i int) int {
	const partMin = 10
	end := runEnd(s.text, i, isWebBase64)
	if end-i < partMin || end+1 >= len(s.text) || s.text[end] != '.' || !isWebBase64(s.text[end+1]) {
		s.jwtFrom = end
		return i + 1
	}
	for end+1 <= len(s.text) && end < len(s.text) && s.text[end] == '.' {
		end = runEnd(s.text, end+1, isWebBase64)
	}
	return s.add(i, end)
}

func isWebBase64(c byte) bool { return is(c, classAlnum) || c == '-' || c == '_' }

// bearer masks what follows the word Bearer at i, when it looks like a token.
func (s *scanner) bearer(i int) int {
	const word, tokenMin = "bearer ", 16
	from := i + len(word)
	if from >= len(s.text) || !strings.EqualFold(s.text[i:from], word) {
		return i + 1
	}
	end := runEnd(s.text, from, isBearerChar)
	if end-from < tokenMin || !looksRandom(s.text[from:end]) {
		return from
	}
	return s.add(from, end)
}

// pemBase64 is how every PEM begins in base64.
const pemBase64 = "LS0tLS1CRUdJTi"

// encodedPEM masks the PEM in base64 at i, when it holds a private key.
func (s *scanner) encodedPEM(i int) int {
	head := s.text[i:min(i+64, len(s.text))]
	plain, _ := base64.StdEncoding.DecodeString(head[:len(head)&^3])
	if !strings.Contains(string(plain), "PRIVATE") {
		return i + len(pemBase64)
	}
	return s.add(i, runEnd(s.text, i, isBase64))
}
