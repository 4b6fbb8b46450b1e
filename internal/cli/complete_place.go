package cli

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// completeRemote completes WORKSPACE:, and behind the colon paths there.
func (a *app) completeRemote(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if strings.Contains(toComplete, ":") {
		return a.completePaths(cmd, toComplete)
	}
	words, directive := a.completeFrom(cmd, false, func(ctx context.Context, c *client.Client, add func(string, string)) {
		for ws, err := range c.AllWorkspaces(ctx) {
			if err != nil {
				return
			}
			add(ws.Name+":", "tier "+strconv.Itoa(ws.Tier))
		}
	})
	return words, directive | cobra.ShellCompDirectiveNoSpace
}

// completePlace completes what cp takes: WORKSPACE:PATH, and files of this machine.
func (a *app) completePlace(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if strings.HasPrefix(toComplete, "-") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	p, err := parsePlace(toComplete)
	if err == nil && p.workspace == "" && strings.ContainsAny(toComplete, "/~") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	words, directive := a.completeRemote(cmd, args, toComplete)
	if !strings.Contains(toComplete, ":") {
		words = append(words, localNames(toComplete)...)
	}
	return words, directive
}

// localNames are the files here that begin with prefix.
func localNames(prefix string) []string {
	var names []string
	entries, _ := os.ReadDir(".") // without it there are none
	for _, e := range entries {
		name := e.Name()
		switch {
		case !strings.HasPrefix(name, prefix), visible(name) != name, prefix == "" && name[0] == '.', strings.Contains(name, ":"):
		case e.IsDir():
			names = append(names, name+string(filepath.Separator))
		default:
			names = append(names, name)
		}
	}
	return names
}

// completePaths lists the directory in which a path is being typed.
func (a *app) completePaths(cmd *cobra.Command, toComplete string) ([]string, cobra.ShellCompDirective) {
	workspace, typed, _ := strings.Cut(toComplete, ":")
	dir, prefix := splitPath(typed)
	p, err := parseRemote(toComplete, workspace, dir)
	if err != nil || workspace == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	what := client.ListFiles{}
	if prefix != "" {
		what.Glob = globOf(prefix) + "*"
	}
	hasDirs := false
	words, directive := a.completeFrom(cmd, false, func(ctx context.Context, c *client.Client, add func(string, string)) {
		list, _ := c.Files(workspace).List(ctx, p.path, what, client.Page{Limit: limits.PageMax}) // without it there are none
		for _, e := range list.Items {
			name, err := e.RawName()
			if err != nil || !strings.HasPrefix(name, prefix) || prefix == "" && strings.HasPrefix(name, ".") {
				continue
			}
			word := workspace + ":" + joinPath(dir, name)
			if e.Type == sallyport.FileTypeDir {
				word += "/"
				hasDirs = true
			}
			add(word, "")
		}
	})
	if hasDirs {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return words, directive
}
