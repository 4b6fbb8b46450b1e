package frame

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendEscaped appends p, which is UTF-8, as the inside of a JSON string (RFC
// 8259, section 7).
func appendEscaped(dst, p []byte) []byte {
	for {
		n := plain(p)
		dst = append(dst, p[:n]...)
		if n == len(p) {
			return dst
		}
		switch c := p[n]; c {
		case '\n':
			dst = append(dst, '\\', 'n')
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		p = p[n+1:]
	}
}

// plain is how many bytes at the beginning of p stand for themselves in a JSON
// string: all but control characters, the quote and the backslash.
func plain(p []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	n := 0
	for ; n+8 <= len(p); n += 8 {
		x := binary.LittleEndian.Uint64(p[n:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		special := ((x - ones*0x20) &^ x) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
		if special &= highs; special != 0 {
			// The lowest bit is exact: a borrow, which falsifies those above, begins at a hit.
			return n + bits.TrailingZeros64(special)/8
		}
	}
	for ; n < len(p); n++ {
		if c := p[n]; c < 0x20 || c == '"' || c == '\\' {
			return n
		}
	}
	return n
}

// appendUnescaped appends what the inside of a JSON string stands for, and
// false when p is not one, or holds a surrogate: encoding/json then decides.
func appendUnescaped(dst, p []byte) ([]byte, bool) {
	for {
		n := plain(p)
		dst = append(dst, p[:n]...)
		if n == len(p) {
			return dst, true
		}
		if p[n] != '\\' || n+1 == len(p) {
			return dst, false
		}
		c := p[n+1]
		p = p[n+2:]
		switch c {
		case 'n':
			dst = append(dst, '\n')
		case '"', '\\', '/':
			dst = append(dst, c)
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'u':
			r, ok := hex4(p)
			if !ok || (r >= 0xd800 && r < 0xe000) {
				return dst, false
			}
			dst = utf8.AppendRune(dst, r)
			p = p[4:]
		default:
			return dst, false
		}
	}
}

// hex4 reads the four hexadecimal digits at the beginning of p.
func hex4(p []byte) (rune, bool) {
	if len(p) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range p[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
