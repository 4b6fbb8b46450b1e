package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport"
	"sallyport/client"
)

func (a *app) newPs() *cobra.Command {
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use:   "ps WORKSPACE",
		Short: "List what runs on a workspace",
		Long: `Lists the execs that run on a workspace, newest first; with --all those that have ended
too. sallyport kill ends one.`,
		Example: `  sallyport ps build
  sallyport ps build --all --limit 20`,
		Args: takes("WORKSPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			status := sallyport.StatusRunning
			if all {
				status = ""
			}
			return printList(a, api, cmd, limit, execColumns(), func(p client.Page) (sallyport.List[sallyport.Activity], error) {
				return api.ListExecs(cmd.Context(), args[0], status, p)
			})
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "show those that have ended, too")
	addLimit(cmd, &limit, 0)
	return cmd
}

func execColumns() []column[sallyport.Activity] {
	type row = sallyport.Activity
	return []column[row]{
		{"EXEC", func(r row) string { return r.ID }},
		{"STARTED", func(r row) string { return when(r.CreatedAt) }},
		{"TOOK", func(r row) string { return execTook(r) }},
		{"STATUS", func(r row) string { return r.Status }},
		{"EXIT", func(r row) string { return exitText(r) }},
		{"ACTOR", func(r row) string { return r.Actor }},
		{"COMMAND", func(r row) string { return r.Summary }},
	}
}

// execTook is how long a command took, or takes so far by this machine's clock.
func execTook(r sallyport.Activity) string {
	switch {
	case r.DurationMS != nil:
		return (time.Duration(*r.DurationMS) * time.Millisecond).String()
	case r.Status == sallyport.StatusRunning:
		return time.Since(r.CreatedAt).Round(time.Second).String()
	}
	return "-"
}

func (a *app) newKill() *cobra.Command {
	var signal string
	cmd := &cobra.Command{
		Use:   "kill WORKSPACE EXEC...",
		Short: "Send a signal to a running exec",
		Long: `Sends a signal to the process group of an exec's command: TERM, unless --signal says
another. How the command ends is told to its caller, and in its row of the activity
log; the signal leaves a row of its own.`,
		Example: `  sallyport kill build 0198c9a4-9d10-7c3d-8e5f-6a7b8c9d0e1f
  sallyport kill --signal KILL build 0198c9a4-9d10-7c3d-8e5f-6a7b8c9d0e1f`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return takes("WORKSPACE", "EXEC")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(strings.ToUpper(signal), "SIG")
			for _, execID := range args[1:] {
				if err := api.SignalExec(cmd.Context(), args[0], execID, name); err != nil {
					return err
				}
				if err := a.done("%s sent to %s", name, execID); err != nil {
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: a.completeExecs,
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", "TERM", "the `SIGNAL`: "+strings.Join(sallyport.Signals(), ", "))
	complete(cmd, "signal", cobra.FixedCompletions(sallyport.Signals(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// completeExecs completes a workspace, and then what runs there.
func (a *app) completeExecs(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeFirst(a.completeWorkspaces)(cmd, args, toComplete)
	}
	api, err := a.newAPI(false)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	running, err := api.ListExecs(cmd.Context(), args[0], sallyport.StatusRunning, client.Page{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []cobra.Completion
	for _, r := range running.Items {
		ids = append(ids, cobra.CompletionWithDesc(r.ID, r.Summary))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
