package cli

import (
	"cmp"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

func (a *app) newWhoami() *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Show the server and the token in use, and its scopes",
		Long: `Asks the server about the token in use: its actor, as the activity log names it, its
organisation or workspace, and its scopes.`,
		Example: `  sallyport whoami
  sallyport whoami --profile staging --admin
  sallyport whoami --output json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			who, err := api.Session(cmd.Context())
			if err != nil {
				return err
			}
			return show(a, api, whoamiColumns(a.used), who)
		},
	}
}

func whoamiColumns(used account) []column[sallyport.Session] {
	type who = sallyport.Session
	return []column[who]{
		{"SERVER", func(who) string { return used.url }},
		{"PROFILE", func(who) string { return cmp.Or(used.profile, "none: "+envURL+" and "+envToken) }},
		{"ACTOR", func(w who) string { return w.Actor }},
		{"ORG ID", func(w who) string { return cmp.Or(w.OrgID, "all") }},
		{"WORKSPACE ID", func(w who) string { return cmp.Or(w.WorkspaceID, "all of it") }},
		{"SCOPES", func(w who) string { return scopesText(w.Scopes) }},
	}
}
