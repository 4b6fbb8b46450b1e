package detached

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"strings"
)

//go:embed scripts/base.sh
var basePart string

// script joins parts, without their comments and empty lines: a shell reads a part of what
// it is sent a byte at a time.
func script(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		for line := range strings.Lines(part) {
			if s := strings.TrimSpace(line); s != "" && s[0] != '#' {
				b.WriteString(s)
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

// argv runs a script, with its arguments, which show in the machine's list of processes.
func (e Execs) argv(script string, args ...string) []string {
	return append([]string{cmp.Or(e.Shell, "/bin/sh"), "-c", script, "sallyport"}, args...)
}

// Start starts a command. When it returns nil, the command's process exists.
func (e Execs) Start(context.Context, Command) error { return errors.ErrUnsupported }

// Ask asks for the states of execs, over one session.
func (e Execs) Ask(context.Context, []Asked) (map[string]State, error) {
	return nil, errors.ErrUnsupported
}

// Signal sends a signal, by its name without SIG, to the process group of a command.
func (e Execs) Signal(context.Context, string, string) (sent bool, err error) {
	return false, errors.ErrUnsupported
}

// End ends a command: TERM, and KILL two seconds later.
func (e Execs) End(context.Context, string) (Survivors, error) {
	return Survivors{}, errors.ErrUnsupported
}

// Remove removes the outputs of execs.
func (e Execs) Remove(context.Context, []string) error { return errors.ErrUnsupported }
