package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// defaultSignal is what kill sends.
const defaultSignal = "TERM"

func (a *app) newKill() *cobra.Command {
	var signal string
	cmd := &cobra.Command{
		Use:   "kill WORKSPACE ID...",
		Short: "Send a signal to a running exec, or end a terminal or a forward",
		Long: `Sends a signal to the process group of an exec's command: TERM, unless --signal names
another. A terminal or a forward takes no signals here, and is ended: a terminal with all
that it started, a forward so that both of its ends see a connection that was reset. ID is
one as ps shows it, or the beginning of one. The one who began it gets its end, and so does
its row in the activity log; the kill leaves a row of its own.`,
		Example: `  sallyport kill build 0198c9a4-9d10-7c3d-8e5f-6a7b8c9d0e1f
  sallyport kill --signal KILL build 0198c9a4-9d10-7c3d`,
		Args: takesPlaces(2, "WORKSPACE", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k := &killing{app: a, signal: strings.TrimPrefix(strings.ToUpper(signal), "SIG"), named: cmd.Flags().Changed("signal")}
			return k.run(cmd.Context(), args[0], args[1:])
		},
		ValidArgsFunction: a.completeRunning,
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", defaultSignal, "the `SIGNAL` for an exec: "+strings.Join(sallyport.Signals(), ", "))
	complete(cmd, "signal", cobra.FixedCompletions(sallyport.Signals(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// killing is one call of kill.
type killing struct {
	*app
	signal string
	named  bool // a flag names the signal
	api    *api
	// workspace is as the server knows it.
	workspace string
	kinds     []runningKind
}

func (k *killing) run(ctx context.Context, workspace string, refs []string) (err error) {
	if k.api, err = k.newAPI(false); err != nil {
		return err
	}
	if k.workspace, err = k.workspaceRef(ctx, k.api.Client, workspace); err != nil {
		return err
	}
	if k.kinds, err = kindsFor(ctx, k.api.Client); err != nil {
		return err
	}
	for _, ref := range refs {
		id, err := k.find(ctx, ref)
		if err != nil {
			return err
		}
		if err := k.end(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// find returns the id of what runs: ref itself, or what it is a unique prefix of.
func (k *killing) find(ctx context.Context, ref string) (string, error) {
	if !isIDPrefix(ref) {
		return ref, nil
	}
	return uniqueRef("act that runs", ref, ofWorkspace(ctx, k.api.Client, k.kinds, k.workspace, sallyport.StatusRunning),
		func(r sallyport.Activity) bool { return strings.HasPrefix(r.ID, ref) }, func(r sallyport.Activity) string { return r.ID })
}

// end ends what has the id, of whichever kind that is. Where it is of none, the error is that
// of the first.
func (k *killing) end(ctx context.Context, id string) error {
	var first error
	for _, kind := range k.kinds {
		err := k.endAs(ctx, kind, id)
		if sallyport.CodeOf(err) != sallyport.CodeNotFound {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (k *killing) endAs(ctx context.Context, kind runningKind, id string) error {
	if kind.end == nil {
		if err := k.api.SignalExec(ctx, k.workspace, id, k.signal); err != nil {
			return err
		}
		return k.done("%s sent to %s", k.signal, id)
	}
	if k.named {
		row, err := kind.get(k.api.Client, ctx, k.workspace, id)
		if err != nil {
			return err
		}
		return usagef("leave --signal out: kill ends it", "%s is a %s, which has no signals", row.ID, kind.name)
	}
	if err := kind.end(k.api.Client, ctx, k.workspace, id); err != nil {
		return err
	}
	return k.done("%s ended", id)
}

// completeRunning completes a workspace, and then what runs there.
func (a *app) completeRunning(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeWorkspaces(cmd, args, toComplete)
	}
	return a.completeFrom(cmd, false, func(ctx context.Context, c *client.Client, add func(string, string)) {
		kinds, err := kindsFor(ctx, c)
		if err != nil {
			return
		}
		for r, err := range ofWorkspace(ctx, c, kinds, args[0], sallyport.StatusRunning) {
			if err != nil {
				return
			}
			add(r.ID, r.Summary)
		}
	})
}
