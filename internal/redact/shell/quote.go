package shell

import (
	"slices"
	"strings"
)

// quotedText collects the text of a word with its quoting.
type quotedText struct {
	quoting
	text []byte
	// owned tells that at and text aren't the lexer's buffers.
	owned bool
}

// keep appends a range of the source to the text.
func (q *quotedText) keep(from, to int) {
	q.text = append(q.text, q.source[from:to]...)
	for ; from < to; from++ {
		q.at = append(q.at, int32(from))
	}
}

// own takes what there is out of the lexer's buffers, which others will use.
func (q *quotedText) own() {
	if !q.owned {
		q.at, q.text, q.owned = slices.Clone(q.at), slices.Clone(q.text), true
	}
}

// quotedText returns one in what is left of the lexer's buffers.
func (l *lexer) quotedText() quotedText {
	const atMin, atMax, quotesMin = 32, 512, 4
	if cap(l.at)-len(l.at) < atMin {
		l.at = make([]int32, 0, max(atMin, min(atMax, len(l.source)-l.pos+atMin)))
	}
	return quotedText{quoting: quoting{source: l.source, at: l.at[len(l.at):], quotes: make([]int32, 0, quotesMin)}, text: l.text[:0]}
}

// quotedWord reads on in a word, begun at from, that has quotes, escapes or
// substitutions.
func (l *lexer) quotedWord(from int) (string, *quoting) {
	q := l.quotedText()
	q.keep(from, l.pos)
	for l.pos < len(l.source) && !l.endsWord() {
		l.part(&q)
	}
	if !q.owned {
		// What is left of the buffers serves the next words.
		l.at, l.text = q.at, q.text
	}
	kept := q.quoting
	return string(q.text), &kept
}

// part reads one byte outside of quotes, or what it begins.
func (l *lexer) part(q *quotedText) {
	begin := l.pos
	switch l.source[begin] {
	case '\\':
		l.escape(q)
	case '\'':
		l.singleQuoted(q)
	case '"':
		l.doubleQuoted(q)
	case '`':
		l.substitution(q, 1, '`')
	case '<', '>':
		l.substitution(q, 2, ')')
	case '$':
		l.dollar(q, false)
	default:
		l.pos++
		q.keep(begin, l.pos)
	}
}

func (l *lexer) escape(q *quotedText) {
	begin := l.pos
	if l.isAmbiguous() {
		l.giveUp()
		return
	}
	l.pos = min(begin+2, len(l.source))
	if l.source[l.pos-1] != '\n' {
		q.keep(begin+1, l.pos)
	}
}

// isAmbiguous reports whether the backslash at hand is taken away before the
// substitution around it is read, which then reads otherwise.
func (l *lexer) isAmbiguous() bool {
	return l.frame.until == '`' && l.pos+1 < len(l.source) && strings.IndexByte("`\\$", l.source[l.pos+1]) >= 0
}

func (l *lexer) singleQuoted(q *quotedText) {
	begin := l.pos
	end := strings.IndexByte(l.source[begin+1:], '\'')
	if end < 0 {
		end = len(l.source) - begin - 1
	}
	l.pos = begin + 1 + end
	q.keep(begin+1, l.pos)
	l.closeQuote(q, begin)
}

// doubleQuoted reads the double quotes that open at hand.
func (l *lexer) doubleQuoted(q *quotedText) {
	begin := l.pos
	for l.pos++; l.pos < len(l.source) && l.source[l.pos] != '"'; {
		l.inDouble(q)
	}
	l.closeQuote(q, begin)
}

// inDouble reads one byte inside of double quotes, or what it begins.
func (l *lexer) inDouble(q *quotedText) {
	switch l.source[l.pos] {
	case '\\':
		if l.isAmbiguous() {
			l.giveUp()
			return
		}
		if l.pos+1 < len(l.source) && strings.IndexByte("\"\\$`\n", l.source[l.pos+1]) >= 0 {
			l.pos++
		}
	case '`':
		if l.frame.until == '`' {
			l.giveUp()
			return
		}
		l.substitution(q, 1, '`')
		return
	case '$':
		l.dollar(q, true)
		return
	}
	q.keep(l.pos, l.pos+1)
	l.pos++
}

// closeQuote notes the quotes that opened at begin, and goes on after them.
func (l *lexer) closeQuote(q *quotedText, begin int) {
	q.quotes = append(q.quotes, int32(begin))
	if l.pos < len(l.source) {
		q.quotes = append(q.quotes, int32(l.pos))
		l.pos++
	}
}

// dollar reads what a $ begins.
func (l *lexer) dollar(q *quotedText, inDouble bool) {
	begin := l.pos
	switch {
	case l.has("$("):
		l.substitution(q, 2, ')')
	case l.has("${"):
		l.parameter(q, inDouble)
	case l.has("$'") && !inDouble:
		// Some shells know this form, in which \' ends nothing.
		end := strings.IndexByte(l.source[begin+2:], '\'')
		if end > 0 && l.source[begin+2+end-1] == '\\' {
			l.giveUp()
			return
		}
		fallthrough
	default:
		l.pos++
		q.keep(begin, l.pos)
	}
}

// parameter reads ${name} and its like.
func (l *lexer) parameter(q *quotedText, inDouble bool) {
	q.keep(l.pos, l.pos+2)
	l.pos += 2
	for depth := 1; l.pos < len(l.source) && depth > 0; {
		c := l.source[l.pos]
		switch {
		case c == '}':
			depth--
			q.keep(l.pos, l.pos+1)
			l.pos++
		case c == '$' && l.has("${"):
			depth++
			q.keep(l.pos, l.pos+2)
			l.pos += 2
		case inDouble && (c == '"' || c == '\''):
			// Shells differ in what a quote is here.
			l.giveUp()
		case inDouble:
			l.inDouble(q)
		case c == '`' && l.frame.until == '`':
			l.giveUp()
		case c == '<' || c == '>':
			l.pos++
			q.keep(l.pos-1, l.pos)
		default:
			l.part(q)
		}
	}
}

// substitution reads the commands of the substitution at hand, which opens with
// so many bytes, and leaves a hole in the word.
func (l *lexer) substitution(q *quotedText, bytes int, until byte) {
	if l.depth == depthMax {
		l.giveUp()
		return
	}
	q.own()
	begin, around := l.pos, l.frame
	l.frame = frame{until: until, begin: len(l.words)}
	l.depth++
	l.pos += bytes
	if bytes == 2 && l.has("(") {
		l.frame.arithmetic = 1
	}
	l.commands()
	if len(l.frame.documents) > 0 {
		// Shells differ in where these documents begin.
		l.giveUp()
	}
	l.depth--
	l.frame = around
	q.text = append(q.text, 0)
	q.at = append(q.at, int32(begin))
	q.holes = append(q.holes, Range{begin, max(l.pos, begin+1)})
}
