package shell

import "strings"

// documents reads the here-documents that begin on the line at hand.
func (l *lexer) documents() {
	waiting := l.frame.documents
	l.frame.documents = nil
	for _, d := range waiting {
		l.document(d)
	}
}

func (l *lexer) document(d heredoc) {
	if l.pos >= len(l.source) {
		return
	}
	from := l.pos
	to := l.body(d)
	if !d.quoted && strings.HasSuffix(l.source[from:to], "\\\n") {
		// The line after it doesn't end the document.
		l.pos = from
		l.giveUp()
		return
	}
	after := l.pos
	w := Word{From: from, To: to}
	text := l.source[from:to]
	if !d.quoted && strings.ContainsAny(text, "$`\\") {
		text, w.quoting = l.expanded(&w)
	}
	if l.gaveUp {
		return
	}
	l.pos = min(after, len(l.source))
	l.script.Documents = append(l.script.Documents, Document{Command: d.command, Text: text, Word: w})
}

// body returns the end of the document at hand, and goes on after its last line.
func (l *lexer) body(d heredoc) int {
	for begin := l.pos; begin < len(l.source); {
		end := len(l.source)
		if i := strings.IndexByte(l.source[begin:], '\n'); i >= 0 {
			end = begin + i
		}
		line := l.source[begin:end]
		if d.tabs {
			line = strings.TrimLeft(line, "\t")
		}
		if line == d.end {
			l.pos = end
			return begin
		}
		begin = end + 1
	}
	l.pos = len(l.source)
	return len(l.source)
}

// expanded reads a document as a shell does whose end wasn't quoted.
func (l *lexer) expanded(w *Word) (string, *quoting) {
	whole := l.source
	l.source, l.pos = whole[:w.To], w.From
	if !l.inWord {
		l.inWord, l.outer = true, w.From
		defer func() { l.inWord = false }()
	}
	q := l.quotedText()
	for l.pos < len(l.source) {
		l.inDouble(&q)
	}
	if !q.owned {
		l.at, l.text = q.at, q.text
	}
	if !l.gaveUp {
		l.source = whole
	}
	kept := q.quoting
	return string(q.text), &kept
}
