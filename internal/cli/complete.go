package cli

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sallyport"
)

// addCompletion adds cobra's completion command, held to our ways with mistakes.
// It comes after SetOut: its scripts go to what is stdout then.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Args, c.RunE = cobra.ArbitraryArgs, showHelp
		c.Example = "  source <(sallyport completion bash)"
		for _, shell := range c.Commands() {
			shell.Args = takes()
		}
	}
}

// completeNoFiles keeps the shell from offering files for the arguments of commands
// that take none: cmd and all below it that don't say what completes them.
func completeNoFiles(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, below := range cmd.Commands() {
		completeNoFiles(below)
	}
}

// completeFile has the shell complete the first argument with its files.
func completeFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// completeTime is how long someone who pressed Tab waits for the server.
const completeTime = 2 * time.Second

// complete sets what completes the value of a flag. The flag is there: it was
// added a moment ago, and only then can this fail.
func complete(cmd *cobra.Command, flag string, with cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, with)
}

// completeWorkspaces offers the names of the workspaces that the token may see.
// Where the server can't be asked, it offers nothing.
func (a *app) completeWorkspaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	a.Stderr = io.Discard // a warning would land in the line that is being typed
	c, err := a.newClient(false)
	if err != nil {
		return nil, directive
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	defer cancel()
	var names []string
	for ws, err := range c.AllWorkspaces(ctx) {
		if err != nil {
			break
		}
		// The shell takes these as they are, and only a server that is none of
		// ours has others.
		if visible(ws.Name) == ws.Name {
			names = append(names, cobra.CompletionWithDesc(ws.Name, "tier "+strconv.Itoa(ws.Tier)))
		}
	}
	return names, directive
}

// completeOrgs offers the names of the organisations to the admin, and nothing to
// others.
func (a *app) completeOrgs(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	a.Stderr = io.Discard
	c, err := a.newClient(true)
	if err != nil {
		return nil, directive
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	defer cancel()
	var names []string
	for org, err := range c.AllOrgs(ctx) {
		if err != nil {
			break
		}
		if visible(org.Name) == org.Name {
			names = append(names, org.Name)
		}
	}
	return names, directive
}

// completeFirst completes the first argument alone.
func completeFirst(with cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return with(cmd, args, toComplete)
	}
}

func (a *app) completeProfiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	a.Stderr = io.Discard
	stored, err := a.readProfiles()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(stored.Profiles)), cobra.ShellCompDirectiveNoFileComp
}

func completeScopes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, s := range sallyport.AllScopes() {
		names = append(names, string(s))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeTiers(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"1\tsandboxed", "2\tstandard", "3\tprivileged", "4\tfull host access"}, cobra.ShellCompDirectiveNoFileComp
}
