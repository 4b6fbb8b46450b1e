package cli

import (
	"context"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// findExec returns what the server knows a workspace and one of its execs by; an exec may be
// named by the beginning of its id, whether it runs or has ended.
func (a *app) findExec(ctx context.Context, c *client.Client, workspace, exec string) (workspaceRef, execID string, err error) {
	if workspaceRef, err = a.workspaceRef(ctx, c, workspace); err != nil || !isIDPrefix(exec) {
		return workspaceRef, exec, err
	}
	quiet := *c
	quiet.OnAnswer = nil
	rows := upTo(exec, quiet.AllExecs(ctx, workspaceRef, ""))
	execID, err = uniqueRef("exec", exec, rows,
		func(r sallyport.Activity) bool { return strings.HasPrefix(r.ID, exec) }, func(r sallyport.Activity) string { return r.ID })
	return workspaceRef, execID, err
}

// upTo yields rows, newest first, as long as their ids, which begin with the time, can begin
// with prefix.
func upTo(prefix string, rows iter.Seq2[sallyport.Activity, error]) iter.Seq2[sallyport.Activity, error] {
	return func(yield func(sallyport.Activity, error) bool) {
		for row, err := range rows {
			if err == nil && row.ID < prefix || !yield(row, err) {
				return
			}
		}
	}
}

// completeExecs completes a workspace, and then those of its newest execs that are wanted.
func (a *app) completeExecs(isWanted func(sallyport.Activity) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return a.completeWorkspaces(cmd, args, toComplete)
		}
		return a.completeFrom(cmd, false, func(ctx context.Context, c *client.Client, add func(string, string)) {
			list, err := c.ListExecs(ctx, args[0], "", client.Page{Limit: completeExecsMax})
			if err != nil {
				return
			}
			for _, row := range list.Items {
				if isWanted(row) {
					add(row.ID, row.Summary)
				}
			}
		})
	}
}

// completeExecsMax is among how many of the newest execs is looked.
const completeExecsMax = 200
