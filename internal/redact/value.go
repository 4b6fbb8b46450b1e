package redact

import (
	"strings"

	"sallyport/internal/redact/known"
)

// valueAt returns the value that begins at from: a quoted string's inside, or
// what goes on to the end of the word. The opener, which is what stands before
// the name, tells of lists (?a=b&c=d) where a value ends earlier.
func (s *scanner) valueAt(from int, opener byte) span {
	quoted, end, ok := s.quotedAt(from)
	if !ok {
		return span{from, s.wordEndAt(from, opener)}
	}
	if end < len(s.text) && s.goesOn(s.text[end]) {
		return span{from, s.wordEndAt(end, opener)}
	}
	return quoted
}

// goesOn tells whether a word goes on with c after a closing quote.
func (s *scanner) goesOn(c byte) bool {
	if isQuote(c) {
		return !s.seen(c)
	}
	return !is(c, classBlank) && strings.IndexByte(",;)]}&|<>:`", c) < 0
}

// seen tells whether a quote like q stood before, so that q closes it.
func (s *scanner) seen(q byte) bool {
	if q == '"' {
		return s.seenDouble
	}
	return s.seenSingle
}

// wordEndAt returns where the word ends that goes on at i.
func (s *scanner) wordEndAt(i int, opener byte) int {
	for i < len(s.text) {
		c := s.text[i]
		switch {
		case is(c, classBlank), s.endsValue(c, opener):
			return i
		case isQuote(c):
			if s.seen(c) || c == opener {
				return i
			}
			_, i, _ = s.quotedAt(i)
		case c == '\\':
			end := runEnd(s.text, i, isBackslash)
			if end < len(s.text) && isQuote(s.text[end]) && s.seen(s.text[end]) {
				return i
			}
			i += 2
		case c == '`':
			i = s.after(i+1, '`')
		case c == '$' && strings.HasPrefix(s.text[i:], "$("):
			i = s.balanced(i+1, '(', ')')
		case c == '$' && strings.HasPrefix(s.text[i:], "${"):
			i = s.balanced(i+1, '{', '}')
		default:
			i++
		}
	}
	return len(s.text)
}

func isBackslash(c byte) bool { return c == '\\' }

// endsValue tells whether c ends a value in a list.
func (s *scanner) endsValue(c, opener byte) bool {
	switch opener {
	case '&', '?':
		return c == '&'
	case ';', ',':
		return c == opener
	}
	return false
}

// jsonAt returns the value at from of a member whose name is quoted.
func (s *scanner) jsonAt(from int) span {
	if quoted, _, ok := s.quotedAt(from); ok {
		return quoted
	}
	rest := s.text[from:]
	switch {
	case strings.HasPrefix(rest, "{"):
		return span{from, s.balanced(from, '{', '}')}
	case strings.HasPrefix(rest, "["):
		return span{from, s.balanced(from, '[', ']')}
	}
	literal := strings.IndexAny(rest[:min(len(rest), known.NameBytesMax)], ",}] \t\r\n")
	if literal >= 0 && (known.IsSwitch(rest[:literal]) || isDigits(rest[:literal])) {
		return span{from, from + literal}
	}
	return s.valueAt(from, '"')
}

// quotedAt returns the inside of the quoted string at i, which may be quoted
// itself (\"x\"), and where it ends. Without a closing quote that is the end of
// the text. A string with a prefix, as in Python's b"x", counts as a whole.
func (s *scanner) quotedAt(i int) (inside span, end int, ok bool) {
	if open := runEnd(s.text, i, isStringPrefix); i < open && open <= i+2 && open < len(s.text) && isQuote(s.text[open]) {
		_, end, ok = s.quotedAt(open)
		return span{i, end}, end, ok
	}
	open := runEnd(s.text, i, isBackslash)
	if open == len(s.text) || !isQuote(s.text[open]) {
		return span{}, i, false
	}
	slashes := open - i
	closing := s.closing(open+1, s.text[open], slashes)
	return span{open + 1, closing}, min(closing+slashes+1, len(s.text)), true
}

func isStringPrefix(c byte) bool { return strings.IndexByte("bfruBFRU$", c) >= 0 }

// closing returns where the string ends, before its closing quote and that
// one's backslashes, which was opened by a quote after as many backslashes.
func (s *scanner) closing(from int, quote byte, slashes int) int {
	for i := from; ; i++ {
		next := strings.IndexByte(s.text[i:], quote)
		if next < 0 {
			return len(s.text)
		}
		i += next
		before := 0
		for i-before > from && s.text[i-before-1] == '\\' {
			before++
		}
		if before < slashes || before%(2*(slashes+1)) == slashes {
			return i - min(before, slashes)
		}
	}
}

// slashesBefore counts the backslashes before i.
func (s *scanner) slashesBefore(i int) int {
	n := 0
	for i-n > 0 && s.text[i-n-1] == '\\' {
		n++
	}
	return n
}

// balanced returns the end of the brackets that open at i.
func (s *scanner) balanced(i int, open, shut byte) int {
	depth := 0
	for ; i < len(s.text); i++ {
		switch s.text[i] {
		case open:
			depth++
		case shut:
			depth--
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(s.text)
}

// after returns the position after the next c at or after i.
func (s *scanner) after(i int, c byte) int {
	next := strings.IndexByte(s.text[min(i, len(s.text)):], c)
	if next < 0 {
		return len(s.text)
	}
	return i + next + 1
}

// quote notes the quote at i, and masks the string it begins when that stands
// after a word such as PASSWORD or IDENTIFIED BY, as in SQL and PowerShell.
func (s *scanner) quote(i int) int {
	if s.text[i] == '"' {
		s.seenDouble = true
	} else {
		s.seenSingle = true
	}
	if s.mode == modeCode {
		s.codeQuote(i)
	}
	end := i
	for end > 0 && (s.text[end-1] == ' ' || s.text[end-1] == '(') {
		end--
	}
	if end == 0 || end == i && s.text[i-1] != '=' || s.mode == modeTight {
		return i + 1
	}
	word := s.text[s.nameStart(end):end]
	if !s.announces(word, end) {
		return i + 1
	}
	value, _, _ := s.quotedAt(i)
	if s.mode != modeCode {
		return s.mask(known.Secret, value, i+1)
	}
	for _, v := range s.withoutCode(value, false) {
		s.maskSpan(known.Secret, v)
	}
	return max(i+1, value.to)
}

// announces reports whether the word that ends at end says that the string after
// it is a secret.
func (s *scanner) announces(word string, end int) bool {
	before := func(part string) bool {
		return strings.Contains(strings.ToLower(s.text[max(0, end-known.NameBytesMax):end]), part)
	}
	switch strings.ToLower(word) {
	case "password", "convertto-securestring", "requirepass":
		return true
	case "secret":
		return before("create secret") || before("key_id")
	case "by":
		return before("identified")
	case "send", "send --", "--":
		// expect "assword:"; send "X"
		return before("assword") || before("assphrase")
	case "":
		// SET PASSWORD FOR bob = 'X'
		return s.text[end-1] == '=' && before("set password")
	case "to":
		return before("set password")
	}
	return false
}
