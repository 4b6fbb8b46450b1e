package redact

import (
	"strings"

	"sallyport/internal/redact/known"
)

// mode tells how a text is to be read, which decides where a value ends.
type mode uint8

const (
	// modeData is one argument: NAME=VALUE reaches to its end.
	modeData mode = iota
	// modeText is free text: a value ends at a blank.
	modeText
	// modeCode is code for an interpreter: a value is a string, or one word.
	modeCode
	// modeTight is a text of which it isn't known how it is read: a value ends at
	// whatever may end it.
	modeTight
)

// driverBytesMax bounds the user and password in a data source's name.
const driverBytesMax = 256

// A scanner goes over a text once and collects its secrets.
type scanner struct {
	text  string
	mode  mode
	spans []span
	// depth is how many scripts are around the text.
	depth int
	// literal is the string at hand, in code.
	literal literal
	// seen tells whether a ' and a " stood before: another then closes it.
	seenSingle, seenDouble bool
	// plainEnd is how far the text may be the beginning of --flag=NAME=VALUE;
	// -1 until it is asked for.
	plainEnd int
	// wordEnd and lastAt are the end of a URL's word, and its last @.
	wordEnd, lastAt int
	// dullEnd and jwtFrom are how far what looked like tokens has been read.
	dullEnd, jwtFrom int
}

func (s *scanner) run() {
	s.plainEnd = -1
	for i := 0; i < len(s.text); {
		switch c := s.text[i]; {
		case is(c, classSign):
			i = max(i+1, s.sign(i))
		case known.MayBeginWith(c):
			i = max(i+1, s.shape(i))
		default:
			i++
		}
	}
}

// add masks a range and returns its end.
func (s *scanner) add(from, to int) int {
	s.spans = append(s.spans, span{from, to})
	return to
}

// sign handles a character that may stand between a name and its value.
func (s *scanner) sign(i int) int {
	switch s.text[i] {
	case '=':
		return s.assignment(i)
	case ':':
		if strings.HasPrefix(s.text[i:], "://") {
			return s.url(i)
		}
		return s.header(i)
	case '-':
		return s.flag(i)
	case '>':
		return s.element(i)
	case '@':
		return s.driver(i)
	}
	return s.quote(i)
}

// flag masks the word after --name, in text that isn't split into words.
func (s *scanner) flag(i int) int {
	if i > 0 && !is(s.text[i-1], classBlank) && !isQuote(s.text[i-1]) {
		return i + 1
	}
	name := runEnd(s.text, i, isDash)
	end := runEnd(s.text, name, isTokenChar)
	from := s.skipBlanks(end)
	if name == end || from == end || name-i > 2 {
		return end
	}
	kind := known.KindOf(s.text[name:end], known.Flagged)
	if kind == known.Ordinary || isFlag(s.text[from:min(len(s.text), from+known.NameBytesMax)]) {
		return end
	}
	if s.mode >= modeCode {
		return max(end, s.bounded(label{start: i}, kind, i, from))
	}
	value := s.valueAt(from, ' ')
	if !kind.HoldsAfterFlag(s.text[value.from:value.to]) {
		return end
	}
	return s.add(value.from, value.to)
}

// element masks the text of the XML element whose tag ends at i.
func (s *scanner) element(i int) int {
	if s.mode == modeTight {
		return i + 1
	}
	from := max(0, i-known.NameBytesMax)
	open := strings.LastIndexByte(s.text[from:i], '<')
	if open < 0 {
		return i + 1
	}
	tag, _, _ := strings.Cut(s.text[from+open+1:i], " ")
	kind := known.KindOf(tag[strings.IndexByte(tag, ':')+1:], known.Labelled)
	end := i + 1
	for end < len(s.text) && s.text[end] != '<' && s.text[end] != '>' {
		end++
	}
	if s.mode == modeCode && !(i < s.literal.to && end <= s.literal.to) {
		return i + 1
	}
	if kind == known.Ordinary || kind == known.Signature || !strings.HasPrefix(s.text[end:], "</") {
		return i + 1
	}
	return s.mask(kind, span{i + 1, end}, i+1)
}

// driver masks the password before the @ at i in a data source's name without
// a scheme: user:X@tcp(host), jdbc:oracle:thin:user/X@host.
func (s *scanner) driver(i int) int {
	const oracle = "jdbc:oracle:"
	rest := s.text[i+1:]
	isOracle := strings.Contains(s.text[max(0, i-known.NameBytesMax):i], oracle)
	if !isOracle && !strings.HasPrefix(rest, "tcp(") && !strings.HasPrefix(rest, "unix(") {
		return i + 1
	}
	from := i
	for from > 0 && i-from < driverBytesMax && !s.endsWord(s.text[from-1]) {
		from--
	}
	separator := strings.IndexByte(s.text[from:i], ':')
	if strings.Contains(s.text[from:i], oracle) {
		separator = strings.IndexByte(s.text[from:i], '/')
	}
	if separator >= 0 && from+separator+1 < i {
		s.add(from+separator+1, i)
	}
	return i + 1
}

// nameStart returns where the name begins that ends at end.
func (s *scanner) nameStart(end int) int {
	i := end
	for i > 0 && is(s.text[i-1], className) && end-i < known.NameBytesMax {
		i--
	}
	return i
}

func (s *scanner) skipBlanks(i int) int {
	for i < len(s.text) && (s.text[i] == ' ' || s.text[i] == '\t') {
		i++
	}
	return i
}
