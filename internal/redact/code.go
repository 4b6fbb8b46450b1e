package redact

import (
	"strings"

	"sallyport/internal/redact/known"
)

// A literal is the string at hand, in code.
type literal struct {
	from, to int
	quote    byte
}

// codeQuote notes the string that begins at the quote at i, and looks for commands
// in it.
func (s *scanner) codeQuote(i int) {
	if i <= s.literal.to && i > 0 && s.literal.to > 0 || s.isApostrophe(i) || s.isCommented(i) {
		return
	}
	s.literal = literal{i + 1, s.closing(i+1, s.text[i], s.slashesBefore(i)), s.text[i]}
	inside := s.text[s.literal.from:s.literal.to]
	if s.depth >= depthMax || !hasBlank(inside) {
		return
	}
	for _, found := range findPrograms(inside, s.depth+1) {
		s.add(s.literal.from+found.from, s.literal.from+found.to)
	}
}

// isApostrophe reports whether the quote at i stands inside of a word, as in don't,
// and isn't a string's with a prefix, as in rb'x'.
func (s *scanner) isApostrophe(i int) bool {
	const prefixMax = 2
	if s.text[i] != '\'' || i == 0 || i+1 >= len(s.text) || !isLetter(s.text[i-1]) || !isLetter(s.text[i+1]) {
		return false
	}
	begin := i
	for begin > max(0, i-prefixMax-1) && isLetter(s.text[begin-1]) {
		begin--
	}
	return i-begin > prefixMax || runEnd(s.text, begin, isStringPrefix) < i
}

// isCommented reports whether a comment stands before i on its line.
func (s *scanner) isCommented(i int) bool {
	const lineMax = 256
	for k := i - 1; k >= max(s.literal.to, i-lineMax) && s.text[k] != '\n'; k-- {
		begins := k == 0 || is(s.text[k-1], classBlank)
		if begins && (s.text[k] == '#' || s.text[k] == '/' && s.text[k+1] == '/' || s.text[k] == '-' && s.text[k+1] == '-') {
			return true
		}
	}
	return false
}

// codeSpans returns what is a secret of the value at from, after the sign, in code:
// what is in a string, or one plain word. All else is code itself.
func (s *scanner) codeSpans(l label, kind known.Kind, sign, from int) (spans []span, next int) {
	if s.literal.from <= sign && sign < s.literal.to {
		if from >= s.literal.to {
			return nil, from
		}
		inside := s.literalValue(l, kind, from)
		return []span{inside}, inside.to
	}
	prefix := runEnd(s.text, from, isStringPrefix)
	if inside, end, ok := s.quotedAt(prefix); ok && prefix <= from+2 {
		s.literal = literal{inside.from, inside.to, s.text[inside.from-1]}
		isFormat := strings.ContainsAny(s.text[from:prefix], "fF")
		inside.from = s.schemeEnd(kind, inside)
		return s.withoutCode(inside, isFormat), max(inside.to, end-1)
	}
	end := runEnd(s.text, from, isCodeChar)
	if end < len(s.text) && (strings.IndexByte("([{\\`$'\"", s.text[end]) >= 0 || s.text[end] >= 0x80) || isOperator(s.text[from:end]) {
		return nil, end
	}
	return []span{{from, end}}, end
}

// isOperator reports whether a word of code stands before a value.
func isOperator(word string) bool {
	switch word {
	case "await", "new", "not", "lambda", "function", "yield", "async", "typeof", "system", "exec", "eval", "require",
		"do", "sub", "sh", "qx", "fn", "func", "def", "if", "case":
		return true
	}
	return false
}

func isCodeChar(c byte) bool { return is(c, className) || strings.IndexByte("+/=@!%^*~", c) >= 0 }

// literalValue returns the value at from inside of the string at hand.
func (s *scanner) literalValue(l label, kind known.Kind, from int) span {
	to := min(s.literal.to, s.lineEnd(from))
	if inside, _, ok := s.quotedAt(from); ok && inside.from <= to {
		return span{inside.from, min(inside.to, to)}
	}
	isLine := kind == known.Header || kind == known.Cookie
	if isLine && l.start == s.literal.from {
		return span{s.schemeEnd(kind, span{from, to}), to}
	}
	from = s.schemeEnd(kind, span{from, to})
	end := min(to, s.tightEnd(from))
	if end < to && s.text[end] == '(' {
		return span{end, end}
	}
	return span{from, end}
}

func (s *scanner) schemeEnd(kind known.Kind, value span) int {
	if kind != known.Header || value.from >= value.to {
		return value.from
	}
	return s.skipScheme(value)
}

// withoutCode returns the parts of a string that aren't code: f"{x}", "#{x}",
// "${x}", "@{[x]}".
func (s *scanner) withoutCode(inside span, isFormat bool) []span {
	var spans []span
	begin := inside.from
	for i := inside.from; i < inside.to; {
		isBrace := s.text[i] == '{' && (isFormat || i > inside.from && strings.IndexByte("#$@", s.text[i-1]) >= 0)
		isCall := s.text[i] == '`' || s.text[i] == '(' && i > inside.from && s.text[i-1] == '$'
		if !isBrace && !isCall {
			i++
			continue
		}
		end := s.codeEnd(i, inside.to)
		if !isFormat && begin < i && s.text[i] != '`' {
			spans = append(spans, span{begin, i - 1})
		} else {
			spans = append(spans, span{begin, i})
		}
		begin, i = end, end
	}
	return append(spans, span{begin, inside.to})
}

// codeEnd returns where the code that opens at i ends, at most to.
func (s *scanner) codeEnd(i, to int) int {
	open, shut := s.text[i], byte('`')
	switch open {
	case '{':
		shut = '}'
	case '(':
		shut = ')'
	}
	depth := 1
	for i++; i < to && depth > 0; i++ {
		switch s.text[i] {
		case shut:
			depth--
		case open:
			depth++
		}
	}
	return i
}

// tightEnd returns where a value ends at the latest, whatever reads the text.
func (s *scanner) tightEnd(from int) int { return runEnd(s.text, from, isTightChar) }

func isTightChar(c byte) bool {
	return !is(c, classBlank) && !isQuote(c) && strings.IndexByte("`;&|()<>$\\{},#", c) < 0
}

// bounded masks the value at from, after the sign, in code, or in a text of which it isn't known
// how it is read.
func (s *scanner) bounded(l label, kind known.Kind, sign, from int) int {
	from = s.skipBlanks(from)
	if s.mode == modeTight {
		if l.quoted || from < len(s.text) && isQuote(s.text[from]) {
			from = min(from+1, len(s.text))
		}
		from = s.schemeEnd(kind, span{from, s.lineEnd(from)})
		return s.maskSpan(kind, span{from, s.tightEnd(from)})
	}
	spans, next := s.codeSpans(l, kind, sign, from)
	for _, v := range spans {
		if v.from < v.to {
			s.maskSpan(kind, v)
		}
	}
	return next
}

func (s *scanner) maskSpan(kind known.Kind, value span) int {
	if value.from < value.to && kind.Holds(s.text[value.from:value.to]) {
		s.add(value.from, value.to)
	}
	return value.to
}
