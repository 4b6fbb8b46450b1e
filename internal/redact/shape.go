package redact

import (
	"encoding/base64"
	"strings"

	"sallyport/internal/redact/known"
)

// runEnd returns where the run of chars that begins at from ends.
func runEnd(text string, from int, chars func(byte) bool) int {
	for from < len(text) && chars(text[from]) {
		from++
	}
	return from
}

// shape masks the token that begins at i, if one does, and returns where to go on.
func (s *scanner) shape(i int) int {
	if i+1 == len(s.text) || !known.MayBegin(s.text[i], s.text[i+1]) {
		return i + 1
	}
	begins := s.isBoundary(i)
	switch s.text[i] {
	case 'e':
		if begins && i >= s.jwtFrom && strings.HasPrefix(s.text[i:], "eyJ") {
			return s.jwt(i)
		}
	case 'L':
		if strings.HasPrefix(s.text[i:], known.PEMBase64) {
			return s.encodedPEM(i)
		}
	case 'b', 'B':
		if begins {
			return s.bearer(i)
		}
	}
	for _, sh := range known.ShapesFrom(s.text[i]) {
		if !(sh.Glued || begins) || !strings.HasPrefix(s.text[i:], sh.Prefix) {
			continue
		}
		from := i + len(sh.Prefix)
		if from <= s.dullEnd {
			continue
		}
		end := runEnd(s.text, from, sh.Chars)
		if end-from >= sh.CharsMin && looksRandom(s.text[from:end]) {
			return s.add(i, end)
		}
		if end-from >= sh.CharsMin {
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

// encodedPEM masks the PEM in base64 at i, when it holds a private key.
func (s *scanner) encodedPEM(i int) int {
	head := s.text[i:min(i+64, len(s.text))]
	plain, _ := base64.StdEncoding.DecodeString(head[:len(head)&^3])
	if !strings.Contains(string(plain), "PRIVATE") {
		return i + len(known.PEMBase64)
	}
	return s.add(i, runEnd(s.text, i, isBase64))
}

func isTokenChar(c byte) bool  { return is(c, className) }
func isBase64(c byte) bool     { return is(c, classAlnum) || strings.IndexByte("+/=-_", c) >= 0 }
func isBearerChar(c byte) bool { return is(c, className) || strings.IndexByte("~+/=", c) >= 0 }
