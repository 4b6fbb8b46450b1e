package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// localTerminal is the terminal here, if stdin is one. It is safe for concurrent use.
type localTerminal struct {
	is bool
	fd int

	mu     sync.Mutex // guards before
	before *term.State
}

func openLocalTerminal(stdin io.Reader) *localTerminal {
	f, ok := stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &localTerminal{}
	}
	return &localTerminal{is: true, fd: int(f.Fd())}
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
// restore, whatever happens.
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

// restore puts the terminal back as it was before makeRaw. More calls do nothing.
func (l *localTerminal) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.before != nil {
		_ = term.Restore(l.fd, l.before) // it fails where the terminal is gone
		l.before = nil
	}
}
