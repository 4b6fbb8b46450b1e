package redact

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/limits"
)

// cutMark ends a summary that was cut.
const cutMark = "…"

// Summary renders a masked argv as one line of at most limits.SummaryCharsMax
// characters, without control characters. Elements are quoted as for a shell
// where that is needed to tell them apart: 'a b', and $'a\nb' where characters
// had to be escaped. A line that was cut ends with "…", and no escape is cut in two.
func Summary(masked []string) string {
	var l line
	for i, word := range masked {
		if l.full {
			break
		}
		if i > 0 {
			l.add(" ")
		}
		l.addWord(word)
	}
	return l.String()
}

// Escape makes s fit for one line of display: control characters, and
// characters that are invisible or change the direction of the text, are
// written as \n, \t, \r, \x1b or \u202e, bytes that aren't UTF-8 as \xff.
func Escape(s string) string {
	if isPrintable(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		unit, size := escapeRune(s[i:])
		b.WriteString(unit)
		i += size
	}
	return b.String()
}

// A line collects units that are shown whole or not at all.
type line struct {
	strings.Builder
	chars int
	// cut is the length in bytes up to which a cut leaves room for its mark.
	cut  int
	full bool
}

// add appends a unit, or cuts the line and marks it as full.
func (l *line) add(unit string) {
	if l.full {
		return
	}
	chars := utf8.RuneCountInString(unit)
	if l.chars+chars > limits.SummaryCharsMax {
		kept := l.String()[:l.cut]
		l.Reset()
		l.WriteString(kept)
		l.WriteString(cutMark)
		l.full = true
		return
	}
	l.WriteString(unit)
	l.chars += chars
	if l.chars < limits.SummaryCharsMax {
		l.cut = l.Len()
	}
}

// addWord appends one element, quoted where needed.
func (l *line) addWord(word string) {
	open, quote, shut := "", "", ""
	switch {
	case !isPrintable(word):
		open, quote, shut = "$'", `\'`, "'"
	case !isBare(word):
		open, quote, shut = "'", `'\''`, "'"
	}
	l.add(open)
	for i := 0; i < len(word) && !l.full; {
		unit, size := escapeRune(word[i:])
		switch {
		case unit == "'":
			unit = quote
		case unit == `\` && open == "$'":
			unit = `\\`
		}
		l.add(unit)
		i += size
	}
	l.add(shut)
}

// escapeRune returns how the first character of s is shown, and its size.
func escapeRune(s string) (unit string, size int) {
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && size == 1:
		return fmt.Sprintf(`\x%02x`, s[0]), 1
	case !needsEscape(r):
		return s[:size], size
	case r == '\n':
		return `\n`, size
	case r == '\t':
		return `\t`, size
	case r == '\r':
		return `\r`, size
	case r < utf8.RuneSelf:
		return fmt.Sprintf(`\x%02x`, r), size
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r), size
	}
	return fmt.Sprintf(`\u%04x`, r), size
}

// needsEscape tells whether r is a control character, ends lines, or is
// invisible: of the category Cf are the bidi controls, the zero-width
// characters, the byte order mark and the tags.
func needsEscape(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// isPrintable tells whether s needs no escapes.
func isPrintable(s string) bool {
	for i, r := range s {
		if needsEscape(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return false
			}
		}
	}
	return true
}

// isBare tells whether a word is its own shell quoting, or reads as if it were.
func isBare(word string) bool {
	if word == "" {
		return false
	}
	for i := range len(word) {
		if c := word[i]; !is(c, className) && c < 0x80 && strings.IndexByte("=:/@,+%^[]{}", c) < 0 {
			return false
		}
	}
	return true
}
