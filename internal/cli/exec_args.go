package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageDashes is what to do about a command line that exec can't split.
const usageDashes = "put -- before the command: sallyport exec [flags] WORKSPACE -- COMMAND [ARG...]"

// splitExecArgs splits what follows exec's first flags into the workspace and the
// argv. Flags may follow the workspace too, up to "--". Without "--" a command
// may follow that has nothing like a flag: of any other it can't be known
// whose flag it is.
func splitExecArgs(cmd *cobra.Command, args []string) (workspace string, argv []string, err error) {
	switch {
	case len(args) == 0:
		return "", nil, usagef(usageDashes, "the workspace is missing")
	case cmd.ArgsLenAtDash() == 0:
		return "", nil, usagef(usageDashes, "the workspace is missing before --")
	}
	workspace, rest := args[0], args[1:]
	dashes := slices.Index(rest, "--")
	switch {
	case len(rest) > 0 && (rest[0] == "--help" || rest[0] == "-h"):
		return "", nil, pflag.ErrHelp // which cobra answers with the help text
	case dashes < 0 && slices.ContainsFunc(rest, isLikeFlag):
		return "", nil, usagef(usageDashes, "it is not clear whose flags these are: %s", strings.Join(rest, " "))
	case dashes < 0:
		argv = rest
	default:
		if err := parseMoreFlags(cmd, rest[:dashes]); err != nil {
			return "", nil, err
		}
		argv = rest[dashes+1:]
	}
	if len(argv) == 0 {
		return "", nil, usagef(usageDashes, "the command is missing")
	}
	return workspace, argv, nil
}

// parseMoreFlags takes the flags between the workspace and "--".
func parseMoreFlags(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if err := cmd.ParseFlags(args); err != nil {
		return flagError(cmd, err)
	}
	if left := cmd.Flags().Args(); len(left) > 0 {
		return usagef(usageDashes, "there is %q between the workspace and --", left[0])
	}
	return nil
}

// isLikeFlag: "-" alone is a file name to many programs.
func isLikeFlag(arg string) bool { return len(arg) > 1 && arg[0] == '-' }
