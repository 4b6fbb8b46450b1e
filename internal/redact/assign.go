package redact

import (
	"strings"

	"sallyport/internal/redact/known"
)

// A label is a name that stands before a = or a colon.
type label struct {
	name string
	// start is where the name begins, or its quote.
	start int
	// quoted names stand in quotes, as in JSON.
	quoted bool
	// spaced names have blanks after them.
	spaced bool
}

// labelBefore reads the name that ends before end.
func (s *scanner) labelBefore(end int) label {
	var l label
	i := end
	for i > 0 && (s.text[i-1] == ' ' || s.text[i-1] == '\t') {
		i--
	}
	l.spaced = i < end
	if i > 0 && (s.text[i-1] == ']' || s.text[i-1] == '}') {
		i--
	}
	quote := byte(0)
	if i > 0 && isQuote(s.text[i-1]) {
		quote = s.text[i-1]
		for i--; i > 0 && s.text[i-1] == '\\'; {
			i--
		}
	}
	l.start = s.nameStart(i)
	l.name = s.text[l.start:i]
	begin := l.start
	if begin > 0 && s.text[begin-1] == '$' {
		begin--
	}
	if quote != 0 && begin > 0 && s.text[begin-1] == quote {
		l.quoted = true
		l.start = begin - 1
	} else if quote != 0 {
		l.name = ""
	}
	return l
}

// opener returns the character before a label; 0 is the beginning of the text.
func (s *scanner) opener(l label) byte {
	if l.start == 0 {
		return 0
	}
	return s.text[l.start-1]
}

// assignment masks the value of the assignment whose = is at i.
func (s *scanner) assignment(i int) int {
	end := i
	if end > 0 && strings.IndexByte(":+!~?", s.text[end-1]) >= 0 {
		end--
	}
	l := s.labelBefore(end)
	form := known.Assigned
	if l.spaced || l.quoted {
		form = known.Spaced
	}
	kind := known.KindOf(trimDefine(l.name), form)
	opener := s.opener(l)
	if kind == known.Ordinary || kind == known.Signature && opener != '?' && opener != '&' {
		return i + 1
	}
	if s.mode >= modeCode {
		from := runEnd(s.text, i+1, func(c byte) bool { return c == '=' || c == '>' || c == '~' })
		return max(from, s.bounded(l, kind, i, from))
	}
	return s.mask(kind, s.assignedValue(l, i+1), i+1)
}

// assignedValue returns what is assigned to a label, after the = before from.
func (s *scanner) assignedValue(l label, from int) span {
	if l.spaced || l.quoted {
		for from < len(s.text) && strings.IndexByte("=>~", s.text[from]) >= 0 {
			from++
		}
		from = s.skipBlanks(from)
	}
	switch {
	case s.isWhole(l):
		return s.unquoted(span{from, len(s.text)})
	case l.quoted:
		return s.jsonAt(from)
	case l.spaced && s.beginsLine(l.start):
		return s.lineAt(from)
	case strings.ToUpper(l.name) != l.name:
		// A shell's variable may be empty (PASSWORD= run); others have blanks
		// before their values.
		from = s.skipBlanks(from)
	}
	return s.valueAt(from, s.opener(l))
}

// mask masks value when it is a secret of that kind, and returns where to go on.
func (s *scanner) mask(kind known.Kind, value span, otherwise int) int {
	if kind == known.Header {
		value.from = s.skipScheme(value)
	}
	if !kind.Holds(s.text[value.from:value.to]) {
		return otherwise
	}
	return s.add(value.from, value.to)
}

// trimDefine cuts the D or P of java's -Dname=value and its like.
func trimDefine(name string) string {
	if strings.HasPrefix(name, "-D") || strings.HasPrefix(name, "-P") {
		return name[2:]
	}
	return name
}

// isWhole tells whether a label begins an argument that is its name and value
// and nothing else.
func (s *scanner) isWhole(l label) bool {
	if s.mode != modeData || l.quoted {
		return false
	}
	if s.plainEnd < 0 {
		s.plainEnd = runEnd(s.text, 0, func(c byte) bool {
			return is(c, className) || strings.IndexByte("=[]:/@", c) >= 0
		})
	}
	return l.start <= s.plainEnd
}

