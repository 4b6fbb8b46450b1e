package cli

import (
	"context"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

// waitName is the command's name.
const waitName = "wait"

func (a *app) newWait() *cobra.Command {
	return &cobra.Command{
		Use:   waitName + " WORKSPACE EXEC",
		Short: "Wait for an exec to end, with its exit code",
		Long: `Waits until an exec has ended, one that exec --detach has started or another, and prints
nothing. The exit code is the command's, as that of exec is: 124 where its time-out ended it,
125 where it has none, or isn't known. EXEC is an id, or the beginning of one.

Ctrl-C leaves the command alone.`,
		Example: `  sallyport wait build 0198c9a4-9d10 && echo it went well`,
		Args:    takes("WORKSPACE", "EXEC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.wait(cmd.Context(), args[0], args[1])
		},
		ValidArgsFunction: a.completeExecs(func(r sallyport.Activity) bool { return r.Status == sallyport.StatusRunning }),
	}
}

func (a *app) wait(ctx context.Context, workspace, exec string) error {
	c, err := a.newClient(false)
	if err != nil {
		return err
	}
	defer c.Close()
	workspace, exec, err = a.findExec(ctx, c, workspace, exec)
	if err != nil {
		return err
	}
	row, err := c.WaitExec(ctx, workspace, exec)
	if err != nil {
		return err
	}
	return a.endOf(workspace, row)
}
