package remote

import (
	"bytes"
	"strings"
	"sync"

	"sallyport/internal/limits"
)

// marks are the two marks of one command: lines that its shell prints, first on stderr, then
// on stdout, before it becomes the program. An rc file may have redirected the streams,
// so either mark may come out on either stream, on both, or nowhere.
type marks struct {
	word string // opens a mark

	first chan struct{} // closed when the first mark has come; line is set before
	both  chan struct{} // closed when both have

	mu   sync.Mutex // guards seen, and line until first is closed
	seen [2]bool
	line string // of the first mark, behind word and number
}

func newMarks(word string) *marks {
	return &marks{word: word, first: make(chan struct{}), both: make(chan struct{})}
}

// waive says that no marks will come.
func (m *marks) waive() { close(m.both) }

// note takes the line of a mark, without its word.
func (m *marks) note(line string) {
	number, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	m.mu.Lock()
	defer m.mu.Unlock()
	if isClosed(m.both) {
		return
	}
	if !isClosed(m.first) {
		m.line = rest
		close(m.first)
	}
	switch number {
	case markStdout:
		m.seen[0] = true
	case markStderr:
		m.seen[1] = true
	}
	if m.seen[0] && m.seen[1] {
		close(m.both)
	}
}

// strip takes the marks out of b, and notes them, until both have come. It moves each byte
// once at most, however many marks a machine sends.
func (m *marks) strip(b []byte) []byte {
	kept := b[:0]
	for rest := b; ; {
		i := bytes.Index(rest, []byte(m.word))
		end := -1
		if i >= 0 && !isClosed(m.both) {
			end = bytes.IndexByte(rest[i:min(len(rest), i+limits.MarkBytesMax)], '\n')
		}
		if end < 0 {
			return append(kept, rest...)
		}
		m.note(string(rest[i+len(m.word) : i+end]))
		kept = append(kept, rest[:i]...)
		rest = rest[i+end+1:]
	}
}

// parse returns what the first mark says: a word, the process group, and loginSh or nothing.
func (m *marks) parse() (word, group, login string) {
	word, rest, _ := strings.Cut(m.line, " ")
	group, login, _ = strings.Cut(rest, " ")
	if login != loginSh {
		login = ""
	}
	return word, group, login
}
