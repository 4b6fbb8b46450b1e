package cli

import (
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

// execName is the name of the one command whose exit codes are another's.
const execName = "exec"

// execFlags are exec's own flags.
type execFlags struct {
	timeout  time.Duration
	stdin    string
	fromIn   bool
	cwd      string
	env      []string
	envFiles []string
	key      string
	verbose  bool
	tty      bool
	size     sallyport.OutputSize
	detach   bool
	keep     time.Duration
	docker   dockerFlags
}

func (a *app) newExec() *cobra.Command {
	var f execFlags
	cmd := &cobra.Command{
		Use:   execName + " [flags] WORKSPACE COMMAND [ARG...]",
		Short: "Run a command on a workspace",
		Long: `Runs one command on the machine behind a workspace. Its output comes as it is
written, stdout to stdout and stderr to stderr, and its exit code is exec's own.

exec's own flags stand before COMMAND. The first word behind WORKSPACE that is no
flag begins it, with or without "--" before it, and everything from there on is the
command's. It reaches the machine as it is: no shell looks at it there. Name one to
get one: sallyport exec build sh -c 'ls *.go | wc -l'

Besides the command's own exit code there are:
  124      the command ran longer than --timeout
  125      Sallyport failed, or was used wrongly; stderr says how
  126, 127 the command can't be executed, or is not there
  128+N    signal N ended the command
  130, 143 Ctrl-C or SIGTERM ended exec, which ends the command too

With --detach the command goes on by itself, whatever becomes of exec, the connection and
the server: exec prints its id, alone, once it has started. Its output waits on its own
machine: logs shows it, attach follows it, wait waits for the end, rm ends and removes it.

With --json the frames of the answer are printed as they come, one a line. The last
holds the exit code, or an error with a code: one of the API's, or "usage" for a
mistake in the flags, or "server_unreachable" where no answer of a server came. A
last line that holds neither was cut off: how the command ended is not known.`,
		Example: `  sallyport exec build uname -a
  sallyport exec --timeout 90s -w /srv/app build -- make test
  sallyport exec -e STAGE=blue -e API_TOKEN --env-file app.env build ./deploy
  tar c docs | sallyport exec -i build tar x -C /tmp
  sallyport exec -it build vim notes.txt
  sallyport exec --head-bytes 1000 --tail-bytes 4000 build make
  id=$(sallyport exec -d build make all) && sallyport attach build $id
  sallyport exec --idempotency-key deploy-42 build ./deploy
  sallyport exec --json build sh -c 'echo out; echo err >&2; exit 3'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.exec(cmd, args, &f)
		},
		ValidArgsFunction: a.completeWorkspaceThenFiles,
	}
	f.add(a, cmd)
	return cmd
}

func (f *execFlags) add(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	// The workspace ends exec's first flags, so that those of the command are never
	// taken for ours.
	flags.SetInterspersed(false)
	flags.Var((*duration)(&f.timeout), "timeout", "end the command after this `TIME`, rounded up to seconds (default 30s, at most 120s, or 1h with stdin; with -d a day, at most a week)")
	flags.StringVar(&f.stdin, "stdin", "", "feed the command this `FILE`; - is stdin, which is passed on as it comes")
	flags.BoolVarP(&f.fromIn, "interactive", "i", false, "the same as --stdin -")
	flags.BoolVarP(&f.tty, "tty", "t", false, "give the command a terminal, as shell does; -it is the same")
	flags.StringVar(&f.cwd, "cwd", "", "run the command in this `DIR` (default the user's home there)")
	flags.StringVarP(&f.cwd, "workdir", "w", "", "the same as --cwd `DIR`")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "set a variable, `K=V`; K alone takes the value it has here")
	flags.StringArrayVar(&f.envFiles, "env-file", nil, "set the variables in this `FILE`, one K=V a line; --env goes before it")
	flags.StringVar(&f.key, "idempotency-key", "", "run the command once, however often exec is called with this `KEY` within a day")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "report on stderr how the exec went")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "write no warnings and notes to stderr, errors alone")
	flags.Int64Var(&f.size.HeadBytes, "head-bytes", 0, "print, of stdout and of stderr, the first `N` bytes alone, and the newest of --tail-bytes")
	flags.Int64Var(&f.size.TailBytes, "tail-bytes", 0, "print, of stdout and of stderr, the newest `N` bytes alone, and the first of --head-bytes")
	flags.BoolVarP(&f.detach, "detach", "d", false, "print the exec's id when the command has started, and leave it to itself")
	flags.Var((*duration)(&f.keep), "keep", "with -d, keep the output for this `TIME` behind the end (default 24h, at most a week)")
	f.docker.add(flags)
	for _, name := range []string{"keep", "timeout", "cwd", "workdir", "env", "idempotency-key", "head-bytes", "tail-bytes"} {
		complete(cmd, name, cobra.NoFileCompletions)
	}
}

// exec runs a command. With --json an error is a frame, too, unless one has told it.
func (a *app) exec(cmd *cobra.Command, args []string, f *execFlags) error {
	r := &execRun{app: a}
	err := r.parse(cmd, args, f)
	if err == nil && f.tty && !f.detach {
		return a.execTerminal(cmd.Context(), r.workspace, r.exec.Cmd, f)
	}
	switch {
	case err != nil:
	case f.detach:
		err = r.detach(cmd.Context(), f)
	default:
		err = r.run(cmd.Context(), f)
	}
	if err != nil && a.asJSON() && !r.framed {
		if frame := errorFrame(cmd.Context(), err); frame != nil {
			_ = marshalJSON(a.out, frame) // the output remembers that it failed
		}
	}
	return err
}

// execStdin opens what the command is fed; nil is nothing.
func (a *app) execStdin(f *execFlags) (io.ReadCloser, error) {
	switch {
	case f.fromIn && f.stdin != "" && f.stdin != stdName:
		return nil, usagef("-i is --stdin -", "there are two stdins: -i and --stdin %s", f.stdin)
	case f.fromIn || f.stdin == stdName:
		if _, person := openTerminal(a.Stdin); person {
			a.note("stdin goes to the command as it is typed; Ctrl-D ends it")
		}
		return io.NopCloser(a.Stdin), nil
	case f.stdin == "":
		return nil, nil
	}
	return os.Open(f.stdin)
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
