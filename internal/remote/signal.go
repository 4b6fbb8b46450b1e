package remote

import (
	"context"
	"fmt"
)

// Process is a command that has started.
type Process struct{ run *run }

// Signal sends a signal, one of sallyport.Signals, to the command's process group, from
// a session of its own: sshd takes no signal requests of a root login. It tells whether
// there was such a group, with a process in it that the login user may signal.
func (p Process) Signal(ctx context.Context, name string) (sent bool, err error) {
	s, err := p.run.s.Sibling(ctx)
	if err != nil {
		return false, err
	}
	answer, err := runEnd(ctx, s, fmt.Sprintf(`if kill -%s -%s 2>/dev/null; then echo 0; else echo 1; fi`, name, p.run.group))
	return err == nil && answer.Count == 0, err
}
