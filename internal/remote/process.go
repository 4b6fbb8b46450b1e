package remote

import (
	"context"
	"fmt"
	"io"

	"sallyport/internal/limits"
)

// Process is a command that has started.
type Process struct{ run *run }

// Wait waits until the command has ended and its output has come, or until it has been
// ended, because Command.Timeout passed or Start's context was canceled. It closes the
// session, and is called once.
func (p Process) Wait() Outcome {
	r := p.run
	defer r.close()
	defer r.endAtPanic(r.ctx)
	if r.over != nil {
		return *r.over
	}
	return *r.await(r.ctx)
}

// Stdin writes to the command's stdin, where Command.OpenStdin or Command.PTY is set. A Write blocks as
// long as the command doesn't read, and fails when it has ended. Close is the end of file.
func (p Process) Stdin() io.WriteCloser { return stdin(p) }

type stdin struct{ run *run }

func (w stdin) Write(b []byte) (int, error) {
	if err := w.awaitTurn(); err != nil {
		return 0, err
	}
	return w.run.s.Write(b)
}

func (w stdin) Close() error {
	if err := w.awaitTurn(); err != nil {
		return err
	}
	return w.run.s.CloseWrite()
}

// awaitTurn waits until all is sent that stands before the caller's stdin: Command.Started is
// called while the command still waits for the word to go.
func (w stdin) awaitTurn() error {
	select {
	case <-w.run.fed:
		return nil
	case <-w.run.closed:
	case <-w.run.s.Lost():
	}
	return io.ErrClosedPipe
}

// Signal sends a signal, one of sallyport.Signals, to the command's process group, or to the
// foreground process group of its PTY, from
// a session of its own: sshd takes no signal requests of a root login. It reports whether
// there was such a group, with a process in it that the login user may signal.
func (p Process) Signal(ctx context.Context, name string) (sent bool, err error) {
	s, err := p.run.s.Sibling(ctx)
	if err != nil {
		return false, err
	}
	script := fmt.Sprintf(`if kill -%s -%s 2>&-; then echo sent; fi`, name, p.run.group)
	if p.run.cmd.PTY != nil {
		script = foregroundScript(name, p.run.group)
	}
	answer, err := runScript(ctx, s, script, limits.ConnectTime)
	return err == nil && answer == "sent\n", err
}
