package redact

import "strings"

// A shellScript is a text as a shell would split it. It needs no more of a
// shell than which words stand together in a command: nothing is expanded, and
// what stands in $(…) and the like counts as a command of its own.
type shellScript struct {
	// texts are the words as a program would see them, without quotes.
	texts []string
	// words tell where texts stand in the source.
	words    []shellWord
	commands []shellCommand
}

// A shellCommand is a range of words.
type shellCommand struct {
	from, to int
	// piped commands write to the next one.
	piped bool
	// fed is the word that the command reads: <<< word; 0 is none, as no
	// command begins with it.
	fed int
}

// A shellWord is the range of a word in the source.
type shellWord struct {
	from, to int
	// quoting is nil when the text is the source's range as it is.
	quoting *quoting
}

// quoting tells how a word's text stands in the source.
type quoting struct {
	source string
	// at is where each byte of the text stands.
	at []int32
	// quotes are where the source has quotes that the text hasn't.
	quotes []int32
}

// inSource returns the range of the source to mask for a span of the text. It
// leaves the source's quotes balanced.
func (w shellWord) inSource(s span) span {
	q := w.quoting
	if q == nil {
		return span{w.from + s.from, w.from + s.to}
	}
	tight := span{int(q.at[s.from]), int(q.at[s.to-1]) + 1}
	wide := span{w.from, w.to}
	if s.from > 0 {
		wide.from = int(q.at[s.from-1]) + 1
	}
	if s.to < len(q.at) {
		wide.to = int(q.at[s.to])
	}
	switch {
	case q.quotesIn(tight) == 0:
		if tight.from > wide.from && q.source[tight.from-1] == '\\' {
			tight.from--
		}
		return tight
	case q.quotesIn(span{w.from, wide.from})%2 == 0 && q.quotesIn(wide)%2 == 0:
		return wide
	}
	return span{w.from, w.to}
}

func (q *quoting) quotesIn(s span) int {
	n := 0
	for _, at := range q.quotes {
		if s.from <= int(at) && int(at) < s.to {
			n++
		}
	}
	return n
}

// A lexer splits a source into words and commands.
type lexer struct {
	source string
	pos    int
	script shellScript
	// at and text are buffers for words with quotes.
	at   []int32
	text []byte
	// begin is the first word of the command at hand.
	begin int
	// fed is the word that is redirected to the command at hand.
	fed int
	// drop leaves out the next word: it is a file that is redirected to.
	drop bool
}

// lex splits source as a shell would. Any text can be split: what isn't closed
// goes on to the end.
func lex(source string) shellScript {
	const wordBytes, wordsMin = 8, 8
	l := lexer{source: source}
	l.script.texts = make([]string, 0, wordsMin+len(source)/wordBytes)
	l.script.words = make([]shellWord, 0, wordsMin+len(source)/wordBytes)
	for l.pos < len(source) {
		l.next()
	}
	l.endCommand(false)
	return l.script
}

func (l *lexer) next() {
	switch c := l.source[l.pos]; c {
	case '\n', ';', '&', '(', ')', '`':
		l.pos++
		l.endCommand(false)
	case '|':
		l.pos++
		or := l.has("|")
		if l.has("&") || or {
			l.pos++
		}
		l.endCommand(!or)
	case '<', '>':
		l.redirect()
	case '#':
		if end := strings.IndexByte(l.source[l.pos:], '\n'); end >= 0 {
			l.pos += end
		} else {
			l.pos = len(l.source)
		}
	default:
		switch {
		case is(c, classBlank), l.has("$("):
			l.pos++
		case l.has("\\\n"):
			l.pos += len("\\\n")
		default:
			l.word()
		}
	}
}

func (l *lexer) has(begin string) bool { return strings.HasPrefix(l.source[l.pos:], begin) }

