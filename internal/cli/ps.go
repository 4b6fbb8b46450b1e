package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func (a *app) newPs() *cobra.Command {
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use:   "ps [WORKSPACE]",
		Short: "List what runs on a workspace, or in the whole organisation",
		Long: `Lists the execs that run on a workspace, or without WORKSPACE on all that the token may
see, newest first; with --all those that have ended, too. sallyport kill ends one.

The whole organisation's are read from the activity log, which takes the scope
audit:read; without it the workspaces are asked one by one.`,
		Example: `  sallyport ps
  sallyport ps build
  sallyport ps build --all --limit 20`,
		Args: atMostOne("WORKSPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			status := sallyport.StatusRunning
			if all {
				status = ""
			}
			if len(args) == 0 {
				return a.psOrg(cmd, api, status, limit)
			}
			workspace, err := a.workspaceRef(cmd.Context(), api.Client, args[0])
			if err != nil {
				return err
			}
			return printList(a, api, cmd, limit, execColumns(nil, all), func(p client.Page) (sallyport.List[sallyport.Activity], error) {
				return api.ListExecs(cmd.Context(), workspace, status, p)
			})
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "show those that have ended, too")
	addLimit(cmd, &limit, 0)
	return cmd
}

// psOrg lists the execs of all workspaces that the token may see.
func (a *app) psOrg(cmd *cobra.Command, api *api, status string, limit int) error {
	ctx, columns := cmd.Context(), execColumns(a.newNames(cmd.Context(), api), status == "")
	filter := client.ActivityFilter{Type: sallyport.ActivityExec, Status: status}
	_, err := api.ListActivity(ctx, filter, client.Page{Limit: 1})
	if sallyport.CodeOf(err) != sallyport.CodeScopeForbidden {
		return printList(a, api, cmd, limit, columns, func(p client.Page) (sallyport.List[sallyport.Activity], error) {
			return api.ListActivity(ctx, filter, p)
		})
	}
	rows := []sallyport.Activity{}
	for ws, err := range api.AllWorkspaces(ctx) {
		if err != nil {
			return err
		}
		for row, err := range api.AllExecs(ctx, ws.ID, status) {
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(x, y sallyport.Activity) int { return strings.Compare(y.ID, x.ID) }) // ids begin with the time
	if limit > 0 {
		rows = rows[:min(limit, len(rows))]
	}
	if a.asJSON() {
		return marshalJSON(a.out, map[string]any{"items": rows})
	}
	return printRows(a, a.out, columns, rows, true)
}

// execColumns have a column for the workspace where names are given, and those for the end
// where some may have ended.
func execColumns(names *names, withEnd bool) []column[sallyport.Activity] {
	type row = sallyport.Activity
	columns := []column[row]{
		{"EXEC", func(r row) string { return r.ID }},
		{"STARTED", func(r row) string { return when(r.CreatedAt) }},
		{"TOOK", func(r row) string { return execTook(r) }},
		{"ACTOR", func(r row) string { return r.Actor }},
		{"COMMAND", func(r row) string { return r.Summary }},
	}
	if withEnd {
		columns = slices.Insert(columns, 3,
			column[row]{stateHeader, func(r row) string { return r.Status }},
			column[row]{"EXIT", func(r row) string { return exitText(r) }})
	}
	if names == nil {
		return columns
	}
	return slices.Insert(columns, 1, column[row]{"WORKSPACE", func(r row) string { return names.workspace(r.WorkspaceID) }})
}

// execTook is how long a command took, or takes so far by this machine's clock.
func execTook(r sallyport.Activity) string {
	switch {
	case r.DurationMS != nil:
		took := time.Duration(*r.DurationMS) * time.Millisecond
		if took > 10*time.Second {
			took = took.Round(100 * time.Millisecond)
		}
		return took.String()
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
		Long: `Sends a signal to the process group of an exec's command: TERM, unless --signal names
another. EXEC is an id as ps shows it, or the beginning of one. The exec's own caller
gets the command's end, and so does its row in the activity log; the signal leaves a
row of its own.`,
		Example: `  sallyport kill build 0198c9a4-9d10-7c3d-8e5f-6a7b8c9d0e1f
  sallyport kill --signal KILL build 0198c9a4-9d10-7c3d`,
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
			workspace, err := a.workspaceRef(cmd.Context(), api.Client, args[0])
			if err != nil {
				return err
			}
			for _, ref := range args[1:] {
				execID, err := execRef(cmd.Context(), api.Client, workspace, ref)
				if err != nil {
					return err
				}
				if err := api.SignalExec(cmd.Context(), workspace, execID, name); err != nil {
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
