// Package files reads and changes the files of a machine, below a root, by small POSIX
// shell scripts: what the kernel says of an opened directory or file, by /proc/self, is
// what counts, so that a link that is made between a check and its use leads nowhere.
//
// Nothing is installed on the machine, and nothing that it says is trusted: it is read by
// length, number and table, within bounds, and never becomes a part of a script.
package files

import (
	"context"
	"io"
	"strings"
)

// Machine runs scripts where the files are.
type Machine interface {
	// Run runs argv, with all of stdin, and writes what it prints to stdout. It returns
	// when the command has exited and its output is written, or with the *sallyport.Error
	// that kept it from that. When stdout fails, the command is ended, and that error
	// returned.
	Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error
}

// Tree is the files below a root. It is safe for concurrent use, as far as its machine is.
type Tree struct {
	Machine Machine
	// Root is absolute, or relative to the user's home, or empty for the home itself.
	Root string
}

// root is the first argument of every script: it never looks like an option.
func (t *Tree) root() string {
	if t.Root == "" || strings.HasPrefix(t.Root, "/") {
		return t.Root
	}
	return "./" + t.Root
}

func (t *Tree) argv(script string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", script, "sh", t.root()}, args...)
}
