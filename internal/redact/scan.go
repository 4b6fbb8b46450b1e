package redact

import "strings"

// mode tells how a text is to be read, which decides where a value ends.
type mode uint8

const (
	// modeData is one argument: NAME=VALUE reaches to its end.
	modeData mode = iota
	// modeText is free text: a value ends at a blank.
	modeText
	// modeScript is a shell's script: a value ends where a shell's word does.
	modeScript
)

// driverBytesMax bounds the user and password in a data source's name.
const driverBytesMax = 256

// A scanner goes over a text once and collects its secrets.
type scanner struct {
	text  string
	mode  mode
	spans []span
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
		case beginsShape[c]:
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
		if strings.HasPrefix(s.text[i:], "----") {
			return s.pem(i)
		}
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
	kind := kindOf(s.text[name:end], formFlag)
	if kind == ordinary || isFlag(s.text[from:min(len(s.text), from+nameBytesMax)]) {
		return end
	}
	value := s.valueAt(from, ' ')
	if !kind.holdsAfterFlag(s.text[value.from:value.to]) {
		return end
	}
	return s.add(value.from, value.to)
}

// element masks the text of the XML element whose tag ends at i.
func (s *scanner) element(i int) int {
	from := max(0, i-nameBytesMax)
	open := strings.LastIndexByte(s.text[from:i], '<')
	if open < 0 {
		return i + 1
	}
	tag, _, _ := strings.Cut(s.text[from+open+1:i], " ")
	kind := kindOf(tag[strings.IndexByte(tag, ':')+1:], formHeader)
	end := i + 1
	for end < len(s.text) && s.text[end] != '<' && s.text[end] != '>' {
		end++
	}
	if kind == ordinary || kind == signatureName || !strings.HasPrefix(s.text[end:], "</") {
		return i + 1
	}
	return s.mask(kind, span{i + 1, end}, i+1)
}

// driver masks the password before the @ at i in a data source's name without
// a scheme: user:X@tcp(host), jdbc:oracle:thin:user/X@host.
func (s *scanner) driver(i int) int {
	const oracle = "jdbc:oracle:"
	rest := s.text[i+1:]
	isOracle := strings.Contains(s.text[max(0, i-nameBytesMax):i], oracle)
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
	for i > 0 && is(s.text[i-1], className) && end-i < nameBytesMax {
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
