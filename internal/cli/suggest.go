package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	return nearest(name, names)
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
	if near := nearest(name, names); near != "" {
		see = "did you mean " + cmd.CommandPath() + " " + near + "? " + see
	}
	return usagef(see, "unknown command %q for %q", name, cmd.CommandPath())
}

// nearest returns the candidate that name was most likely meant to be, or "".
func nearest(name string, candidates []string) string {
	near, best := "", 1+max(2, len(name)/3)
	for _, c := range candidates {
		d := distance(strings.ToLower(name), c)
		if len(name) > 1 && strings.HasPrefix(c, strings.ToLower(name)) {
			d = 1
		}
		// Two words with nothing in common are as far apart as they are long.
		if d < best && d < max(len(name), len(c)) {
			near, best = c, d
		}
	}
	return near
}

// distance is how many letters must be put in, left out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
