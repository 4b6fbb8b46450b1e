package cli

import (
	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func (a *app) newOrgs() *cobra.Command {
	return newGroup(&cobra.Command{
		Use:     "orgs",
		Aliases: []string{"org"},
		Short:   "List, make, change and delete organisations (admin)",
		Long: `An organisation is a tenant, with workspaces, tokens and activity of its own. Only
the admin manages them: these commands use the profile's admin token.

An organisation is named by its name or its id.`,
		Example: `  sallyport orgs create acme
  sallyport orgs list`,
	}, a.newOrgsList(), a.newOrgsGet(), a.newOrgsCreate(), a.newOrgsUpdate(), a.newOrgsDelete())
}

func orgColumns() []column[sallyport.Org] {
	return []column[sallyport.Org]{
		{"NAME", func(o sallyport.Org) string { return o.Name }},
		{"CREATED", func(o sallyport.Org) string { return when(o.CreatedAt) }},
		{"ID", func(o sallyport.Org) string { return o.ID }},
	}
}

func (a *app) newOrgsList() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the organisations, oldest first",
		Example: "  sallyport orgs list",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := a.newAPI(true)
			if err != nil {
				return err
			}
			return printList(a, api, cmd, limit, orgColumns(), func(p client.Page) (sallyport.List[sallyport.Org], error) {
				return api.ListOrgs(cmd.Context(), p)
			})
		},
	}
	addLimit(cmd, &limit, 0)
	return cmd
}

func (a *app) newOrgsGet() *cobra.Command {
	return &cobra.Command{
		Use:     "get ORG",
		Short:   "Show one organisation",
		Example: "  sallyport orgs get acme",
		Args:    takes("ORG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.oneOrg(func(api *api) (sallyport.Org, error) {
				ref, err := orgRef(cmd.Context(), api.Client, args[0])
				if err != nil {
					return sallyport.Org{}, err
				}
				return api.GetOrg(cmd.Context(), ref)
			})
		},
		ValidArgsFunction: completeFirst(a.completeOrgs),
	}
}

// oneOrg makes a call about one organisation, and shows what it answers.
func (a *app) oneOrg(call func(*api) (sallyport.Org, error)) error {
	api, err := a.newAPI(true)
	if err != nil {
		return err
	}
	org, err := call(api)
	if err != nil {
		return err
	}
	columns := append(orgColumns(), column[sallyport.Org]{"LIMITS", limitsCell})
	return show(a, api, columns, org)
}

func (a *app) newOrgsCreate() *cobra.Command {
	var limits limitFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an organisation",
		Example: `  sallyport orgs create acme
  sallyport orgs create --running-execs 64 acme`,
		Args: takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := limits.limits(cmd)
			if err != nil {
				return err
			}
			return a.oneOrg(func(api *api) (sallyport.Org, error) {
				return api.CreateOrg(cmd.Context(), sallyport.OrgCreate{Name: args[0], Limits: set})
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	limits.add(cmd, " (default the server's own limit)")
	return cmd
}

func (a *app) newOrgsUpdate() *cobra.Command {
	var name string
	var limits limitFlags
	cmd := &cobra.Command{
		Use:   "update ORG",
		Short: "Rename an organisation, or change its limits",
		Example: `  sallyport orgs update --name acme-2 acme
  sallyport orgs update --running-execs 64 --requests-per-s 0 acme`,
		Args: takes("ORG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var patch sallyport.OrgPatch
			var err error
			if patch.Limits, err = limits.patch(cmd); err != nil {
				return err
			}
			if cmd.Flags().Changed("name") {
				patch.Name = &name
			}
			if patch.Name == nil && patch.Limits == nil {
				return usagef("see "+cmd.CommandPath()+" --help", "no flag says what to change")
			}
			return a.oneOrg(func(api *api) (sallyport.Org, error) {
				ref, err := orgRef(cmd.Context(), api.Client, args[0])
				if err != nil {
					return sallyport.Org{}, err
				}
				return api.UpdateOrg(cmd.Context(), ref, patch)
			})
		},
		ValidArgsFunction: completeFirst(a.completeOrgs),
	}
	cmd.Flags().StringVar(&name, "name", "", "the new `NAME`")
	complete(cmd, "name", cobra.NoFileCompletions)
	limits.add(cmd, "; 0 is the server's own limit")
	return cmd
}

func (a *app) newOrgsDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete ORG",
		Aliases: []string{"rm"},
		Short:   "Delete an organisation that has no workspaces, and its tokens",
		Example: "  sallyport orgs delete acme",
		Args:    takes("ORG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := a.newAPI(true)
			if err != nil {
				return err
			}
			ref, err := orgRef(cmd.Context(), api.Client, args[0])
			if err != nil {
				return err
			}
			if err := api.DeleteOrg(cmd.Context(), ref); err != nil {
				return err
			}
			return a.done("organisation %s deleted", args[0])
		},
		ValidArgsFunction: completeFirst(a.completeOrgs),
	}
}
