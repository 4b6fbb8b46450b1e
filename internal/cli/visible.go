package cli

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// visible returns s with everything escaped that a terminal would obey or hide:
// control characters, line ends, marks of writing direction, zero-width
// characters, and bytes that are no characters.
func visible(s string) string {
	if strings.IndexFunc(s, isHidden) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !isHidden(r):
			b.WriteRune(r)
		default:
			b.WriteString(escape(r))
		}
		i += n
	}
	return b.String()
}

// visibleJSON returns JSON that means the same, with everything escaped in its strings
// that a terminal would obey or hide. What isn't ASCII stands in strings alone.
func visibleJSON(text []byte) []byte {
	isSafe := func(r rune) bool { return r < 0x7f || !isHidden(r) }
	if bytes.IndexFunc(text, func(r rune) bool { return !isSafe(r) }) < 0 {
		return text
	}
	safe := make([]byte, 0, len(text)+len(text)/8)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case isSafe(r):
			safe = append(safe, text[:n]...)
		case r <= 0xffff:
			safe = fmt.Appendf(safe, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		}
		text = text[n:]
	}
	return safe
}

// isHidden: among what is printable are letters, marks, digits, punctuation,
// symbols and the blank, and none of the controls.
func isHidden(r rune) bool { return !unicode.IsPrint(r) }

func escape(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}
