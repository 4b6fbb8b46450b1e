package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// execRun is one exec, from its flags to its end.
type execRun struct {
	*app
	exec client.Exec
	// id is the exec's, once its command has started.
	id string
	// framed tells that a frame has told the error, with --json.
	framed bool
}

// parse reads the command line. Nothing is opened and nobody is asked.
func (r *execRun) parse(cmd *cobra.Command, args []string, f *execFlags) error {
	workspace, argv, err := splitExecArgs(cmd, args)
	if refused := f.docker.refuse(cmd); refused != nil {
		return refused
	}
	if err != nil {
		return err
	}
	if f.timeout < 0 {
		return usagef("for example: --timeout 30s", "--timeout %s is in the past", f.timeout)
	}
	if err := f.checkDetach(cmd); err != nil {
		return err
	}
	r.workspace = workspace
	r.exec = client.Exec{
		Workspace: workspace, Cmd: argv, Timeout: f.timeout, Cwd: f.cwd, IdempotencyKey: f.key,
		MaxOutputBytes: limits.OutputBytesStreamedMax,
	}
	if flags := cmd.Flags(); flags.Changed("head-bytes") || flags.Changed("tail-bytes") {
		r.exec.MaxOutputBytes, r.exec.Output = 0, &f.size
	}
	r.exec.Env, err = r.execEnv(f)
	return err
}

// complete finds the exec's workspace, and opens its stdin, which the caller closes.
func (r *execRun) complete(ctx context.Context, c *client.Client, f *execFlags) (closeStdin func(), err error) {
	if r.exec.Workspace, err = r.workspaceRef(ctx, c, r.exec.Workspace); err != nil {
		return nil, err
	}
	stdin, err := r.execStdin(f)
	if err != nil {
		return nil, err
	}
	if stdin == nil {
		return func() {}, nil
	}
	r.exec.Stdin = stdin
	return func() { _ = stdin.Close() }, nil // it was read
}

func (r *execRun) run(ctx context.Context, f *execFlags) error {
	c, err := r.newClient(false)
	if err != nil {
		return err
	}
	defer c.Close()
	closeStdin, err := r.complete(ctx, c, f)
	if err != nil {
		return err
	}
	defer closeStdin()
	if r.asJSON() {
		err = r.frames(ctx, c)
	} else {
		err = r.streams(ctx, c, f.verbose)
	}
	if ctx.Err() != nil && r.isPerson() {
		r.tellEnded()
	}
	return r.word(err)
}

// started is told when the command has started, before any of its output.
func (r *execRun) started(execID string, timeoutS int) {
	r.id = execID
	if inForce := time.Duration(timeoutS) * time.Second; inForce > 0 && inForce < r.exec.Timeout {
		r.warn("the time-out is %s, the most that the server gives", inForce)
	}
}

// streams passes the output on as it comes, and the exit code.
func (r *execRun) streams(ctx context.Context, c *client.Client, verbose bool) error {
	r.exec.Stdout, r.exec.Stderr, r.exec.Started = r.out, r.Stderr, r.started
	done, err := c.Exec(ctx, r.exec)
	if err != nil {
		return err
	}
	if done.StdoutTruncated && r.exec.Output == nil {
		r.warn("stdout was cut after %d bytes", r.exec.MaxOutputBytes)
	}
	if done.StderrTruncated && r.exec.Output == nil {
		r.warn("stderr was cut after %d bytes", r.exec.MaxOutputBytes)
	}
	if verbose {
		r.tell(done)
	}
	return r.passOn(done.ExecResult)
}

func (r *execRun) tell(done *client.ExecDone) {
	ending := fmt.Sprintf("exit code %d", done.ExitCode)
	if done.Signal != "" {
		ending += ", signal " + done.Signal
	}
	r.note("exec %s: %s after %d ms, with a time-out of %d s", done.ExecID, ending, done.DurationMS, done.TimeoutS)
	if done.OutputOpen {
		r.note("a child of the command still holds its output open, and was left alone")
	}
}

// frames prints the frames as the server wrote them, as they come.
func (r *execRun) frames(ctx context.Context, c *client.Client) error {
	frames, err := c.ExecFrames(ctx, r.exec)
	if err != nil {
		return err
	}
	defer frames.Close()
	r.started(frames.ExecID, frames.TimeoutS)
	var line []byte
	for {
		f, err := frames.Next()
		if err != nil {
			return err
		}
		line = append(append(line[:0], frames.Line()...), '\n')
		if _, err := r.out.Write(line); err != nil {
			return err
		}
		switch {
		case f.Err != nil:
			r.framed = true
			return fmt.Errorf("exec on workspace %s: %w", r.exec.Workspace, f.Err)
		case f.Result != nil:
			return r.passOn(*f.Result)
		}
	}
}

// tellEnded says, to a person who pressed Ctrl-C, what becomes of the command.
func (r *execRun) tellEnded() {
	if r.id == "" {
		r.note("interrupted; a command that had started on %s is ended", r.workspace)
		return
	}
	r.note("interrupted; the command on %s is ended, too: exec %s", r.workspace, r.id)
}

// word words an end of a started command that the server's own sentence doesn't fit.
func (r *execRun) word(err error) error {
	var e *sallyport.Error
	if !errors.As(err, &e) || e.Code != sallyport.CodeDraining || e.Started == nil || !*e.Started {
		return err
	}
	return &hintedError{
		fmt.Errorf("exec on workspace %s: the server is ending, and ended the command", r.workspace),
		"it had started, and may have done a part of its work; " + hints{r.used, r.workspace}.endOf(e.ExecID),
	}
}

// Codes of error frames that are the command line's own.
const (
	codeUsage       sallyport.Code = "usage"
	codeUnreachable sallyport.Code = "server_unreachable"
)

// errorFrame is what --json prints of an exec that the server didn't answer with
// frames; nil where how it ended is not known, or known to who ended it.
func errorFrame(ctx context.Context, err error) *sallyport.Error {
	var refused *sallyport.Error
	var usage *usageError
	var own exitCode
	var write *client.WriteError
	switch {
	case ctx.Err() != nil, errors.Is(err, client.ErrCut), errors.As(err, &own), errors.As(err, &write):
		return nil
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &usage):
		return sallyport.Errorf(codeUsage, "%s", err)
	}
	return sallyport.Errorf(codeUnreachable, "%s", err)
}
