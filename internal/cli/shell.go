package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// shellName is the command's name.
const shellName = "shell"

// escapeNone is the --escape that has none, escapeDefault the one of ssh.
const (
	escapeNone    = "none"
	escapeDefault = "~"
)

// shellFlags are shell's own flags.
type shellFlags struct {
	cwd                  string
	env                  []string
	timeout, idleTimeout time.Duration
	record               bool
	escape               string
	watch                string
}

func (a *app) newShell() *cobra.Command {
	var f shellFlags
	cmd := &cobra.Command{
		Use:   shellName + " [flags] WORKSPACE [-- COMMAND [ARG...]]",
		Short: "Sit at a shell, or another program, on a workspace",
		Long: `Starts the login shell of the workspace's user, or COMMAND, at a terminal of the machine,
and connects it with the one here: keys, colours, and its size as it changes. Ctrl-C, Ctrl-Z
and Ctrl-D are the program's. It leaves a row in the activity log, without a byte of what
was typed or shown.

Behind a newline, these keys are shell's own:
  ~.       leave; the program gets a hang-up, as with ssh
  ~?       list these keys
  ~~       a tilde
--escape names another key than the tilde, or none.

A connection that is lost is taken up again for a minute; nothing that was typed or shown
gets lost. What should outlive the shell runs in tmux there, or under nohup.

Where stdin is no terminal it is sent as it is, and then Ctrl-D.

With --watch nothing is started: what somebody else's terminal shows is shown here, until
~. or Ctrl-C. ps lists the terminals that run. It takes the scope terminal:read, and the
one who is watched is told.

Besides the program's own exit code there are:
  124      it ran longer than --timeout, or nothing came or went for --idle-timeout
  125      Sallyport failed, or was used wrongly; stderr says how
  128+N    signal N ended the program
  130      ~. left it
  129, 143 SIGHUP or SIGTERM ended shell, which hangs up`,
		Example: `  sallyport shell build
  sallyport shell build -- htop
  sallyport shell --cwd /srv/app -e STAGE=blue build
  sallyport shell --record build                   # see recordings
  sallyport shell --watch 0198c9a4-9d10 build`,
		Args:              cobra.ArbitraryArgs,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.shell(cmd, args, &f) },
		ValidArgsFunction: a.completeWorkspaceThenFiles,
	}
	f.add(a, cmd)
	return cmd
}

func (f *shellFlags) add(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows the workspace's own flags is the program's
	flags.StringVar(&f.cwd, "cwd", "", "start in this `DIR` (default the user's home there)")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "set a variable, `K=V`; K alone takes the value it has here")
	flags.Var((*duration)(&f.timeout), "timeout", "end the terminal after this `TIME` (default 12h, and at most)")
	flags.Var((*duration)(&f.idleTimeout), "idle-timeout", "end it when nothing is typed or shown for this `TIME` (default 30m, at most 12h)")
	flags.BoolVar(&f.record, "record", false, "record what the terminal shows")
	flags.StringVar(&f.escape, "escape", escapeDefault, "the key of shell's own keys, a `CHARACTER`, or none")
	flags.StringVar(&f.watch, "watch", "", "watch the terminal with this `ID`, or the beginning of one, and start nothing")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "write no warnings and notes to stderr, errors alone")
	for _, name := range []string{"cwd", "env", "timeout", "idle-timeout", "escape", "watch"} {
		complete(cmd, name, cobra.NoFileCompletions)
	}
}

// usageShell shows the form of a shell.
const usageShell = "the form is: sallyport shell [flags] WORKSPACE [-- COMMAND [ARG...]]"

func (a *app) shell(cmd *cobra.Command, args []string, f *shellFlags) error {
	workspace, argv, err := splitShellArgs(cmd, args)
	if err != nil {
		return err
	}
	s := &shell{app: a, workspace: workspace}
	if s.escape, err = parseEscape(f.escape); err != nil {
		return err
	}
	if f.timeout < 0 || f.idleTimeout < 0 {
		return usagef("for example: --timeout 2h", "a time-out is in the past")
	}
	if f.watch != "" {
		if len(argv) > 0 || f.record {
			return usagef(usageShell, "--watch starts nothing, and takes no command")
		}
		return s.watch(cmd.Context(), f.watch)
	}
	s.options = client.TerminalOptions{Cmd: argv, Cwd: f.cwd, Timeout: f.timeout, IdleTimeout: f.idleTimeout, Record: f.record}
	s.options.Env = a.terminalEnv()
	for _, assignment := range f.env {
		if err := a.setEnv(s.options.Env, "--env", assignment); err != nil {
			return err
		}
	}
	return s.run(cmd.Context())
}

// splitShellArgs splits what follows shell's first flags into the workspace and the argv.
func splitShellArgs(cmd *cobra.Command, args []string) (workspace string, argv []string, err error) {
	if len(args) == 0 || args[0] == "" || cmd.ArgsLenAtDash() == 0 {
		return "", nil, usagef(usageShell, "the workspace is missing")
	}
	argv, err = parseMoreFlags(cmd, args[1:])
	return args[0], argv, err
}

// execTerminal is exec with -t: a shell with a command.
func (a *app) execTerminal(ctx context.Context, workspace string, argv []string, f *execFlags) error {
	const hint = "leave out -t, or use shell"
	switch {
	case f.stdin != "":
		return usagef(hint, "-t takes its stdin from here, and not --stdin")
	case f.key != "":
		return usagef(hint, "a terminal has no --idempotency-key")
	case a.asJSON():
		return usagef(hint, "a terminal has no --json")
	}
	s := &shell{app: a, workspace: workspace, escape: escapeDefault[0]}
	s.options = client.TerminalOptions{Cmd: argv, Cwd: f.cwd, Timeout: f.timeout, Env: a.terminalEnv()}
	env, err := a.execEnv(f)
	if err != nil {
		return err
	}
	for name, value := range env {
		s.options.Env[name] = value
	}
	return s.run(ctx)
}

// terminalEnv holds what programs need to know of the terminal here, and of its user's
// language.
func (a *app) terminalEnv() map[string]string {
	env := map[string]string{}
	for _, name := range strings.Fields(`TERM COLORTERM LANG LC_ALL LC_ADDRESS LC_COLLATE LC_CTYPE LC_IDENTIFICATION
		LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME`) {
		if value := a.env(name); value != "" {
			env[name] = value
		}
	}
	return env
}

// parseEscape reads --escape; 0 is none.
func parseEscape(text string) (byte, error) {
	if text == escapeNone {
		return 0, nil
	}
	if len(text) != 1 || text[0] < ' ' || text[0] > '~' {
		return 0, usagef("for example: --escape '%', or --escape none", "--escape %q is not one character of ASCII", text)
	}
	return text[0], nil
}

// withShellHint is err, with the advice that is shell's alone.
func withShellHint(err error) error {
	switch sallyport.CodeOf(err) {
	case sallyport.CodeTakenOver:
		return &hintedError{err, "another client has taken the terminal up; it goes on there"}
	case sallyport.CodeTerminalNotFound:
		return &hintedError{err, "it has ended, or was lost for too long; sallyport activity tells more"}
	}
	return err
}
