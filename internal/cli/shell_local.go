package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// localTerminal is the terminal here. It is safe for concurrent use.
type localTerminal struct {
	// is tells that stdin is a terminal, fd.
	is bool
	fd int
	// out is stdout, and modes is too, where that is a terminal.
	out   io.Writer
	modes *screenModes

	mu     sync.Mutex // guards before
	before *term.State
}

// openLocalTerminal returns the terminal of stdin and stdout, which from then on is what lines on
// stderr are written for.
func (a *app) openLocalTerminal() *localTerminal {
	l := &localTerminal{out: a.out}
	if f, ok := a.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		l.is, l.fd = true, int(f.Fd())
	}
	if isTerminal(a.Stdout) {
		l.modes = newScreenModes(a.out)
		l.out = l.modes
	}
	a.local = l
	return l
}

// size is in characters; 0 and 0 where it isn't known.
func (l *localTerminal) size() (cols, rows int) {
	if !l.is {
		return 0, 0
	}
	cols, rows, err := term.GetSize(l.fd)
	if err != nil {
		return 0, 0
	}
	return cols, rows
}

// makeRaw has each key come as it is typed, and none be a signal here. The caller calls
// putBack, whatever happens.
func (l *localTerminal) makeRaw() error {
	if !l.is {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before, err := term.MakeRaw(l.fd)
	if err != nil {
		return fmt.Errorf("make the terminal raw: %w", err)
	}
	l.before = before
	return nil
}

func (l *localTerminal) isRaw() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.before != nil
}

// guard is f, with the terminal put back where f panics: no other goroutine outlives that.
func (l *localTerminal) guard(f func()) func() {
	return func() {
		returned := false
		defer func() {
			if !returned {
				l.putBack()
			}
		}()
		f()
		returned = true
	}
}

// putBack puts the terminal back as it was, and takes back what programs have changed of it. Nothing
// may be shown behind it. More calls do nothing.
func (l *localTerminal) putBack() {
	l.restore()
	if l.modes != nil {
		l.modes.reset()
	}
}

// restore has keys come as before makeRaw. More calls do nothing.
func (l *localTerminal) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.before != nil {
		_ = term.Restore(l.fd, l.before) // it fails where the terminal is gone
		l.before = nil
	}
}
