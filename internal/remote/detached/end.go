package detached

import (
	"context"
	"errors"
)

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
