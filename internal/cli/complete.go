package cli

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sallyport/client"
	"sallyport/client/sallyport"
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

// withoutBackquotes takes the backquotes that name a flag's value out of what is said of
// flags: help reads them, and a shell that completes would show them.
func withoutBackquotes(cmd *cobra.Command) {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	cmd.Flags().VisitAll(plain)
	cmd.PersistentFlags().VisitAll(plain)
	for _, below := range cmd.Commands() {
		withoutBackquotes(below)
	}
}

// isCompleting tells whether a shell asks for completions.
func (a *app) isCompleting() bool {
	return len(a.Args) > 0 && (a.Args[0] == cobra.ShellCompRequestCmd || a.Args[0] == cobra.ShellCompNoDescRequestCmd)
}

// completeFrom asks the server, for a moment, for the completions that offer yields.
// Where it can't be asked, there are none.
func (a *app) completeFrom(cmd *cobra.Command, asAdmin bool, offer func(context.Context, *client.Client, func(word, about string))) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	a.Stderr = io.Discard // a warning would land in the line that is being typed
	c, err := a.newClient(asAdmin)
	if err != nil {
		return nil, directive
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	defer cancel()
	var words []string
	offer(ctx, c, func(word, about string) {
		// The shell takes these as they are, and only a server that is none of
		// ours has others.
		switch {
		case visible(word) != word, word == "":
		case about == "":
			words = append(words, word)
		default:
			words = append(words, cobra.CompletionWithDesc(word, visible(about)))
		}
	})
	return words, directive
}

// completeWorkspaces offers the names of the workspaces that the token may see, or the
// ids to those who have begun one.
func (a *app) completeWorkspaces(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return a.completeFrom(cmd, false, func(ctx context.Context, c *client.Client, add func(string, string)) {
		for ws, err := range c.AllWorkspaces(ctx) {
			if err != nil {
				return
			}
			add(ws.Name, "tier "+strconv.Itoa(ws.Tier))
			if isIDPrefix(toComplete) {
				add(ws.ID, ws.Name)
			}
		}
	})
}

// completeOrgs offers the names of the organisations to the admin, and nothing to
// others.
func (a *app) completeOrgs(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return a.completeFrom(cmd, true, func(ctx context.Context, c *client.Client, add func(string, string)) {
		for org, err := range c.AllOrgs(ctx) {
			if err != nil {
				return
			}
			add(org.Name, "")
			if isIDPrefix(toComplete) {
				add(org.ID, org.Name)
			}
		}
	})
}

// completeTokens offers the names and prefixes of an owner's tokens, or the ids to those
// who have begun one.
func (a *app) completeTokens(owner *client.Owner) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		return a.completeFrom(cmd, false, func(ctx context.Context, c *client.Client, add func(string, string)) {
			for t, err := range c.AllTokens(ctx, *owner) {
				if err != nil {
					return
				}
				add(t.Prefix, t.Name)
				add(t.Name, t.Prefix)
				if isIDPrefix(toComplete) {
					add(t.ID, t.Name)
				}
			}
		})
	}
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

// completeWorkspaceThenFiles completes a workspace, and behind it files, as a program's
// arguments may be.
func (a *app) completeWorkspaceThenFiles(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.completeWorkspaces(cmd, args, toComplete)
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
