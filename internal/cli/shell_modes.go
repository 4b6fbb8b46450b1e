package cli

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// screenModes is the output to a terminal. It remembers what programs have changed of the
// terminal beside what it shows, so that this can be put back: the screen, the cursor, the mouse,
// the keyboard. Write is called from one goroutine, reset from any.
type screenModes struct {
	to io.Writer

	mu sync.Mutex // guards the fields below; it isn't held while something is written
	// sequence is the control sequence that is on its way, from its ESC on; empty is none.
	sequence []byte
	// private are the modes of privateModes that are other than in a fresh terminal.
	private map[int]bool
	// undo are other changes, by what takes them back.
	undo map[string]bool
	// keyboards is how often flags of the Kitty keyboard protocol were pushed.
	keyboards int
}

// Control sequences that take changes back.
const (
	undoKeypad    = "\x1b>"
	undoCharset   = "\x1b(B"
	undoShift     = "\x0f"
	undoStyle     = "\x1b[0m"
	undoMargins   = "\x1b[r"
	undoInsert    = "\x1b[4l"
	undoCursor    = "\x1b[0 q"
	undoKeyboard  = "\x1b[=0u"
	undoOtherKeys = "\x1b[>4m"
	popKeyboard   = "\x1b[<u"
	// cancelSequence ends a sequence that was cut.
	cancelSequence = "\x1b\\"
)

// Bytes that begin and end control sequences (ECMA-48).
const (
	byteBEL = 0x07
	byteSO  = 0x0e
	byteSI  = 0x0f
	byteCAN = 0x18
	byteSUB = 0x1a
	byteESC = 0x1b
)

const (
	// sequenceBytesMax bounds what is kept of a sequence. One that is longer changes no mode.
	sequenceBytesMax = 64
	// keyboardsMax is how deep terminals stack the flags of keyboards.
	keyboardsMax = 16
)

// privateModes are those of DECSET that are put back, and whether a fresh terminal has them.
func privateModes() map[int]bool {
	return map[int]bool{
		1: false, 5: false, 6: false, 7: true, 9: false, 25: true, 47: false, 66: false,
		1000: false, 1001: false, 1002: false, 1003: false, 1004: false, 1005: false, 1006: false, 1015: false, 1016: false,
		1047: false, 1049: false, 2004: false, 2026: false, 2031: false, 2048: false,
	}
}

// screenSwitches are the private modes that show another screen.
func screenSwitches() []int { return []int{47, 1047, 1049} }

func newScreenModes(to io.Writer) *screenModes {
	return &screenModes{to: to, private: map[int]bool{}, undo: map[string]bool{}}
}

// Write implements io.Writer.
func (s *screenModes) Write(p []byte) (int, error) {
	s.follow(p)
	return s.to.Write(p)
}

// follow follows the control sequences in p.
func (s *screenModes) follow(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		if len(s.sequence) == 0 { // what is shown is most of it
			i := bytes.IndexAny(p, "\x1b\x0e\x0f")
			if i < 0 {
				return
			}
			p = p[i:]
		}
		s.note(p[0])
		p = p[1:]
	}
}

// reset takes back what was changed, and forgets it.
func (s *screenModes) reset() {
	s.mu.Lock()
	text := s.takeBack()
	s.mu.Unlock()
	if text != "" {
		_, _ = io.WriteString(s.to, text) // the output remembers that it failed
	}
}

// takeBack is what takes the changes back. s.mu is held.
func (s *screenModes) takeBack() string {
	var b strings.Builder
	if len(s.sequence) > 0 {
		b.WriteString(cancelSequence)
	}
	b.WriteString(strings.Repeat(popKeyboard, s.keyboards))
	isAlternate := slices.ContainsFunc(screenSwitches(), func(mode int) bool { return s.private[mode] })
	for _, undo := range slices.Sorted(maps.Keys(s.undo)) {
		if undo == undoMargins && !isAlternate {
			undo = "\x1b7" + undo + "\x1b8" // it moves the cursor
		}
		b.WriteString(undo)
	}
	modes := slices.Sorted(maps.Keys(s.private))
	for _, mode := range modes {
		if !slices.Contains(screenSwitches(), mode) {
			fmt.Fprintf(&b, "\x1b[?%d%c", mode, map[bool]rune{false: 'l', true: 'h'}[privateModes()[mode]])
		}
	}
	for _, mode := range modes { // last, since some changes are a screen's own
		if slices.Contains(screenSwitches(), mode) {
			fmt.Fprintf(&b, "\x1b[?%dl", mode)
		}
	}
	s.forget()
	return b.String()
}

