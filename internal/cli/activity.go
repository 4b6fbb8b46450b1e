package cli

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sallyport"
	"sallyport/client"
)

// activityLimit is how many rows are shown to those who don't say.
const activityLimit = 50

// activityFlags are activity's own flags.
type activityFlags struct {
	filter       client.ActivityFilter
	since, until string
	limit        int
	follow       bool
}

func (a *app) newActivity() *cobra.Command {
	var f activityFlags
	cmd := &cobra.Command{
		Use:   "activity",
		Short: "Show what was done, by whom, and how it ended",
		Long: `Shows the activity log, newest first: that of the token's organisation, or with
--workspace of one workspace, or with --all of every organisation (for the admin).

A row of an exec is written before its command starts, and completed when it has
ended. It never holds output, stdin, or the value of a variable.

With --follow the newest rows come first, oldest on top, and then what happens, as
it happens: a line when a row is written and one when it is completed. A connection
that breaks is made again, and nothing is missed. With --output json each is a line
of JSON. Ctrl-C ends it.`,
		Example: `  sallyport activity --workspace build --since 1h
  sallyport activity --status error --type workspace_exec
  sallyport activity --follow --workspace build
  sallyport activity --follow --output json | jq 'select(.exit_code != 0)'
  sallyport activity --since 2026-11-24T08:00:00Z --until 2026-11-24T09:00:00Z --output json
  sallyport activity --all --actor admin-token`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.activity(cmd, f) },
	}
	flags := cmd.Flags()
	a.addOwner(cmd, &f.filter.Owner, "the rows of this `WORKSPACE`, an id or a name")
	flags.BoolVar(&f.filter.Everyone, "all", false, "the rows of every organisation (uses the admin token)")
	flags.StringVar(&f.filter.Type, "type", "", "rows of this `TYPE`, such as workspace_exec")
	flags.StringVar(&f.filter.Status, "status", "", "rows with this `STATUS`, such as error")
	flags.StringVar(&f.filter.Actor, "actor", "", "rows of this `ACTOR`, such as admin-token")
	flags.StringVar(&f.since, "since", "", "rows from this `TIME` on: RFC 3339, or how long ago, such as 1h")
	flags.StringVar(&f.until, "until", "", "rows before this `TIME`: RFC 3339, or how long ago")
	flags.StringVar(&f.filter.Query, "query", "", "rows with this `TEXT` in their summary")
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what happens, until Ctrl-C")
	addLimit(cmd, &f.limit, activityLimit)
	complete(cmd, "type", cobra.FixedCompletions(activityTypes(), cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "status", cobra.FixedCompletions(activityStatuses(), cobra.ShellCompDirectiveNoFileComp))
	for _, name := range []string{"actor", "since", "until", "query"} {
		complete(cmd, name, cobra.NoFileCompletions)
	}
	return cmd
}

func (a *app) activity(cmd *cobra.Command, f activityFlags) error {
	if f.filter.Everyone && (f.filter.Owner.Workspace != "" || a.flags.org != "") {
		return usagef("choose one of them", "--all is every organisation, and --workspace and --org are less")
	}
	if f.follow && (f.filter.Everyone || f.until != "") {
		return usagef("follow one organisation with --org, or one workspace with --workspace",
			"--follow goes neither with --all nor with --until")
	}
	now := time.Now()
	var err error
	if f.filter.Since, err = readTime("since", f.since, now); err != nil {
		return err
	}
	if f.filter.Until, err = readTime("until", f.until, now); err != nil {
		return err
	}
	api, err := a.newAPI(f.filter.Everyone)
	if err != nil {
		return err
	}
	if f.follow {
		return a.followActivity(cmd.Context(), api, f)
	}
	return printList(a, api, cmd, f.limit, activityColumns(), func(p client.Page) (sallyport.List[sallyport.Activity], error) {
		return api.ListActivity(cmd.Context(), f.filter, p)
	})
}

// readTime reads a time, or how long ago it was.
func readTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, usagef("for example: --"+flag+" 2026-11-24T08:00:00Z, or --"+flag+" 1h for an hour ago",
			"--%s %s is neither a time nor how long ago", flag, text)
	}
	return now.Add(-ago), nil
}

func activityColumns() []column[sallyport.Activity] {
	type row = sallyport.Activity
	return []column[row]{
		{"TIME", func(r row) string { return when(r.CreatedAt) }},
		{"TYPE", func(r row) string { return r.Type }},
		{"STATUS", func(r row) string { return r.Status }},
		{"EXIT", func(r row) string { return exitText(r) }},
		{"ACTOR", func(r row) string { return r.Actor }},
		{"SUMMARY", func(r row) string { return r.Summary }},
	}
}

// exitText is how an exec ended: its exit code, the signal, or why it has none.
func exitText(r sallyport.Activity) string {
	switch {
	case r.Signal != "":
		return r.Signal
	case r.ExitCode != nil:
		return strconv.Itoa(*r.ExitCode)
	case r.Code != "":
		return string(r.Code)
	}
	return "-"
}

func activityTypes() []string {
	return []string{
		sallyport.ActivityExec, sallyport.ActivityExecSignal, sallyport.ActivityAccessDenied, sallyport.ActivityTokenCreated, sallyport.ActivityTokenRevoked,
		sallyport.ActivityWorkspaceCreated, sallyport.ActivityWorkspaceUpdated, sallyport.ActivityWorkspaceDeleted,
		sallyport.ActivityOrgCreated, sallyport.ActivityOrgUpdated, sallyport.ActivityOrgDeleted,
		sallyport.ActivityHostKeyPinned, sallyport.ActivityHostKeyMismatch, sallyport.ActivityCARotated,
	}
}

func activityStatuses() []string {
	return []string{
		sallyport.StatusRunning, sallyport.StatusOK, sallyport.StatusError, sallyport.StatusTimeout,
		sallyport.StatusCanceled, sallyport.StatusInterrupted, sallyport.StatusDenied,
	}
}
