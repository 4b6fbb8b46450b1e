package cli

// keyAction is what shell does at its own keys.
type keyAction int

const (
	keyNone keyAction = iota
	keyLeave
	keyHelp
)

// escapeKeys takes shell's own keys out of what is typed, as ssh does: the escape counts behind
// a newline alone.
type escapeKeys struct {
	escape byte // 0 is none
	// isInLine tells that something was typed since the last newline, isHeld that an escape was,
	// which nobody has got yet.
	isInLine, isHeld bool
}

// next takes keys up to the first of shell's own. It returns what is the program's, what shell
// is to do then, and the keys behind that.
func (e *escapeKeys) next(typed []byte) (keys []byte, action keyAction, rest []byte) {
	for i, b := range typed {
		switch {
		case e.isHeld:
			e.isHeld = false
			switch b {
			case '.':
				return keys, keyLeave, typed[i+1:]
			case '?':
				return keys, keyHelp, typed[i+1:]
			}
			if b != e.escape {
				keys = append(keys, e.escape)
			}
		case e.escape != 0 && b == e.escape && !e.isInLine:
			e.isHeld = true
			continue
		}
		keys = append(keys, b)
		e.isInLine = b != '\r' && b != '\n'
	}
	return keys, keyNone, nil
}
