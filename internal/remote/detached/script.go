package detached

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"io"
	"strings"
)

// The scripts, each with what it needs in front of it.
var (
	//go:embed scripts/base.sh
	basePart string
	//go:embed scripts/start.sh
	startPart string
	//go:embed scripts/supervise.sh
	supervisePart string
	//go:embed scripts/launch.sh
	launchPart string
	//go:embed scripts/spool.sh
	spoolPart string
	//go:embed scripts/ask.sh
	askPart string
	//go:embed scripts/signal.sh
	signalPart string
	//go:embed scripts/end.sh
	endPart string
	//go:embed scripts/remove.sh
	removePart string
)

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

// shell is the path of the machine's POSIX shell.
func (e Execs) shell() string { return cmp.Or(e.Shell, "/bin/sh") }

// argv runs a script, with its arguments, which show in the machine's list of processes.
func (e Execs) argv(script string, args ...string) []string {
	return append([]string{e.shell(), "-c", script, "sallyport"}, args...)
}

// run runs a script, and returns what it printed, outMax bytes at most. A script may tell
// all, and its session end badly: so there can be both text and an error.
func (e Execs) run(ctx context.Context, argv []string, stdin io.Reader, outMax int) (string, error) {
	out := &bounded{max: outMax}
	err := e.Machine.Run(ctx, argv, stdin, out)
	return out.b.String(), err
}

// bounded keeps what is written to it, and fails when that is too much.
type bounded struct {
	b   bytes.Buffer
	max int
}

func (w *bounded) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > w.max {
		return 0, errTooMuch
	}
	return w.b.Write(p)
}

var (
	errTooMuch  = errors.New("detached: the machine says more than there is to say")
	errNoAnswer = errors.New("detached: the machine's answer can't be understood")
)
