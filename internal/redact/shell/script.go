// Package shell splits a text into words and commands as a POSIX shell would,
// and knows where each byte of a word stands in the text. It needs no more of a
// shell than that: nothing is expanded. A substitution ($(…), `…`, <(…)) is code:
// its commands are commands of their own, and in the word around it it is a hole.
package shell

// A Script is a text as a shell would split it.
type Script struct {
	// Commands are those of the text and of its substitutions, in the order in
	// which they end.
	Commands []Command
	// Documents are the here-documents.
	Documents []Document
	// Comments are ranges of the text.
	Comments []Range
	// Unread is where reading was given up, as shells would read on in different
	// ways; the length of the text if it wasn't.
	Unread int

	texts []string
	words []Word
}

// A Command is a range of a script's words.
type Command struct {
	from, to int
	// Piped commands write to the next one.
	Piped bool
	// Fed is the word that the command reads: <<< word. 0 is none, as no command
	// begins with it.
	Fed int
}

// A Document is the text between << EOF and EOF.
type Document struct {
	// Command is the index of the command that reads it; -1 is none.
	Command int
	Text    string
	Word    Word
}

// A Range is a range of bytes of the source.
type Range struct{ From, To int }

// Texts returns the words of a command as a program would see them. A hole is
// one byte.
func (s *Script) Texts(c Command) []string { return s.texts[c.from:c.to] }

// Words returns where the words of a command stand.
func (s *Script) Words(c Command) []Word { return s.words[c.from:c.to] }

// Clip calls add for what of a range of the source is in the word that it
// begins in, without that word's substitutions.
func (s *Script) Clip(from, to int, add func(from, to int)) {
	best := -1
	for i, w := range s.words {
		isCloser := best < 0 || w.From < s.words[best].From || w.From == s.words[best].From && w.To > s.words[best].To
		if w.To > from && w.From < to && isCloser {
			best = i
		}
	}
	if best < 0 {
		return
	}
	w := s.words[best]
	from, to = max(from, w.From), min(to, w.To)
	if w.quoting != nil {
		for _, h := range w.quoting.holes {
			if h.To <= from {
				continue
			}
			if from < min(h.From, to) {
				add(from, min(h.From, to))
			}
			from = max(from, h.To)
		}
	}
	if from < to {
		add(from, to)
	}
}
