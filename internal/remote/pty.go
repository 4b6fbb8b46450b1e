package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// PTY is the terminal that a command is given: its output is all in Command.Stdout, and its
// input is what Process.Stdin is written. Command.Stdin and OpenStdin aren't used with it.
type PTY struct {
	// Term is the value of TERM.
	Term string
	// Cols and Rows are the size in characters, which the program has from its first
	// instruction.
	Cols, Rows int
}

// ErrHungUp is the cause of Start's context that ends a command at a PTY by closing the PTY: the
// kernel sends HUP, and what was meant to survive that does. Any other cause ends by force
// whatever the command has started.
var ErrHungUp = errors.New("the terminal's line was closed")

// errPTYRefused is a machine that gives no terminal.
var errPTYRefused = sallyport.Errorf(sallyport.CodePTYRefused, "the machine's SSH server gives no terminal: see its PermitTTY").WithStarted(false)

// seat asks for the PTY, and waits for the answer. Nothing of the command has been sent yet.
func (r *run) seat(ctx context.Context) error {
	pty := r.cmd.PTY
	answer := make(chan error, 1)
	r.s.Go(func() {
		ok, err := r.s.RequestPTY(pty.Term, size(pty.Cols, pty.Rows))
		if err == nil && !ok {
			err = errPTYRefused
		}
		answer <- err
	})
	late := time.NewTimer(time.Until(r.cmd.ConnectBy))
	defer late.Stop()
	select {
	case err := <-answer:
		if err != nil && !errors.Is(err, errPTYRefused) {
			return r.unsent(err)
		}
		return err
	case <-r.closed:
		return r.unsent(errors.New("lost before the PTY was given"))
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return errLate.WithStarted(false)
	}
}

// runAtPTY pumps all output, which has one stream: a terminal may be quiet for hours, and no
// goroutine waits for what can't come.
func (r *run) runAtPTY() {
	defer close(r.stderr.ended)
	r.stdout.run()
}

func size(cols, rows int) sshpool.WindowSize {
	return sshpool.WindowSize{Cols: uint32(cols), Rows: uint32(rows)}
}

// Resize changes the size of the command's PTY, in characters; the foreground process group
// gets SIGWINCH. Its error is that of a connection that has broken.
func (p Process) Resize(cols, rows int) error { return p.run.s.ResizePTY(size(cols, rows)) }

// atPTY is how a command's shell begins at a PTY: it reads the guard, and gives the PTY the
// modes of a login's. Whatever is typed comes behind its mark, and finds them.
const atPTY = `read -r SALLYPORT_N; stty sane ixon iutf8 2>&- || stty sane ixon 2>&-; `

// loginLine becomes the user's login shell, as a login shell. All shells know -l.
const loginLine = `exec "$SALLYPORT_S" -l`

// loginShell keeps the login shell's name where nothing in the header changes it.
const loginShell = `SALLYPORT_S=${SHELL:-/bin/sh}; `

// foregroundScript sends a signal to the foreground process group of the terminal of a process,
// whatever the terminal's modes, and prints "sent" where there is one that takes it.
func foregroundScript(name, process string) string {
	return fmt.Sprintf(`x=$(cat /proc/%[2]s/stat 2>&-); case $x in *") "*) set -- ${x##*") "}; t=$6;; *) set -- $(ps -o tpgid= -p %[2]s 2>&-); t=$1;; esac; `+
		`case $t in ""|0*|1|*[!0-9]*) ;; *) if kill -%[1]s -$t 2>&- || sudo -n kill -%[1]s -- -$t >&- 2>&-; then echo sent; fi;; esac`, name, process)
}

// hangUp closes the PTY, and counts later what has survived that.
func (r *run) hangUp(ctx context.Context, cause error) *Outcome {
	out := Outcome{End: Canceled, Cause: cause, Duration: time.Since(r.began), Survivors: Survivors{Forced: true}}
	r.detach()
	_ = r.s.Close() // each look has a session of its own
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.HangUpLookTime)
	defer cancel()
	if wait(ctx, limits.HangUpGrace) {
		if found, err := watchOf(r.s).act(ctx, r.s, r.goal(false), "", limits.ConnectTime); err == nil {
			out.Survivors = survivorsOf(found)
		}
	}
	return r.count(out)
}