func (l *lexer) endCommand(piped bool) {
	l.drop = false
	if end := len(l.script.words); end > l.begin {
		l.script.commands = append(l.script.commands, shellCommand{l.begin, end, piped, l.fed})
		l.begin = end
	}
	l.fed = 0
}

// redirect skips a redirection and has its file left out. A string that is
// redirected (<<<) stays a word of its command.
func (l *lexer) redirect() {
	if n := len(l.script.words); n > l.begin && l.script.words[n-1].to == l.pos && isDigits(l.script.texts[n-1]) {
		l.script.words, l.script.texts = l.script.words[:n-1], l.script.texts[:n-1]
	}
	begin := l.pos
	l.pos = runEnd(l.source, l.pos, func(c byte) bool { return c == '<' || c == '>' })
	l.drop = l.pos-begin < 3
	if !l.drop {
		l.fed = len(l.script.words) - l.begin
	}
	if l.has("&") || l.has("|") {
		l.pos++
	}
}

// word reads one word, of which quotes and escapes are undone.
func (l *lexer) word() {
	w := shellWord{from: l.pos}
	for l.pos < len(l.source) && is(l.source[l.pos], classPlain) {
		l.pos++
	}
	text := l.source[w.from:l.pos]
	if l.pos < len(l.source) && !l.endsWord() {
		text, w.quoting = l.quotedWord(w.from)
	}
	w.to = l.pos
	if l.drop {
		l.drop = false
		return
	}
	l.script.texts = append(l.script.texts, text)
	l.script.words = append(l.script.words, w)
}

func (l *lexer) endsWord() bool {
	c := l.source[l.pos]
	return is(c, classBlank) || strings.IndexByte(";|&()<>`", c) >= 0 || l.has("$(")
}

// quotedWord reads on in a word, begun at from, that has quotes or escapes.
func (l *lexer) quotedWord(from int) (string, *quoting) {
	q := quotedText{quoting: quoting{source: l.source, at: l.at[len(l.at):]}, text: l.text[:0]}
	q.keep(from, l.pos)
	for l.pos < len(l.source) && !l.endsWord() {
		begin := l.pos
		switch l.source[begin] {
		case '\\':
			l.pos = min(begin+2, len(l.source))
			if l.source[l.pos-1] != '\n' {
				q.keep(begin+1, l.pos)
			}
		case '\'':
			l.pos = runEnd(l.source, begin+1, func(c byte) bool { return c != '\'' })
			q.keep(begin+1, l.pos)
			l.closeQuote(&q, begin)
		case '"':
			l.doubleQuoted(&q)
			l.closeQuote(&q, begin)
		default:
			l.pos++
			q.keep(begin, l.pos)
		}
	}
	// What is left of the buffers serves the next words.
	l.at, l.text = q.at, q.text
	kept := q.quoting
	return string(q.text), &kept
}

// quotedText collects the text of a word with its quoting.
type quotedText struct {
	quoting
	text []byte
}

// keep appends a range of the source to the text.
func (q *quotedText) keep(from, to int) {
	q.text = append(q.text, q.source[from:to]...)
	for ; from < to; from++ {
		q.at = append(q.at, int32(from))
	}
}

// doubleQuoted reads the inside of the double quotes that open at the lexer's position.
func (l *lexer) doubleQuoted(q *quotedText) {
	for l.pos++; l.pos < len(l.source) && l.source[l.pos] != '"'; l.pos++ {
		if l.source[l.pos] == '\\' && l.pos+1 < len(l.source) && strings.IndexByte("\"\\$`\n", l.source[l.pos+1]) >= 0 {
			l.pos++
		}
		q.keep(l.pos, l.pos+1)
	}
}

// closeQuote notes the quotes that opened at begin, and goes on after them.
func (l *lexer) closeQuote(q *quotedText, begin int) {
	q.quotes = append(q.quotes, int32(begin))
	if l.pos < len(l.source) {
		q.quotes = append(q.quotes, int32(l.pos))
		l.pos++
	}
}
