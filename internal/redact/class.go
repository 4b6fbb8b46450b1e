package redact

// class is a set of properties of a byte.
type class uint8

const (
	// classAlnum is an ASCII letter or digit.
	classAlnum class = 1 << iota
	// className may stand in the name of a flag, a variable or a header.
	className
	// classBlank separates words.
	classBlank
	// classPlain stands for itself in a shell's word and ends none.
	classPlain
	// classSign is where the scanner stops to look for a name's value.
	classSign
)

// classes tells the properties of each byte. Bytes of characters beyond ASCII
// end nothing, so that spans begin and end on a character's border.
var classes = makeClasses()

func makeClasses() (t [256]class) {
	for c := range 128 {
		if isDigit(byte(c)) || isLetter(byte(c)) {
			t[c] |= classAlnum | className | classPlain
		}
	}
	for _, c := range "_-." {
		t[c] |= className | classPlain
	}
	for _, c := range "=:/@,+%~*?[]{}!^" {
		t[c] |= classPlain
	}
	for c := 0x80; c < len(t); c++ {
		t[c] |= classPlain
	}
	for _, c := range " \t\r\n\v\f" {
		t[c] |= classBlank
	}
	for _, c := range "=:'\"->@" {
		t[c] |= classSign
	}
	return t
}

func is(c byte, k class) bool { return classes[c]&k != 0 }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isQuote(c byte) bool { return c == '"' || c == '\'' }

func hasBlank(text string) bool {
	for i := range len(text) {
		if is(text[i], classBlank) {
			return true
		}
	}
	return false
}

// isDigits tells whether s is a number: digits, and nothing else.
func isDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
