package cli

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageExec shows the form of an exec.
const usageExec = "the form is: sallyport exec [flags] WORKSPACE [flags] [--] COMMAND [ARG...]"

// splitExecArgs splits what follows exec's first flags into the workspace and the
// argv. Flags of exec may follow the workspace too. The first word behind it that is
// no flag begins the command, with or without "--" before it: from there on every
// word is the command's.
func splitExecArgs(cmd *cobra.Command, args []string) (workspace string, argv []string, err error) {
	switch {
	case len(args) == 0, args[0] == "":
		return "", nil, usagef(usageExec, "the workspace is missing")
	case cmd.ArgsLenAtDash() == 0:
		return "", nil, usagef(usageExec, "the workspace is missing before --")
	}
	workspace = args[0]
	if argv, err = parseMoreFlags(cmd, args[1:]); err != nil {
		return "", nil, err
	}
	if len(argv) == 0 {
		return "", nil, usagef(usageExec, "the command is missing")
	}
	return workspace, argv, nil
}

// parseMoreFlags takes the flags behind the workspace, and returns what follows them.
func parseMoreFlags(cmd *cobra.Command, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil // to pflag, no arguments are those of before
	}
	if err := cmd.ParseFlags(args); err != nil {
		return nil, flagError(cmd, err)
	}
	if help, _ := cmd.Flags().GetBool("help"); help {
		return nil, pflag.ErrHelp // which cobra answers with the help text
	}
	return slices.Clone(cmd.Flags().Args()), nil
}

// dockerFlags are those of docker exec that an exec of ours has no counterpart of.
type dockerFlags struct {
	user string
}

func (d *dockerFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&d.user, "user", "u", "", "")
	_ = flags.MarkHidden("user") // it is there
}

// refuse says what there is instead of the flags that were given.
func (d *dockerFlags) refuse(cmd *cobra.Command) error {
	if cmd.Flags().Changed("user") {
		return usagef("", "-u: a command runs as its workspace's login user; sudo can change that: sallyport exec WORKSPACE sudo -n -u USER COMMAND")
	}
	return nil
}
