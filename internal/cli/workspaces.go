package cli

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func (a *app) newWorkspaces() *cobra.Command {
	return newGroup(&cobra.Command{
		Use:     "workspaces",
		Aliases: []string{"workspace", "ws"},
		Short:   "List, make, change and delete workspaces",
		Long: `A workspace is one machine of one organisation, and how it is reached. Its tier
says how much of the machine callers may have: 1 sandboxed, 2 standard,
3 privileged, 4 full host access. Running commands takes tier 3 or 4.

A workspace is named by its name or its id.`,
		Example: `  sallyport workspaces list
  sallyport workspaces add build --ssh ubuntu@192.0.2.5
  sallyport workspaces create build --tier 3 --connector local --label team=core`,
	}, a.newWorkspacesList(), a.newWorkspacesGet(), a.newWorkspacesAdd(), a.newWorkspacesDiscover(), a.newWorkspacesCreate(), a.newWorkspacesUpdate(), a.newWorkspacesConnection(), a.newWorkspacesDelete())
}

func workspaceColumns() []column[sallyport.Workspace] {
	type ws = sallyport.Workspace
	return []column[ws]{
		{"NAME", func(w ws) string { return w.Name }},
		{"TIER", func(w ws) string { return strconv.Itoa(w.Tier) }},
		{"CONNECTOR", func(w ws) string { return connectorText(w.Connector) }},
		{"ADDRESS", func(w ws) string { return addressText(w.Connector) }},
		{"USER", func(w ws) string { return userText(w.Connector) }},
		{"LABELS", func(w ws) string { return labelsText(w.Labels) }},
		{"CREATED", func(w ws) string { return when(w.CreatedAt) }},
		{"ID", func(w ws) string { return w.ID }},
		{"ORG", func(w ws) string { return w.OrgID }},
	}
}

// workspaceDetails are the columns of one workspace alone.
func workspaceDetails() []column[sallyport.Workspace] {
	allow := column[sallyport.Workspace]{"FORWARDS", func(w sallyport.Workspace) string { return forwardAllowText(w.ForwardAllow) }}
	recorded := column[sallyport.Workspace]{"RECORDED", func(w sallyport.Workspace) string { return mark(w.RecordTerminals, "yes") }}
	return slices.Insert(workspaceColumns(), 6, allow, recorded)
}

// forwardAllowText is where forwards may lead.
func forwardAllowText(allow []string) string {
	switch {
	case allow == nil:
		return "-"
	case len(allow) == 0:
		return forwardAllowNone
	}
	return strings.Join(allow, ",")
}

func connectorText(c *sallyport.Connector) string {
	if c == nil {
		return "none"
	}
	return c.Type
}

// addressText is where a workspace's machine is.
func addressText(c *sallyport.Connector) string {
	switch {
	case c == nil:
		return "-"
	case c.InstanceID != "":
		return c.InstanceID
	case c.Host != "" && c.Port != 0 && c.Port != sallyport.DefaultSSHPort:
		return net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	}
	return orDash(c.Host)
}

func userText(c *sallyport.Connector) string {
	if c == nil {
		return "-"
	}
	return orDash(c.User)
}

func labelsText(labels map[string]string) string {
	if len(labels) == 0 {
		return "-"
	}
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		texts = append(texts, key+"="+labels[key])
	}
	return strings.Join(texts, ",")
}

