package cli

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// activityLimit is how many rows are shown without --limit.
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
--workspace of one workspace, or with --all of every organisation (admin).

A row of an exec is written before its command starts, and completed when it has
ended. It never holds output, stdin, or the value of a variable.

With --follow the newest rows are printed, oldest on top, and then every event as it
happens: a line when a row is written, and one, with the time of its end, when it is
completed. A connection that breaks is made again, and no event is missed. With
--output json each event is a line of JSON. Ctrl-C ends it.`,
		Example: `  sallyport activity --workspace build --since 1h
  sallyport activity --status error --type workspace_exec --since 7d
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
	flags.StringVar(&f.since, "since", "", "rows from this `TIME` on: RFC 3339, or how long ago, such as 1h or 7d")
	flags.StringVar(&f.until, "until", "", "rows before this `TIME`: RFC 3339, or how long ago")
	flags.StringVar(&f.filter.Query, "query", "", "rows with this `TEXT` in their summary")
	flags.BoolVarP(&f.follow, "follow", "f", false, "print events as they happen, until Ctrl-C")
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
	if err := a.ownerRef(cmd.Context(), api.Client, &f.filter.Owner); err != nil {
		return err
	}
	if f.follow {
		return a.followActivity(cmd.Context(), api, f)
	}
	return printList(a, api, cmd, f.limit, activityColumns(a.newNames(cmd.Context(), api), f.filter.Everyone), func(p client.Page) (sallyport.List[sallyport.Activity], error) {
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
	ago, err := parseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, usagef("for example: --"+flag+" 2026-11-24T08:00:00Z, or --"+flag+" 7d for a week ago",
			"--%s %s is neither a time nor how long ago", flag, text)
	}
	return now.Add(-ago), nil
}

// summaryText is a row's summary, and how often what it tells of happened, where the row
// stands for more than once.
func summaryText(r sallyport.Activity) string {
	if r.Count == 0 || r.Until == nil {
		return r.Summary
	}
	return fmt.Sprintf("%s (%d times until %s)", r.Summary, r.Count, when(*r.Until))
}

// activityColumns have one for the organisation where there may be several.
func activityColumns(names *names, withOrg bool) []column[sallyport.Activity] {
	type row = sallyport.Activity
	columns := []column[row]{
		{"TIME", func(r row) string { return when(r.CreatedAt) }},
		{"WORKSPACE", func(r row) string { return names.workspace(r.WorkspaceID) }},
		{"TYPE", func(r row) string { return r.Type }},
		{stateHeader, func(r row) string { return r.Status }},
		{"EXIT", func(r row) string { return exitText(r) }},
		{"ACTOR", func(r row) string { return r.Actor }},
		{"SUMMARY", summaryText},
	}
	if withOrg {
		columns = slices.Insert(columns, 1, column[row]{"ORG", func(r row) string { return names.org(r.OrgID) }})
	}
	return columns
}

// eventColumns are those of a row as it was when it was written, or completed.
func eventColumns(names *names) []column[sallyport.Activity] {
	type row = sallyport.Activity
	columns := activityColumns(names, false)
	columns[0].cell = func(r row) string {
		if r.CompletedAt != nil {
			return when(*r.CompletedAt)
		}
		return when(r.CreatedAt)
	}
	took := column[row]{"TOOK", func(r row) string {
		if r.DurationMS == nil {
			return "-"
		}
		return execTook(r)
	}}
	return slices.Insert(columns, len(columns)-2, took)
}

// exitText is how an exec ended: its exit code, the signal, or why it has none.
func exitText(r sallyport.Activity) string {
	switch {
	case r.Signal != "":
		return r.Signal
	case r.ExitCode != nil:
		return strconv.Itoa(*r.ExitCode)
	case r.Code != "" && r.Status != sallyport.StatusTimeout: // which says as much
		return string(r.Code)
	}
	return "-"
}

func activityTypes() []string {
	return []string{
		sallyport.ActivityExec, sallyport.ActivityExecSignal, sallyport.ActivityFile,
		sallyport.ActivityForward, sallyport.ActivityForwardKilled, sallyport.ActivityAccessDenied, sallyport.ActivityTokenCreated, sallyport.ActivityTokenRevoked,
		sallyport.ActivityWorkspaceCreated, sallyport.ActivityWorkspaceUpdated, sallyport.ActivityWorkspaceDeleted,
		sallyport.ActivityWorkspaceDiagnosed,
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
