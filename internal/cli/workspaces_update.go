package cli

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

func (a *app) newWorkspacesUpdate() *cobra.Command {
	var u workspaceUpdate
	cmd := &cobra.Command{
		Use:   "update WORKSPACE",
		Short: "Change a workspace; what no flag names stays as it is",
		Long: `Changes a workspace: its name, its tier, its labels, where forwards may lead,
whether its terminals are recorded, or how its machine is reached.
What runs on it goes on over its connection; the next exec makes a new one.

A machine that was made anew shows another host key, and is refused until the new one
is named with --host-key, or --trust-new-key pins the first one that is seen from then
on. Ask the machine's owner before that: whoever has taken its address shows another
key, too.`,
		Example: `  sallyport workspaces update --tier 3 build
  sallyport workspaces update --label stage=green --remove-label team build
  sallyport workspaces update --name build-2 build
  sallyport workspaces update --forward-allow 'loopback:*' --forward-allow db.internal:5432 build
  sallyport workspaces update --record-terminals build
  sallyport workspaces update --ssh ubuntu@192.0.2.7 --key ~/.ssh/build build
  sallyport workspaces update --trust-new-key build`,
		Args: takes("WORKSPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			patch, err := u.patch(cmd)
			if err != nil {
				return err
			}
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			ref, err := a.workspaceRef(cmd.Context(), api.Client, args[0])
			if err != nil {
				return err
			}
			ws, err := api.UpdateWorkspace(cmd.Context(), ref, patch)
			if err != nil {
				return err
			}
			return show(a, api, workspaceDetails(), ws)
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
	u.add(cmd)
	return cmd
}

// workspaceUpdate is what the flags of an update say.
type workspaceUpdate struct {
	name            string
	tier            int
	labels, without []string
	connector       string
	root            string
	ssh             string
	keyFile         string
	hostKey         string
	trustNewKey     bool
	forwardAllow    []string
	record          bool
}

func (u *workspaceUpdate) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&u.name, "name", "", "the new `NAME`")
	flags.IntVar(&u.tier, "tier", 0, "the new `TIER`, 1 to 4")
	flags.StringArrayVar(&u.labels, "label", nil, "set a label, `K=V`; may be repeated")
	flags.StringArrayVar(&u.without, "remove-label", nil, "remove the label `K`; may be repeated")
	flags.StringVar(&u.connector, "connector", "", connectorFlag)
	flags.StringVar(&u.root, "root", "", "the `DIR` below which files are, absolute or relative to the home; '' is the home")
	flags.StringVar(&u.ssh, "ssh", "", "reach the machine by SSH, as `USER@HOST[:PORT]`")
	flags.StringVar(&u.keyFile, "key", "", "log in with the private key in this `FILE`, without a passphrase")
	flags.StringVar(&u.hostKey, "host-key", "", "the machine's host `KEY`, its type and base64")
	flags.BoolVar(&u.trustNewKey, "trust-new-key", false, "forget the machine's host key, and pin the first one that is seen")
	addForwardAllow(cmd, &u.forwardAllow)
	addRecordTerminals(cmd, &u.record)
	cmd.MarkFlagsMutuallyExclusive("connector", "ssh")
	cmd.MarkFlagsMutuallyExclusive("host-key", "trust-new-key")
	completeWorkspaceFlags(cmd)
	for _, name := range []string{"name", "remove-label", "root", "ssh", "host-key"} {
		complete(cmd, name, cobra.NoFileCompletions)
	}
}

// patch holds what was named, and nothing else.
func (u *workspaceUpdate) patch(cmd *cobra.Command) (sallyport.WorkspacePatch, error) {
	var patch sallyport.WorkspacePatch
	if cmd.Flags().Changed("name") {
		patch.Name = &u.name
	}
	if cmd.Flags().Changed("tier") {
		patch.Tier = &u.tier
	}
	patch.ForwardAllow = readForwardAllow(cmd, u.forwardAllow)
	if cmd.Flags().Changed(recordTerminalsFlag) {
		patch.RecordTerminals = &u.record
	}
	var err error
	if patch.Connector, err = u.connectorPatch(cmd); err != nil {
		return patch, err
	}
	labels, err := readLabels(u.labels)
	if err != nil {
		return patch, err
	}
	if len(labels)+len(u.without) > 0 {
		patch.Labels = map[string]*string{}
	}
	for key, value := range labels {
		patch.Labels[key] = &value
	}
	for _, key := range u.without {
		patch.Labels[key] = nil
	}
	if reflect.ValueOf(patch).IsZero() {
		return patch, usagef("see "+cmd.CommandPath()+" --help", "no flag says what to change")
	}
	return patch, nil
}

// connectorPatch is a JSON merge patch of the connector; nil where no flag names it.
func (u *workspaceUpdate) connectorPatch(cmd *cobra.Command) (json.RawMessage, error) {
	if cmd.Flags().Changed("connector") && readConnector(u.connector) == nil {
		return json.RawMessage("null"), nil
	}
	patch := map[string]any{}
	if cmd.Flags().Changed("connector") {
		patch["type"] = u.connector
	}
	if cmd.Flags().Changed("root") {
		patch["root"] = u.root
	}
	if cmd.Flags().Changed("ssh") {
		user, host, port, err := parseSSH(u.ssh)
		if err != nil {
			return nil, err
		}
		patch["type"], patch["user"], patch["host"], patch["port"] = sallyport.ConnectorSSH, user, host, nil
		if port != 0 {
			patch["port"] = port
		}
	}
	if u.keyFile != "" {
		auth, err := readKeyFile(u.keyFile)
		if err != nil {
			return nil, err
		}
		patch["auth"] = auth
	}
	switch {
	case u.hostKey != "":
		patch["host_key"], patch["trust_on_first_use"] = u.hostKey, nil
	case u.trustNewKey:
		patch["host_key"], patch["trust_on_first_use"] = nil, true
	}
	if len(patch) == 0 {
		return nil, nil
	}
	return json.Marshal(patch)
}

// usageSSH shows the form of --ssh.
const usageSSH = "for example: --ssh ubuntu@192.0.2.5, or --ssh ubuntu@[2001:db8::5]:2222"

// parseSSH splits USER@HOST[:PORT]; a port that isn't there is 0.
func parseSSH(text string) (user, host string, port int, err error) {
	user, address, ok := strings.Cut(text, "@")
	if !ok || user == "" || address == "" {
		return "", "", 0, usagef(usageSSH, "--ssh must be USER@HOST[:PORT]")
	}
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return user, strings.Trim(address, "[]"), 0, nil
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return "", "", 0, usagef(usageSSH, "--ssh: %q is no port", number)
	}
	return user, host, int(n), nil
}

func readKeyFile(name string) (*sallyport.ConnectorAuth, error) {
	key, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	return &sallyport.ConnectorAuth{Type: sallyport.AuthKey, PrivateKey: string(key)}, nil
}
