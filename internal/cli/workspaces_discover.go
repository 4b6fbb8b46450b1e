package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// discoverFlags are the flags of workspaces discover.
type discoverFlags struct {
	region, user string
	tags         []string
	tier         int
	dryRun       bool
}

func (a *app) newWorkspacesDiscover() *cobra.Command {
	var f discoverFlags
	cmd := &cobra.Command{
		Use:   "discover",
		Short: "Find EC2 instances that could be workspaces, and add them",
		Long: `Asks AWS, through the server, for the instances of a region that have all of the given
tags, and makes a workspace of each that is none yet and that an EC2 Instance Connect
Endpoint reaches. A workspace is called as the instance's tag Name, made fit, or else as
the instance, and has the instance's tags as labels. --dry-run only shows.

The server asks with the organisation's own AWS role. Where it has none, what the server's
own credentials show is the admin's alone: give --admin and --org.`,
		Example: `  sallyport workspaces discover --region us-east-2 --tag Sallyport=workspace --dry-run
  sallyport workspaces discover --region us-east-2 --tag Team=build --user ubuntu
  sallyport workspaces discover --admin --org acme --tag Customer=acme`,
		Args:              takes(),
		RunE:              func(cmd *cobra.Command, _ []string) error { return a.discover(cmd.Context(), f) },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.region, "region", "", "the AWS `REGION` (default the server's own)")
	flags.StringArrayVar(&f.tags, "tag", nil, "a tag that is there, `Key=Value`, or Key for any value; may be repeated")
	flags.StringVar(&f.user, "user", "", "the login `NAME` on the machines (default "+sallyport.DefaultEICUser+")")
	flags.IntVar(&f.tier, "tier", sallyport.TierPrivileged, "the `TIER` of the workspaces, 1 to 4; commands take 3 or 4")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be added, and add nothing")
	complete(cmd, "tier", completeTiers)
	for _, name := range []string{"region", "tag", "user"} {
		complete(cmd, name, cobra.NoFileCompletions)
	}
	return cmd
}

// discovery is what became, or would become, of one instance.
type discovery struct {
	sallyport.Instance
	// Result is one of the results below.
	Result string `json:"result"`
	// Workspace is its name, also when it is only proposed.
	Workspace string `json:"workspace,omitempty"`
	Error     string `json:"error,omitempty"`
}

// Results of a discovery.
const (
	resultAdded   = "added"
	resultWould   = "would be added" // with --dry-run alone
	resultIs      = "is a workspace"
	resultNoWay   = "no endpoint"
	resultStopped = "not running"
	resultFailed  = "failed"
)

func (a *app) discover(ctx context.Context, f discoverFlags) error {
	api, err := a.newAPI(false)
	if err != nil {
		return err
	}
	org := api.Org
	if org == "" {
		who, err := api.Session(ctx)
		if err != nil {
			return err
		}
		if org = who.OrgID; org == "" {
			return usagef("add --org NAME", "the admin belongs to no organisation")
		}
	}
	q := sallyport.InstanceQuery{Region: f.region, Tags: map[string]string{}}
	for _, tag := range f.tags {
		key, value, _ := strings.Cut(tag, "=")
		q.Tags[key] = value
	}
	found := []discovery{}
	names := map[string]bool{}
	for i, err := range api.AllInstances(ctx, org, q) {
		if err != nil {
			return err
		}
		d := propose(i, names)
		if d.Result == resultWould && !f.dryRun {
			a.addInstance(ctx, api, &d, f)
		}
		found = append(found, d)
	}
	return a.printDiscoveries(found)
}

// propose says what would become of an instance. names are those that are taken by the
// ones before it.
func propose(i sallyport.Instance, names map[string]bool) discovery {
	d := discovery{Instance: i, Workspace: i.WorkspaceName}
	switch {
	case i.WorkspaceID != "":
		d.Result = resultIs
		return d
	case i.EndpointID == "":
		d.Result = resultNoWay
		return d
	case i.State != "running":
		d.Result = resultStopped
		return d
	}
	d.Result, d.Workspace = resultWould, fitName(i.Name)
	if d.Workspace == "" || names[d.Workspace] {
		d.Workspace = i.ID
	}
	names[d.Workspace] = true
	return d
}

// fitName makes a workspace's name of a tag; "" where nothing is left.
func fitName(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, text)
	name = strings.Trim(name, "-")
	return strings.Trim(name[:min(len(name), limits.NameCharsMax)], "-")
}

// addInstance makes the workspace. That its name is in use makes the instance's id the
// name.
func (a *app) addInstance(ctx context.Context, api *api, d *discovery, f discoverFlags) {
	w := sallyport.WorkspaceCreate{
		Name: d.Workspace, Tier: f.tier, Labels: fitLabels(d.Tags),
		Connector: &sallyport.Connector{Type: sallyport.ConnectorEIC, InstanceID: d.ID, Region: d.Region, User: f.user},
	}
	ws, err := api.CreateWorkspace(ctx, w)
	if sallyport.CodeOf(err) == sallyport.CodeNameTaken && w.Name != d.ID {
		w.Name = d.ID
		ws, err = api.CreateWorkspace(ctx, w)
	}
	if err != nil {
		d.Result, d.Error = resultFailed, err.Error()
		return
	}
	d.Result, d.Workspace, d.WorkspaceID, d.WorkspaceName = resultAdded, ws.Name, ws.ID, ws.Name
}

// fitLabels makes labels of tags: as many as a workspace may have, those that are too
// long left out, and AWS's own too.
func fitLabels(tags map[string]string) map[string]string {
	labels := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if len(labels) < limits.LabelsMax && len(key) <= limits.LabelKeyBytesMax && len(tags[key]) <= limits.LabelBytesMax && !strings.HasPrefix(key, "aws:") {
			labels[key] = tags[key]
		}
	}
	return labels
}

func (a *app) printDiscoveries(found []discovery) error {
	var err error
	if a.asJSON() {
		err = marshalJSON(a.out, map[string]any{"items": found})
	} else {
		type d = discovery
		err = printRows(a, a.out, []column[d]{
			{"RESULT", func(d d) string { return d.Result }},
			{"WORKSPACE", func(d d) string { return orDash(d.Workspace) }},
			{"INSTANCE", func(d d) string { return d.ID }},
			{"STATE", func(d d) string { return d.State }},
			{"ADDRESS", func(d d) string { return orDash(d.PrivateIP) }},
			{"LABELS", func(d d) string { return labelsText(fitLabels(d.Tags)) }},
		}, found, true)
	}
	if err != nil {
		return err
	}
	would := 0
	var failed []error
	for _, d := range found {
		switch d.Result {
		case resultWould:
			would++
		case resultFailed:
			failed = append(failed, fmt.Errorf("%s: %s", d.ID, d.Error))
		}
	}
	if would > 0 && !a.asJSON() {
		fmt.Fprintf(a.Stderr, "\n%d would be added; nothing was. Leave --dry-run out to add them.\n", would)
	}
	return errors.Join(failed...)
}
