//go:build linux || darwin

package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// terminal is a stdin at which a person sits.
type terminal struct {
	fd int
}

// openTerminal tells whether r is a terminal.
func openTerminal(r io.Reader) (terminal, bool) {
	f, ok := r.(*os.File)
	if !ok {
		return terminal{}, false
	}
	t := terminal{fd: int(f.Fd())}
	_, err := unix.IoctlGetTermios(t.fd, ioctlGetTermios)
	return t, err == nil
}

// readSecret reads a line that the terminal doesn't show. The terminal is left as
// it was, also when ctx ends.
func (t terminal) readSecret(ctx context.Context, in *bufio.Reader) (string, error) {
	before, err := unix.IoctlGetTermios(t.fd, ioctlGetTermios)
	if err != nil {
		return "", fmt.Errorf("ask the terminal: %w", err)
	}
	hiding := *before
	hiding.Lflag &^= unix.ECHO
	hiding.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(t.fd, ioctlSetTermios, &hiding); err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	line, err := readLine(ctx, in)
	if restoreErr := unix.IoctlSetTermios(t.fd, ioctlSetTermios, before); err == nil && restoreErr != nil {
		err = fmt.Errorf("show again what is typed: %w", restoreErr)
	}
	return line, err
}

// isPerson tells whether somebody at a terminal reads what is noted on stderr.
func (a *app) isPerson() bool { return !a.quiet && isTerminal(a.Stderr) }

// columnsOf is how wide the terminal is to which w writes; 0 where it is none, or has no
// width.
func columnsOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
