package cli

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sallyport/internal/spelling"
)

// flagError words a mistake in the flags of cmd, and names the flag that was
// meant if there is one like it.
func flagError(cmd *cobra.Command, err error) error {
	see := "see " + cmd.CommandPath() + " --help"
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if near := nearestFlag(cmd, unknown.GetSpecifiedName()); near != "" {
			return usagef("did you mean --"+near+"? "+see, "%s", err)
		}
	}
	return usagef(see, "%s", err)
}

func nearestFlag(cmd *cobra.Command, name string) string {
	var names []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	return spelling.Nearest(name, names)
}

// unknownCommand words a name that is no command of cmd.
func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	see := "see " + cmd.CommandPath() + " --help"
	if instead := insteadOf(name); instead != "" && cmd == cmd.Root() {
		see = instead
	} else if near := spelling.Nearest(name, names); near != "" {
		see = "did you mean " + cmd.CommandPath() + " " + near + "? " + see
	}
	return usagef(see, "unknown command %q for %q", name, cmd.CommandPath())
}

// insteadOf says what there is instead of a command that other programs of this kind
// have; "" for any other name.
func insteadOf(name string) string {
	switch name {
	case "ssh":
		return "sallyport shell WORKSPACE sits at a shell there"
	case "run":
		return "sallyport exec WORKSPACE COMMAND runs a command"
	}
	return ""
}
