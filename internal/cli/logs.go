package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// logsName is the command's name.
const logsName = "logs"

// logsFlags are logs' own flags.
type logsFlags struct {
	follow bool
	since  string
	tail   int64
	stream string
}

func (a *app) newLogs() *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:   logsName + " WORKSPACE EXEC",
		Short: "Show what a detached exec has written",
		Long: `Shows the output of an exec that exec --detach has started: what of it is kept now, stdout
to stdout and stderr to stderr; with --follow what comes from now on, too, until the command
ends. EXEC is its id, or the beginning of one.

An output is kept on the command's own machine, of each stream the newest 16 MiB, until a day
after the end, or as exec --keep says. A warning tells of what is not kept any more. With
--follow, a connection that is cut is made again for a minute, and no byte is lost or comes
twice. Ctrl-C leaves the command alone.

With --json the frames of the answer are printed as they come, one a line. Each tells the
offset of its first byte; the last has "next", where --since goes on.

Exit codes: 0, or 125 if it wasn't all read; 130 after Ctrl-C. attach has the command's own.`,
		Example: `  sallyport logs build 0198c9a4-9d10
  sallyport logs -f build 0198c9a4-9d10
  sallyport logs --tail 4096 --stream stderr build 0198c9a4-9d10
  sallyport logs --since 81920,0 build 0198c9a4-9d10`,
		Args: takes("WORKSPACE", "EXEC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := f.options(cmd)
			if err != nil {
				return err
			}
			return a.logs(cmd.Context(), args[0], args[1], options)
		},
		ValidArgsFunction: a.completeExecs(func(r sallyport.Activity) bool { return r.Detached }),
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on until the command ends")
	flags.StringVar(&f.since, "since", "", "begin at this `OFFSET` in bytes; for both streams it is OUT,ERR")
	flags.Int64Var(&f.tail, "tail", 0, "begin with the newest so many `BYTES` of each stream")
	flags.StringVar(&f.stream, "stream", "", "show this `STREAM` alone, stdout or stderr")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "write no warnings and notes to stderr, errors alone")
	cmd.MarkFlagsMutuallyExclusive("since", "tail")
	complete(cmd, "since", cobra.NoFileCompletions)
	complete(cmd, "tail", cobra.NoFileCompletions)
	complete(cmd, "stream", cobra.FixedCompletions([]string{sallyport.Stdout, sallyport.Stderr}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// options are what the flags ask for.
func (f *logsFlags) options(cmd *cobra.Command) (client.OutputOptions, error) {
	o := client.OutputOptions{Stream: f.stream, Follow: f.follow}
	if f.stream != "" && f.stream != sallyport.Stdout && f.stream != sallyport.Stderr {
		return o, usagef("for example: --stream stderr", "--stream %q is neither stdout nor stderr", f.stream)
	}
	if cmd.Flags().Changed("tail") {
		if f.tail < 1 {
			return o, usagef("for example: --tail 4096", "--tail %d is no number of bytes, 1 or more", f.tail)
		}
		o.SinceStdout, o.SinceStderr = -f.tail, -f.tail
		return o, nil
	}
	if !cmd.Flags().Changed("since") {
		return o, nil
	}
	return o, f.parseSince(&o)
}

// parseSince reads OFFSET or OUT,ERR.
func (f *logsFlags) parseSince(o *client.OutputOptions) error {
	first, second, areTwo := strings.Cut(f.since, ",")
	stdout, err := strconv.ParseUint(first, 10, 63)
	stderr := stdout
	if err == nil && areTwo {
		stderr, err = strconv.ParseUint(second, 10, 63)
	}
	switch {
	case err != nil:
		return usagef("for example: --since 4096 --stream stdout, or --since 4096,0", "--since %q is no offset in bytes", f.since)
	case areTwo && f.stream != "":
		return usagef("give one offset, or leave --stream out", "--since %q has offsets of two streams, and --stream names one", f.since)
	case !areTwo && f.stream == "" && stdout > 0:
		return usagef("give one for each, OUT,ERR, or add --stream", "--since %q has one offset, and there are two streams", f.since)
	}
	o.SinceStdout, o.SinceStderr = int64(stdout), int64(stderr)
	return nil
}

func (a *app) logs(ctx context.Context, workspace, exec string, options client.OutputOptions) error {
	c, err := a.newClient(false)
	if err != nil {
		return err
	}
	defer c.Close()
	o := &outputCopy{app: a, options: options}
	if o.workspace, o.execID, err = a.findExec(ctx, c, workspace, exec); err != nil {
		return err
	}
	_, err = o.run(ctx, c)
	return err
}
