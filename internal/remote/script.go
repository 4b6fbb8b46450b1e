package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// runScript runs shell code of our own on s, closes s, and returns what the code printed.
// The code must have started within a time that is cut to ctx's: the rc files of a login
// shell may take as long before a script as before a command. An answer longer than
// limits.ScriptBytesMax, or another exit status than 0, is an error.
func runScript(ctx context.Context, s *sshpool.Session, script string, within time.Duration) (string, error) {
	by := time.Now().Add(within)
	if end, isBounded := ctx.Deadline(); isBounded && end.Before(by) {
		by = end
	}
	var out, noise capped
	outcome, err := Exec(ctx, s, Command{
		script: script, Timeout: limits.EndTimeMax, ConnectBy: by, OutputGrace: limits.OutputGrace,
		Gate:    func() error { return nil },
		Started: func(Process) {},
		Stdout:  &out, Stderr: &noise,
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("run script: %w", err)
	case outcome.End != Exited:
		return "", fmt.Errorf("run script: no answer: %w", outcome.Cause)
	case outcome.ExitCode != 0:
		return "", fmt.Errorf("run script: exit code %d", outcome.ExitCode)
	}
	return out.String(), nil
}

// CheckShell reports whether commands can be started on s's machine, by running a script
// that prints one word, and closes s.
func CheckShell(ctx context.Context, s *sshpool.Session) error {
	answer, err := runScript(ctx, s, "echo well", limits.ConnectTime)
	if err == nil && answer != "well\n" {
		err = transportError("the machine's shell does not do what it is told to", true, fmt.Errorf("answer %.40q", answer))
	}
	return err
}

// capped holds up to limits.ScriptBytesMax bytes, and fails the Write that brings more.
type capped struct{ bytes.Buffer }

func (c *capped) Write(b []byte) (int, error) {
	if c.Len()+len(b) > limits.ScriptBytesMax {
		return 0, errLongAnswer
	}
	return c.Buffer.Write(b)
}

var errLongAnswer = errors.New("the machine's answer to a script is too long")
