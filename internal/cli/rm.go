package cli

import (
	"context"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

func (a *app) newRm() *cobra.Command {
	return &cobra.Command{
		Use:   "rm WORKSPACE EXEC...",
		Short: "End detached execs, and remove their output",
		Long: `Ends execs that exec --detach has started, if they run, as a time-out does: TERM, and KILL
two seconds later, for all that the command has started. Then their output is removed from
their machine. Their rows in the activity log stay. EXEC is an id, or the beginning of one.

kill sends a signal and leaves the output. A file is removed by files rm.`,
		Example: `  sallyport rm build 0198c9a4-9d10`,
		Args:    takesPlaces(2, "WORKSPACE", "EXEC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.rm(cmd.Context(), args[0], args[1:])
		},
		ValidArgsFunction: a.completeExecs(func(r sallyport.Activity) bool { return r.Detached }),
	}
}

func (a *app) rm(ctx context.Context, workspace string, execs []string) error {
	api, err := a.newAPI(false)
	if err != nil {
		return err
	}
	defer api.Close()
	for _, ref := range execs {
		found, id, err := a.findExec(ctx, api.Client, workspace, ref)
		if err != nil {
			return err
		}
		if err := api.DeleteExec(ctx, found, id); err != nil {
			return err
		}
		if err := a.done("%s removed", id); err != nil {
			return err
		}
	}
	return nil
}