func (a *app) newWorkspacesList() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the workspaces that the token may see, oldest first",
		Example: `  sallyport workspaces list
  sallyport workspaces list --admin --org acme
  sallyport workspaces list --output json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			columns := workspaceColumns()
			if !a.flags.admin {
				columns = columns[:len(columns)-1] // they are all of one organisation
			}
			return printList(a, api, cmd, limit, columns, func(p client.Page) (sallyport.List[sallyport.Workspace], error) {
				return api.ListWorkspaces(cmd.Context(), p)
			})
		},
	}
	addLimit(cmd, &limit, 0)
	return cmd
}

func (a *app) newWorkspacesGet() *cobra.Command {
	return &cobra.Command{
		Use:     "get WORKSPACE",
		Short:   "Show one workspace",
		Example: "  sallyport workspaces get build",
		Args:    takes("WORKSPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			ref, err := a.workspaceRef(cmd.Context(), api.Client, args[0])
			if err != nil {
				return err
			}
			ws, err := api.GetWorkspace(cmd.Context(), ref)
			if err != nil {
				return err
			}
			return show(a, api, workspaceDetails(), ws)
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
}

// connectorFlag is the help text of --connector.
const connectorFlag = "how the machine is reached, a `TYPE`: local (the server's own machine), or none"

func (a *app) newWorkspacesCreate() *cobra.Command {
	var tier int
	var labels []string
	var connector string
	var allow []string
	var record bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a workspace",
		Example: `  sallyport workspaces create build --tier 3 --connector local
  sallyport workspaces create web --label team=core --label stage=blue
  sallyport workspaces create build --admin --org acme`,
		Args: takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w := sallyport.WorkspaceCreate{
				Name: args[0], Tier: tier, Connector: readConnector(connector), ForwardAllow: readForwardAllow(cmd, allow), RecordTerminals: record,
			}
			var err error
			if w.Labels, err = readLabels(labels); err != nil {
				return err
			}
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			ws, err := api.CreateWorkspace(cmd.Context(), w)
			if err != nil {
				return err
			}
			return show(a, api, workspaceDetails(), ws)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().IntVar(&tier, "tier", 0, "the `TIER`, 1 to 4 (default 2)")
	cmd.Flags().StringArrayVar(&labels, "label", nil, "a label, `K=V`; may be repeated")
	cmd.Flags().StringVar(&connector, "connector", "none", connectorFlag)
	addForwardAllow(cmd, &allow)
	addRecordTerminals(cmd, &record)
	completeWorkspaceFlags(cmd)
	return cmd
}

const (
	forwardAllowFlag = "forward-allow"
	// forwardAllowNone is the value that allows nothing.
	forwardAllowNone = "none"
)

// addForwardAllow gives a command that makes or changes a workspace its --forward-allow.
func addForwardAllow(cmd *cobra.Command, allow *[]string) {
	cmd.Flags().StringSliceVar(allow, forwardAllowFlag, nil,
		"where forwards may lead, `HOST:PORTS`: loopback, a name, an address or a CIDR, and a port, A-B or *; may be repeated; none for nowhere (default loopback:*)")
	complete(cmd, forwardAllowFlag, cobra.FixedCompletions([]string{"loopback:*", forwardAllowNone}, cobra.ShellCompDirectiveNoFileComp))
}

// readForwardAllow is nil where the flag isn't there.
func readForwardAllow(cmd *cobra.Command, allow []string) []string {
	switch {
	case !cmd.Flags().Changed(forwardAllowFlag):
		return nil
	case len(allow) == 1 && allow[0] == forwardAllowNone:
		return []string{}
	}
	return append([]string{}, allow...)
}

const recordTerminalsFlag = "record-terminals"

// addRecordTerminals gives a command that makes or changes a workspace its --record-terminals.
func addRecordTerminals(cmd *cobra.Command, record *bool) {
	cmd.Flags().BoolVar(record, recordTerminalsFlag, false, "record every terminal, also where its client doesn't ask for it")
}

func completeWorkspaceFlags(cmd *cobra.Command) {
	complete(cmd, "tier", completeTiers)
	complete(cmd, "label", cobra.NoFileCompletions)
	complete(cmd, "connector", cobra.FixedCompletions([]string{sallyport.ConnectorLocal, "none"}, cobra.ShellCompDirectiveNoFileComp))
}

func (a *app) newWorkspacesDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete WORKSPACE",
		Aliases: []string{"rm"},
		Short:   "Delete a workspace and its tokens, and end the execs that run there",
		Example: "  sallyport workspaces delete build",
		Args:    takes("WORKSPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			ref, err := a.workspaceRef(cmd.Context(), api.Client, args[0])
			if err != nil {
				return err
			}
			if err := api.DeleteWorkspace(cmd.Context(), ref); err != nil {
				return err
			}
			return a.done("workspace %s deleted", args[0])
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
}

// done says what was done where the API says nothing.
func (a *app) done(format string, args ...any) error {
	if a.asJSON() {
		return nil
	}
	_, err := fmt.Fprintln(a.out, visible(fmt.Sprintf(format, args...)))
	return err
}

func readConnector(kind string) *sallyport.Connector {
	if kind == "none" || kind == "" {
		return nil
	}
	return &sallyport.Connector{Type: kind}
}

func readLabels(assignments []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, assignment := range assignments {
		key, value, ok := strings.Cut(assignment, "=")
		if !ok || key == "" {
			return nil, usagef("for example: --label team=core", "--label %s is not K=V", assignment)
		}
		labels[key] = value
	}
	return labels, nil
}