// forget takes the terminal for a fresh one. s.mu is held.
func (s *screenModes) forget() {
	s.sequence, s.keyboards = nil, 0
	clear(s.private)
	clear(s.undo)
}

// note takes one more byte. s.mu is held.
func (s *screenModes) note(b byte) {
	switch {
	case b == byteESC: // it ends what was before
		s.sequence = append(s.sequence[:0], b)
	case len(s.sequence) == 0:
		s.noteShift(b)
	case b == byteCAN, b == byteSUB:
		s.sequence = s.sequence[:0]
	case s.isString():
		if b == byteBEL {
			s.sequence = s.sequence[:0]
		}
	case b < ' ': // control characters are obeyed in the midst of a sequence
		s.noteShift(b)
	default:
		s.noteSequence(b)
	}
}

func (s *screenModes) noteShift(b byte) {
	switch b {
	case byteSO:
		s.undo[undoShift] = true
	case byteSI:
		delete(s.undo, undoShift)
	}
}

// isString tells whether the sequence is one that carries text: OSC, DCS and the like.
func (s *screenModes) isString() bool {
	return len(s.sequence) > 1 && strings.IndexByte("]PX^_", s.sequence[1]) >= 0
}

// noteSequence takes one more byte of a sequence.
func (s *screenModes) noteSequence(b byte) {
	isCSI := len(s.sequence) > 1 && s.sequence[1] == '['
	begins := len(s.sequence) == 1 && strings.IndexByte("[]PX^_", b) >= 0
	isPart := b < '0' || isCSI && b < '@'
	switch {
	case begins, isPart && len(s.sequence) < sequenceBytesMax:
		s.sequence = append(s.sequence, b)
		return
	case isPart:
		return
	case len(s.sequence) < sequenceBytesMax && isCSI:
		s.noteCSI(string(s.sequence[2:]), b)
	case !isCSI:
		s.noteEscape(string(s.sequence[1:]), b)
	}
	s.sequence = s.sequence[:0]
}

// noteEscape follows a sequence of ESC, intermediate bytes and a final one.
func (s *screenModes) noteEscape(between string, final byte) {
	switch {
	case between == "(":
		s.change(undoCharset, final != 'B')
	case between != "":
	case final == 'c':
		s.forget()
	case final == '=', final == '>':
		s.change(undoKeypad, final == '=')
	}
}

// change notes that something is other than in a fresh terminal, or as there.
func (s *screenModes) change(undo string, isOther bool) {
	if isOther {
		s.undo[undo] = true
	} else {
		delete(s.undo, undo)
	}
}

// noteCSI follows a control sequence with its parameters.
func (s *screenModes) noteCSI(parameters string, final byte) {
	private, rest := "", parameters
	if rest != "" && strings.IndexByte("<=>?", rest[0]) >= 0 {
		private, rest = rest[:1], rest[1:]
	}
	switch private + string(final) {
	case "?h", "?l":
		s.notePrivate(rest, final == 'h')
	case "h", "l":
		if slices.Contains(strings.Split(rest, ";"), "4") {
			s.change(undoInsert, final == 'h')
		}
	case "m":
		s.change(undoStyle, strings.Trim(rest, "0;") != "")
	case ">m":
		if level, ok := strings.CutPrefix(rest, "4"); ok {
			s.change(undoOtherKeys, strings.Trim(level, "0;") != "")
		}
	case "r":
		s.change(undoMargins, rest != "")
	case "q":
		if shape, ok := strings.CutSuffix(rest, " "); ok {
			s.change(undoCursor, strings.Trim(shape, "0") != "")
		}
	case "p":
		if rest == "!" { // a soft reset
			for _, undo := range []string{undoKeypad, undoCharset, undoStyle, undoMargins, undoInsert} {
				s.change(undo, false)
			}
			s.notePrivate("1;6;66", false)
			s.notePrivate("7;25", true)
		}
	case "=u":
		s.change(undoKeyboard, strings.Trim(rest, "0;") != "")
	case ">u":
		s.keyboards = min(s.keyboards+1, keyboardsMax)
	case "<u":
		s.keyboards -= min(s.keyboards, max(1, number(rest)))
	}
}

// notePrivate notes that private modes are set, or reset.
func (s *screenModes) notePrivate(modes string, isSet bool) {
	for mode := range strings.SplitSeq(modes, ";") {
		n := number(mode)
		switch fresh, known := privateModes()[n]; {
		case known && isSet != fresh:
			s.private[n] = true
		case known:
			delete(s.private, n)
		}
	}
}

// number is a parameter; 0 where it is missing or none.
func number(parameter string) int {
	n, err := strconv.Atoi(parameter)
	if err != nil {
		return 0
	}
	return n
}
