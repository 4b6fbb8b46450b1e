package shell

import "strings"

// depthMax bounds substitutions within substitutions.
const depthMax = 32

// A lexer splits a source into words and commands.
type lexer struct {
	source string
	pos    int
	script Script
	// words and texts are of commands that haven't ended yet, those of the
	// innermost last.
	words []Word
	texts []string
	// at and text are buffers for words with quotes.
	at   []int32
	text []byte
	// frame is the text or the substitution at hand, and depth how many are around it.
	frame frame
	depth int
	// outer is where the outermost word begins that hasn't ended.
	outer  int
	inWord bool
	gaveUp bool
}

// A frame is what the lexer knows of the text, or of the substitution, at hand.
type frame struct {
	// until ends the substitution; 0 is the text itself.
	until byte
	// begin is the first word of the command at hand, in lexer.words.
	begin int
	// fed is the word that is redirected to the command at hand.
	fed int
	// drop leaves out the next word: it is a file that is redirected to, or a
	// document's end.
	drop bool
	// open are the parens and the cases that are open: ( and c.
	open []byte
	// arithmetic is how much was open at the first paren of ((, with it; 0 is none.
	arithmetic int
	// documents begin at the end of the line.
	documents []heredoc
}

// A heredoc is a here-document that hasn't been read yet.
type heredoc struct {
	end     string
	quoted  bool
	tabs    bool
	named   bool
	command int
}

// Parse splits source. Any text can be split: what isn't closed goes on to the end.
func Parse(source string) Script {
	const wordBytes, wordsMin, commandsMin, textMin = 8, 8, 4, 128
	l := lexer{source: source}
	l.script.Unread = len(source)
	n := wordsMin + len(source)/wordBytes
	l.script.texts, l.script.words = make([]string, 0, n), make([]Word, 0, n)
	l.script.Commands = make([]Command, 0, commandsMin)
	var words [wordsMin * 2]Word
	var texts [wordsMin * 2]string
	l.words, l.texts = words[:0], texts[:0]
	var text [textMin]byte
	l.text = text[:0]
	l.commands()
	return l.script
}

// giveUp ends the reading. What the outermost word around holds isn't known.
func (l *lexer) giveUp() {
	if !l.gaveUp {
		l.gaveUp = true
		l.script.Unread = min(l.pos, len(l.source))
		if l.inWord {
			l.script.Unread = l.outer
		}
	}
	l.source = l.source[:min(l.script.Unread, len(l.source))]
	l.pos = len(l.source)
}

// commands reads to the end of the frame at hand.
func (l *lexer) commands() {
	for l.pos < len(l.source) && !l.next() {
	}
	l.endCommand(false)
}

// next reads a word or an operator, and reports whether the frame has ended.
func (l *lexer) next() (ended bool) {
	switch c := l.source[l.pos]; c {
	case '\n':
		l.pos++
		l.endCommand(false)
		l.documents()
	case ';', '&':
		l.pos++
		l.endCommand(false)
	case '(':
		l.open()
	case ')':
		l.pos++
		return l.shut()
	case '|':
		l.pipe()
	case '<', '>':
		if l.pos+1 < len(l.source) && l.source[l.pos+1] == '(' {
			l.word()
		} else {
			l.redirect()
		}
	case '#':
		l.comment()
	case '`':
		if l.frame.until == '`' {
			l.pos++
			return true
		}
		l.word()
	default:
		switch {
		case isBlank(c):
			l.pos++
		case l.has("\\\n"):
			l.pos += len("\\\n")
		default:
			l.word()
		}
	}
	return false
}

func (l *lexer) has(begin string) bool { return strings.HasPrefix(l.source[l.pos:], begin) }

func (l *lexer) open() {
	l.frame.open = append(l.frame.open, '(')
	if l.has("((") && l.frame.arithmetic == 0 {
		l.frame.arithmetic = len(l.frame.open)
	}
	l.pos++
	l.endCommand(false)
}

// shut reads what follows a ) and reports whether that ended the frame. Those of
// a case's patterns end nothing.
func (l *lexer) shut() bool {
	l.endCommand(false)
	f := &l.frame
	last := len(f.open) - 1
	switch {
	case last < 0:
		return f.until == ')'
	case f.open[last] == '(':
		f.open = f.open[:last]
		if last < f.arithmetic {
			f.arithmetic = 0
		}
	}
	return false
}

func (l *lexer) pipe() {
	l.pos++
	or := l.has("|")
	if l.has("&") || or {
		l.pos++
	}
	l.endCommand(!or)
}

func (l *lexer) comment() {
	begin := l.pos
	end := strings.IndexByte(l.source[l.pos:], '\n')
	if l.frame.until == '`' {
		end = strings.IndexAny(l.source[l.pos:], "\n`")
	}
	if end < 0 {
		end = len(l.source) - l.pos
	}
	l.pos += end
	l.script.Comments = append(l.script.Comments, Range{begin, l.pos})
}

