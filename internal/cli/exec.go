package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport"
	"sallyport/client"
	"sallyport/internal/limits"
)

// execName is the name of the one command whose exit codes are another's.
const execName = "exec"

// execFlags are exec's own flags.
type execFlags struct {
	timeout time.Duration
	stdin   string
	fromIn  bool
	cwd     string
	env     []string
	key     string
	verbose bool
}

func (a *app) newExec() *cobra.Command {
	var f execFlags
	cmd := &cobra.Command{
		Use:   execName + " [flags] WORKSPACE -- COMMAND [ARG...]",
		Short: "Run a command on a workspace",
		Long: `Runs one command on the machine behind a workspace. Its output comes as it is
written, stdout to stdout and stderr to stderr, and its exit code is exec's own.

COMMAND and its arguments reach the machine as they are: no shell looks at them
there. Name one to get one: -- sh -c 'ls *.go | wc -l'

Besides the command's own exit code there are:
  124      the command ran longer than --timeout
  125      Sallyport failed, or was used wrongly; stderr says how
  126, 127 the command can't be executed, or is not there
  128+N    signal N ended the command
  130, 143 Ctrl-C or SIGTERM ended exec, which ends the command too

With --json the frames of the answer are printed as they come, one a line; the
last holds the exit code, or an error.`,
		Example: `  sallyport exec build -- uname -a
  sallyport exec --timeout 90s --cwd /srv/app build -- make test
  sallyport exec --env STAGE=blue --env API_TOKEN build -- ./deploy
  tar c . | sallyport exec -i build -- tar x -C /tmp/here
  sallyport exec --idempotency-key deploy-42 build -- ./deploy
  sallyport exec --json build -- sh -c 'echo out; echo err >&2; exit 3'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.exec(cmd, args, &f)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.completeWorkspaces(cmd, args, toComplete)
		},
	}
	flags := cmd.Flags()
	// The workspace ends exec's own flags, so that those of a command before
	// which "--" was forgotten are never taken for ours.
	flags.SetInterspersed(false)
	flags.DurationVar(&f.timeout, "timeout", 0, "end the command after this `TIME`, rounded up to seconds (default 30s, at most 120s)")
	flags.StringVar(&f.stdin, "stdin", "", "feed the command this `FILE`, of 1 MiB at most; - is stdin")
	flags.BoolVarP(&f.fromIn, "interactive", "i", false, "the same as --stdin -")
	flags.StringVar(&f.cwd, "cwd", "", "run the command in this `DIR` (default the user's home there)")
	flags.StringArrayVar(&f.env, "env", nil, "set a variable, `K=V`; K alone takes the value it has here")
	flags.StringVar(&f.key, "idempotency-key", "", "run the command once, however often exec is called with this `KEY` within a day")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "say on stderr how the exec went")
	complete(cmd, "timeout", cobra.NoFileCompletions)
	complete(cmd, "cwd", cobra.NoFileCompletions)
	complete(cmd, "env", cobra.NoFileCompletions)
	complete(cmd, "idempotency-key", cobra.NoFileCompletions)
	return cmd
}

func (a *app) exec(cmd *cobra.Command, args []string, f *execFlags) error {
	workspace, argv, err := splitExecArgs(cmd, args)
	if err != nil {
		return err
	}
	e := client.Exec{Workspace: workspace, Cmd: argv, Timeout: f.timeout, Cwd: f.cwd, MaxOutputBytes: limits.OutputBytesStreamedMax, IdempotencyKey: f.key}
	if f.timeout < 0 {
		return usagef("for example: --timeout 30s", "--timeout %s is in the past", f.timeout)
	}
	if e.Env, err = a.execEnv(f.env); err != nil {
		return err
	}
	stdin, err := a.execStdin(f)
	if err != nil {
		return err
	}
	if stdin != nil {
		defer stdin.Close()
		e.Stdin = stdin
	}
	c, err := a.newClient(false)
	if err != nil {
		return err
	}
	defer c.Close()
	if a.asJSON() {
		return a.execFrames(cmd.Context(), c, e)
	}
	return a.execStreams(cmd.Context(), c, e, f.verbose)
}

// execEnv reads --env, as docker does: K alone takes the value that K has here,
// and sets nothing when it has none.
func (a *app) execEnv(assignments []string) (map[string]string, error) {
	env := map[string]string{}
	for _, assignment := range assignments {
		name, value, given := strings.Cut(assignment, "=")
		if name == "" {
			return nil, usagef("for example: --env STAGE=blue", "--env %s names no variable", assignment)
		}
		if !given {
			if value, given = a.Env(name); !given {
				continue
			}
		}
		env[name] = value
	}
	return env, nil
}

// execStdin opens what the command is fed; nil is nothing.
func (a *app) execStdin(f *execFlags) (io.ReadCloser, error) {
	switch {
	case f.fromIn && f.stdin != "" && f.stdin != "-":
		return nil, usagef("-i is --stdin -", "there are two stdins: -i and --stdin %s", f.stdin)
	case f.fromIn || f.stdin == "-":
		return io.NopCloser(a.Stdin), nil
	case f.stdin == "":
		return nil, nil
	}
	return os.Open(f.stdin)
}

// execStreams passes the output on as it comes, and the exit code.
func (a *app) execStreams(ctx context.Context, c *client.Client, e client.Exec, verbose bool) error {
	e.Stdout, e.Stderr = a.out, a.Stderr
	done, err := c.Exec(ctx, e)
	if err != nil {
		return err
	}
	if done.StdoutTruncated {
		a.warn("stdout was cut after %d bytes", e.MaxOutputBytes)
	}
	if done.StderrTruncated {
		a.warn("stderr was cut after %d bytes", e.MaxOutputBytes)
	}
	if inForce := time.Duration(done.TimeoutS) * time.Second; inForce > 0 && inForce < e.Timeout {
		a.warn("the time-out was %s, the most that the server gives", inForce)
	}
	if verbose {
		a.tellExec(done)
	}
	return a.passOn(done.ExecResult)
}

func (a *app) tellExec(done *client.ExecDone) {
	ending := fmt.Sprintf("exit code %d", done.ExitCode)
	if done.Signal != "" {
		ending += ", signal " + done.Signal
	}
	a.note("exec %s: %s after %d ms, with a time-out of %d s", done.ExecID, ending, done.DurationMS, done.TimeoutS)
	if done.OutputOpen {
		a.note("a child of the command still holds its output open, and was left alone")
	}
}

// execFrames prints the frames as the server wrote them, as they come.
func (a *app) execFrames(ctx context.Context, c *client.Client, e client.Exec) error {
	frames, err := c.ExecFrames(ctx, e)
	if err != nil {
		return err
	}
	defer frames.Close()
	var line []byte
	for {
		f, err := frames.Next()
		if err != nil {
			return err
		}
		line = append(append(line[:0], frames.Line()...), '\n')
		if _, err := a.out.Write(line); err != nil {
			return err
		}
		switch {
		case f.Err != nil:
			return fmt.Errorf("exec on workspace %s: %w", e.Workspace, f.Err)
		case f.Result != nil:
			return a.passOn(*f.Result)
		}
	}
}

// passOn returns the command's exit code as ours. One that no process of ours can
// have must not come out as another, least of all as 0.
func (a *app) passOn(result sallyport.ExecResult) error {
	code := result.ExitCode
	if code < 0 || code > exitCodeMax {
		a.warn("the command's exit code is %d, for which %d stands", code, exitCodeMax)
		code = exitCodeMax
	}
	if code == 0 {
		return nil
	}
	return exitCode(code)
}
