package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// checkDetach refuses what doesn't go with --detach, or without it.
func (f *execFlags) checkDetach(cmd *cobra.Command) error {
	flags := cmd.Flags()
	switch {
	case !f.detach && flags.Changed("keep"):
		return usagef("add --detach", "--keep is how long the output of a detached exec is kept")
	case !f.detach:
	case f.tty:
		return usagef("leave out one of them", "--detach leaves the command to itself, and -t sits at it")
	case flags.Changed("head-bytes"), flags.Changed("tail-bytes"):
		return usagef("see its output later: sallyport logs --tail BYTES WORKSPACE EXEC", "--detach prints no output")
	case f.keep < 0:
		return usagef("for example: --keep 24h", "--keep %s is in the past", f.keep)
	}
	return nil
}

// detach starts a command, and prints the id of its exec.
func (r *execRun) detach(ctx context.Context, f *execFlags) error {
	api, err := r.newAPI(false)
	if err != nil {
		return err
	}
	defer api.Close()
	closeStdin, err := r.complete(ctx, api.Client, f)
	if err != nil {
		return err
	}
	defer closeStdin()
	r.exec.MaxOutputBytes, r.exec.Keep = 0, f.keep
	row, err := api.StartExec(ctx, r.exec)
	if err != nil {
		if ctx.Err() != nil && r.isPerson() {
			r.note("interrupted; a command that had started goes on: sallyport ps %s lists it", r.workspace)
		}
		return err
	}
	r.warnClamped(row, f)
	if f.verbose {
		r.note("exec %s: started, with a time-out of %d s", row.ID, row.TimeoutS)
	}
	if r.asJSON() {
		return printJSON(r.out, api.answer)
	}
	_, err = fmt.Fprintln(r.out, visible(row.ID))
	return err
}

// warnClamped tells of times that are shorter than was asked for.
func (r *execRun) warnClamped(row sallyport.Activity, f *execFlags) {
	if inForce := time.Duration(row.TimeoutS) * time.Second; inForce > 0 && inForce < f.timeout {
		r.warn("the time-out is %s, the most that the server gives", inForce)
	}
	if inForce := time.Duration(row.KeepS) * time.Second; inForce > 0 && inForce < f.keep {
		r.warn("the output is kept for %s, the most that the server gives", inForce)
	}
}

// outputCopy passes the output of a detached exec on.
type outputCopy struct {
	*app
	workspace, execID string
	options           client.OutputOptions
}

// run copies the output to stdout and stderr, or with --json its frames to stdout, and returns
// the last frame. Its error is nil only where all has been read.
func (o *outputCopy) run(ctx context.Context, c *client.Client) (client.Frame, error) {
	o.options.Cut = func(error) { o.note("the connection was cut; going on") }
	frames, err := c.ExecOutput(ctx, o.workspace, o.execID, o.options)
	if err != nil {
		return client.Frame{}, err
	}
	defer frames.Close()
	for {
		f, err := frames.Next()
		if err != nil {
			return f, err
		}
		if err := o.take(f, frames.Line()); err != nil {
			return f, err
		}
		switch {
		case f.End == nil:
		case f.End.Status == "":
			return f, fmt.Errorf("output of exec %s: %w", o.execID, f.Err)
		default:
			return f, nil
		}
	}
}

// take passes one frame on.
func (o *outputCopy) take(f client.Frame, line []byte) error {
	if o.asJSON() {
		_, err := o.out.Write(append(line[:len(line):len(line)], '\n'))
		return err
	}
	if f.Skipped > 0 {
		o.warn("%d bytes of %s are not kept any more", f.Skipped, f.Stream)
	}
	to := io.Writer(o.out)
	if f.Stream == sallyport.Stderr {
		to = o.Stderr
	}
	_, err := to.Write(f.Data)
	return err
}

// endOf is the exit code of an exec's command, or the error of one that has none.
func (a *app) endOf(workspace string, row sallyport.Activity) error {
	if row.ExitCode != nil {
		return a.passOn(sallyport.ExecResult{ExitCode: *row.ExitCode})
	}
	if row.Status == sallyport.StatusTimeout {
		return &hintedError{
			sallyport.Errorf(sallyport.CodeExecTimeout, "exec %s: the command was ended: it took longer than its time-out", row.ID),
			"give it more time with exec --timeout",
		}
	}
	why := row.Reason
	if why == "" {
		why = string(row.Code)
	}
	if why != "" {
		why = ": " + why
	}
	return &hintedError{
		fmt.Errorf("exec %s: the command has no exit code, its status is %s%s", row.ID, row.Status, why),
		hints{a.used, workspace}.endOf(row.ID),
	}
}

// endOfOutput is endOf for the last frame of an output.
func (a *app) endOfOutput(workspace, execID string, last client.Frame) error {
	end := last.End
	if end.Status == sallyport.StatusRunning {
		return errors.New("the output ended before the command did")
	}
	row := sallyport.Activity{ID: execID, Status: end.Status}
	row.ExitCode, row.Code, row.Reason = end.ExitCode, end.Code, end.Reason
	return a.endOf(workspace, row)
}