// endCommand ends the command at hand, if it has begun.
func (l *lexer) endCommand(piped bool) {
	f := &l.frame
	f.drop = false
	if end := len(l.words); end > f.begin {
		s := &l.script
		from := len(s.words)
		s.words = append(s.words, l.words[f.begin:]...)
		s.texts = append(s.texts, l.texts[f.begin:]...)
		s.Commands = append(s.Commands, Command{from: from, to: len(s.words), Piped: piped, Fed: f.fed})
		l.words, l.texts = l.words[:f.begin], l.texts[:f.begin]
		for i := range f.documents {
			if f.documents[i].command < 0 {
				f.documents[i].command = len(s.Commands) - 1
			}
		}
	}
	f.fed = 0
}

// redirect skips a redirection and has its file left out. A string that is
// redirected (<<<) stays a word of its command.
func (l *lexer) redirect() {
	f := &l.frame
	if n := len(l.words); n > f.begin && l.words[n-1].To == l.pos && isDigits(l.texts[n-1]) {
		l.words, l.texts = l.words[:n-1], l.texts[:n-1]
	}
	begin := l.pos
	for l.pos < len(l.source) && (l.source[l.pos] == '<' || l.source[l.pos] == '>') {
		l.pos++
	}
	switch {
	case l.source[begin:l.pos] == "<<":
		if f.arithmetic > 0 {
			// A shift, or a document in a subshell.
			l.giveUp()
			return
		}
		tabs := l.has("-")
		if tabs {
			l.pos++
		}
		f.documents = append(f.documents, heredoc{tabs: tabs, command: -1})
		f.drop = true
		return
	case l.pos-begin < 3:
		f.drop = true
	default:
		f.drop = false
		f.fed = len(l.words) - f.begin
	}
	if l.has("&") || l.has("|") {
		l.pos++
	}
}

// word reads one word, of which quotes and escapes are undone.
func (l *lexer) word() {
	isOutermost := !l.inWord
	if isOutermost {
		l.inWord, l.outer = true, l.pos
	}
	w := Word{From: l.pos}
	for l.pos < len(l.source) && plain[l.source[l.pos]] {
		l.pos++
	}
	text := l.source[w.From:l.pos]
	if l.pos < len(l.source) && !l.endsWord() {
		text, w.quoting = l.quotedWord(w.From)
	}
	w.To = l.pos
	if isOutermost {
		l.inWord = false
	}
	if w.To <= l.script.Unread && w.From < l.script.Unread {
		l.add(text, w)
	}
}

// add adds a word to the command at hand, or to what it is redirected to.
func (l *lexer) add(text string, w Word) {
	f := &l.frame
	if f.drop {
		f.drop = false
		if n := len(f.documents) - 1; n >= 0 && !f.documents[n].named {
			d := &f.documents[n]
			d.end, d.quoted, d.named = text, w.quoting != nil, true
			if strings.ContainsAny(l.source[w.From:w.To], "$`") {
				l.giveUp()
			}
		}
		return
	}
	if w.quoting == nil && (text == "case" || text == "esac") {
		l.markCase(text)
	}
	l.texts = append(l.texts, text)
	l.words = append(l.words, w)
}

// markCase notes where a case begins and ends. Where that isn't sure it begins,
// so that more counts as code.
func (l *lexer) markCase(word string) {
	f := &l.frame
	last := len(f.open) - 1
	begins := len(l.words) == f.begin || mayPrecede[l.texts[len(l.texts)-1]]
	switch {
	case word == "case" && begins:
		f.open = append(f.open, 'c')
	case word == "esac" && len(l.words) == f.begin && last >= 0 && f.open[last] == 'c':
		f.open = f.open[:last]
	}
}

// mayPrecede are the words after which a command begins.
var mayPrecede = map[string]bool{"then": true, "else": true, "elif": true, "do": true, "if": true, "while": true,
	"until": true, "!": true, "{": true, "time": true, "coproc": true, "-p": true}

// endsWord reports whether the byte at hand ends a word.
func (l *lexer) endsWord() bool {
	switch c := l.source[l.pos]; c {
	case ';', '|', '&', '(', ')':
		return true
	case '<', '>':
		return l.pos+1 == len(l.source) || l.source[l.pos+1] != '('
	case '`':
		return l.frame.until == '`'
	default:
		return isBlank(c)
	}
}

// plain bytes stand for themselves in a word and end none.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' ||
			c < 0x80 && strings.IndexByte("_-.=:/@,+%~*?[]{}!^", byte(c)) >= 0
	}
	return t
}()

func isBlank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