// header masks the value of the header, or of the member of an object, whose
// colon is at i.
func (s *scanner) header(i int) int {
	l := s.labelBefore(i)
	kind := known.KindOf(l.name, known.Labelled)
	from := s.skipBlanks(i + 1)
	afterPath := s.opener(l) == '/' && from > i+1
	if kind == known.Ordinary || kind == known.Signature || from == len(s.text) || !s.mayOpen(l) && !afterPath {
		return i + 1
	}
	switch isAlone := from > i+1 || l.quoted || s.isHeaderAlone(l, kind, from); {
	case !isAlone:
		return i + 1
	case s.mode >= modeCode:
		return max(i+1, s.bounded(l, kind, i, from))
	case l.quoted:
		return s.mask(kind, s.jsonAt(from), i+1)
	}
	return s.mask(kind, s.lineValue(l, kind, from), i+1)
}

// mayOpen tells whether a header may begin after what is before the label.
func (s *scanner) mayOpen(l label) bool {
	c := s.opener(l)
	return c == 0 || is(c, classBlank) || isQuote(c) || strings.IndexByte("{[(,;=|>&?\\", c) >= 0 ||
		c == '/' && l.start == 1 // A flag as on Windows: /password:X.
}

// isHeaderAlone tells whether name:value, without a blank, is a header's: most
// are not (image:tag, host:port, user:group).
func (s *scanner) isHeaderAlone(l label, kind known.Kind, from int) bool {
	switch c := s.text[from]; {
	case c == ':' || c == '=' || c == '/':
		return false
	case isQuote(c) || kind == known.Header || kind == known.Cookie:
		return true
	}
	if strings.Contains(l.name, "-") {
		return isUpper(l.name[0]) || l.name[0] == '-' || l.name[0]|0x20 == 'x'
	}
	return isPassword(l.name)
}

// isPassword tells whether a name can be nothing but a password's.
func isPassword(name string) bool {
	switch strings.ToLower(name) {
	case "password", "passwd", "passphrase":
		return true
	}
	return false
}

// lineValue returns the value of a header: to the end of its line, or of the
// quotes around it, or one word when the header begins in the middle of a text.
func (s *scanner) lineValue(l label, kind known.Kind, from int) span {
	opener := s.opener(l)
	if isQuote(opener) {
		return span{from, s.closing(from, opener, s.slashesBefore(l.start-1))}
	}
	_, _, ok := s.quotedAt(from)
	isLine := kind == known.Header || kind == known.Cookie
	switch {
	case s.isWhole(l), isLine && !ok && s.isSpread(from):
		return s.unquoted(span{from, s.lineEnd(from)})
	case !isLine && s.beginsLine(l.start):
		return s.lineAt(from)
	}
	return s.valueAt(from, opener)
}

// unquoted returns the inside of value when all of it is one quoted string.
func (s *scanner) unquoted(value span) span {
	if inside, end, ok := s.quotedAt(value.from); ok && end == value.to {
		return inside
	}
	return value
}

// lineAt returns the value at from that has the rest of the line to itself.
func (s *scanner) lineAt(from int) span {
	if inside, end, ok := s.quotedAt(from); ok && (end == len(s.text) || !s.goesOn(s.text[end])) {
		return inside
	}
	return span{from, s.lineEnd(from)}
}

func (s *scanner) lineEnd(from int) int {
	if next := strings.IndexByte(s.text[from:], '\n'); next >= 0 {
		return from + next
	}
	return len(s.text)
}

// isSpread tells whether the value at from has several words: it stands after a
// blank, or begins with a scheme.
func (s *scanner) isSpread(from int) bool {
	return is(s.text[from-1], classBlank) || s.skipScheme(span{from, len(s.text)}) > from
}

// beginsLine tells whether only indentation is between i and its line's start.
func (s *scanner) beginsLine(i int) bool {
	for i > 0 && (s.text[i-1] == ' ' || s.text[i-1] == '-') {
		i--
	}
	return i == 0 || s.text[i-1] == '\n'
}

// skipScheme returns where the credentials of an Authorization header begin.
func (s *scanner) skipScheme(value span) int {
	const schemeBytesMax = 24
	scheme, _, ok := strings.Cut(s.text[value.from:min(value.to, value.from+schemeBytesMax)], " ")
	if !ok || !known.IsScheme(strings.ToLower(scheme)) {
		return value.from
	}
	return min(s.skipBlanks(value.from+len(scheme)), value.to)
}
