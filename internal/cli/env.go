package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// shells in which env can write.
const (
	shellPOSIX = "sh"
	shellFish  = "fish"
)

func (a *app) newEnv() *cobra.Command {
	shell := shellPOSIX
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print a profile as variables of a shell",
		Long: `Prints the lines that set SALLYPORT_URL and SALLYPORT_TOKEN in a shell, for curl and for
programs that read them, from a profile. They hold the token: give them to a shell, and
not to a screen or a file.

The profile is that of --profile or SALLYPORT_PROFILE, or else the current one.
While both variables are set, they go before every profile.

SALLYPORT_CA_CERT is set, too, where login kept certificates of a CA of your own: in
PEM, or the name of a file of them.`,
		Example: `  eval "$(sallyport env)"                      # sh, bash, zsh
  sallyport env --shell fish | source          # fish
  eval "$(sallyport env --profile staging --admin)"`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			acc, err := a.profileAccount(a.flags.admin)
			if err != nil {
				return err
			}
			return a.printEnv(shell, acc)
		},
	}
	cmd.Flags().Var(&choice{&shell, []string{shellPOSIX, shellFish}}, "shell", "write for this `SHELL`: sh (and bash, zsh, ksh), or fish")
	complete(cmd, "shell", cobra.FixedCompletions([]string{shellPOSIX, shellFish}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) printEnv(shell string, acc account) error {
	values := [][2]string{{envURL, acc.url}, {envToken, acc.token}}
	if acc.caCert != "" {
		values = append(values, [2]string{envCACert, acc.caCert})
	}
	if a.asJSON() {
		object := map[string]string{}
		for _, v := range values {
			object[v[0]] = v[1]
		}
		return marshalJSON(a.out, object)
	}
	for _, v := range values {
		if _, err := fmt.Fprintln(a.out, assign(shell, v[0], v[1])); err != nil {
			return err
		}
	}
	return nil
}

// assign is the line that sets a variable. A value in single quotes is read as it is, but
// for a quote, and in fish a backslash.
func assign(shell, name, value string) string {
	if shell == shellFish {
		return "set -gx " + name + " '" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
	}
	return "export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// choice is the value of a flag that is one of a few words.
type choice struct {
	value *string
	words []string
}

// Set takes a value of the flag.
func (c *choice) Set(s string) error {
	for _, word := range c.words {
		if s == word {
			*c.value = s
			return nil
		}
	}
	return fmt.Errorf("it is one of: %s", strings.Join(c.words, ", "))
}

func (c *choice) String() string { return *c.value }

// Type is what the help text calls the value.
func (c *choice) Type() string { return "WORD" }
