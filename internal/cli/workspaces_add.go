package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// addFlags are the flags of workspaces add.
type addFlags struct {
	ssh, keyFile, hostKey string
	eic, region, user     string
	root                  string
	tier                  int
	labels                []string
	yes                   bool
	forwardAllow          []string
	record                bool
}

func (a *app) newWorkspacesAdd() *cobra.Command {
	var f addFlags
	cmd := &cobra.Command{
		Use:   "add NAME {--ssh USER@HOST[:PORT] | --eic INSTANCE}",
		Short: "Make a workspace of a machine with an SSH server, or of an EC2 instance, and try it",
		Long: `Makes the workspace, lets the server fetch the machine's host key, shows the key's
fingerprint and asks whether it is the right one. If the machine doesn't accept the
server's key yet, it prints what to put on the machine. It ends with a first command.

The server logs in with certificates of the organisation's SSH CA, or, with --key, with
a private key that it stores encrypted.

With --eic the machine is an EC2 instance, reached through the EC2 Instance Connect
Endpoint of its VPC. AWS lets a key in for each connection, and vouches for the way:
the first host key is trusted without a question.`,
		Example: `  sallyport workspaces add build --ssh ubuntu@192.0.2.5
  sallyport workspaces add build --ssh ubuntu@build.example:2222 --key ~/.ssh/build
  sallyport workspaces add build --ssh ubuntu@192.0.2.5 --host-key "$(cat build_host_key.pub)"
  sallyport workspaces add build --eic i-0123456789abcdef0 --region us-east-2 --user ubuntu`,
		Args: takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.forwardAllow = readForwardAllow(cmd, f.forwardAllow)
			return a.addWorkspace(cmd.Context(), args[0], f)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.ssh, "ssh", "", "the login name and the machine, `USER@HOST[:PORT]`")
	flags.StringVar(&f.eic, "eic", "", "the EC2 instance, an `INSTANCE` id, instead of --ssh")
	flags.StringVar(&f.region, "region", "", "with --eic, the AWS `REGION` (default the server's own)")
	flags.StringVar(&f.user, "user", "", "with --eic, the login `NAME` on the machine (default "+sallyport.DefaultEICUser+")")
	flags.StringVar(&f.keyFile, "key", "", "log in with the private key in this `FILE`, without a passphrase, instead of by the CA")
	flags.StringVar(&f.hostKey, "host-key", "", "the machine's host `KEY`, its type and base64, instead of asking")
	flags.StringVar(&f.root, "root", "", "the `DIR` below which files are, absolute or relative to the home (default the home)")
	flags.IntVar(&f.tier, "tier", sallyport.TierPrivileged, "the `TIER`, 1 to 4; commands take 3 or 4")
	flags.StringArrayVar(&f.labels, "label", nil, "a label, `K=V`; may be repeated")
	addForwardAllow(cmd, &f.forwardAllow)
	addRecordTerminals(cmd, &f.record)
	flags.BoolVar(&f.yes, "yes", false, "trust the host key that is seen, without asking")
	complete(cmd, "tier", completeTiers)
	for _, name := range []string{"ssh", "eic", "region", "user", "host-key", "root", "label"} {
		complete(cmd, name, cobra.NoFileCompletions)
	}
	return cmd
}

func (a *app) addWorkspace(ctx context.Context, name string, f addFlags) error {
	connector, err := f.connector()
	if err != nil {
		return err
	}
	w := sallyport.WorkspaceCreate{Name: name, Tier: f.tier, Connector: connector, ForwardAllow: f.forwardAllow, RecordTerminals: f.record}
	if w.Labels, err = readLabels(f.labels); err != nil {
		return err
	}
	api, err := a.newAPI(false)
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(a.Stdin, tokenBytesMax)
	_, person := openTerminal(a.Stdin)
	if f.hostKey == "" && !f.yes && !person && f.eic == "" {
		return usagef("give --host-key KEY, or --yes to trust the one that is seen", "there is no terminal to ask whether the host key is the right one")
	}
	if _, err := api.CreateWorkspace(ctx, w); err != nil {
		return err
	}
	adding := &adding{app: a, api: api, name: name, flags: f, in: in, person: person}
	return adding.run(ctx)
}

// connector is what the flags say.
func (f addFlags) connector() (*sallyport.Connector, error) {
	switch {
	case f.ssh == "" && f.eic == "":
		return nil, usagef(usageSSH+", or --eic i-0123456789abcdef0", "one of --ssh and --eic is needed")
	case f.eic == "" && (f.region != "" || f.user != ""):
		return nil, usagef(usageSSH, "--region and --user go with --eic")
	case f.eic != "" && (f.ssh != "" || f.keyFile != ""):
		return nil, usagef("leave --ssh and --key out: the instance is found by its id, and AWS lets a key in", "--eic goes with neither --ssh nor --key")
	case f.eic != "":
		return &sallyport.Connector{Type: sallyport.ConnectorEIC, InstanceID: f.eic, Region: f.region, User: f.user, HostKey: f.hostKey, Root: f.root}, nil
	}
	user, host, port, err := parseSSH(f.ssh)
	if err != nil {
		return nil, err
	}
	c := &sallyport.Connector{
		Type: sallyport.ConnectorSSH, User: user, Host: host, Port: port, HostKey: f.hostKey, TrustOnFirstUse: f.hostKey == "",
		Root: f.root,
	}
	if f.keyFile != "" {
		c.Auth, err = readKeyFile(f.keyFile)
	}
	return c, err
}

// adding is a workspace that is made, and on its way to a first command.
type adding struct {
	*app
	api    *api
	name   string
	flags  addFlags
	in     *bufio.Reader
	person bool // somebody is there to answer
}

func (a *adding) run(ctx context.Context) error {
	for {
		found, err := a.api.Diagnose(ctx, a.name)
		if err != nil {
			return err
		}
		step := firstFailure(found)
		if key := stepOf(found, sallyport.StepHostKey); a.flags.hostKey == "" && a.flags.eic == "" && key.Status == sallyport.StepWarn {
			if err := a.trust(ctx, key); err != nil {
				return err
			}
			a.flags.hostKey = key.HostKey
		}
		switch {
		case step == nil:
			return a.first(ctx)
		case step.Name == sallyport.StepLogin && a.flags.eic == "":
			if err := a.explainLogin(ctx); err != nil {
				return err
			}
		default:
			_ = a.printSteps(a.Stderr, found) // what went wrong is the error below
		}
		if !a.person {
			return a.unfinished()
		}
		fmt.Fprint(a.Stderr, "\nPress Enter to try again, or Ctrl-C to leave it as it is: ")
		if _, err := readLine(ctx, a.in); err != nil {
			return errors.Join(a.unfinished(), err)
		}
	}
}

func (a *adding) unfinished() error {
	return &hintedError{fmt.Errorf("workspace %s is made, and its machine can't be used yet", a.name),
		"sallyport doctor " + a.name + " looks again; sallyport workspaces delete " + a.name + " takes it away"}
}

// trust asks whether the key that was seen is the machine's, and stores it.
func (a *adding) trust(ctx context.Context, key sallyport.DiagnosisStep) error {
	kind, _, _ := strings.Cut(key.HostKey, " ")
	fmt.Fprintf(a.Stderr, "The machine's host key is\n\n    %s  (%s)\n\n", visible(key.Fingerprint), visible(kind))
	if !a.flags.yes {
		fmt.Fprint(a.Stderr, "On the machine, ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub shows the right one.\nIs it this one? [y/N] ")
		answer, err := readLine(ctx, a.in)
		if err != nil {
			return err
		}
		if answer != "y" && answer != "yes" {
			if err := a.api.DeleteWorkspace(ctx, a.name); err != nil {
				return err
			}
			return errors.New("the host key is not trusted: nothing was made")
		}
	}
	patch, err := json.Marshal(map[string]any{"host_key": key.HostKey, "trust_on_first_use": false})
	if err != nil {
		return err
	}
	_, err = a.api.UpdateWorkspace(ctx, a.name, sallyport.WorkspacePatch{Connector: patch})
	return err
}

// explainLogin says what the machine must have to let the server in.
func (a *adding) explainLogin(ctx context.Context) error {
	if a.flags.keyFile != "" {
		fmt.Fprintf(a.Stderr, "\nThe machine rejected this key. Put its public part on the machine:\n\n    ssh-keygen -yf %s   # prints the line for ~/.ssh/authorized_keys there\n", visible(a.flags.keyFile))
		return nil
	}
	keys, err := a.api.CAKeys(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(a.Stderr, "\nThe machine doesn't trust the SSH CA of this organisation yet. As root on the machine:\n\ncat >/etc/ssh/sallyport_ca.pub <<'END'\n")
	for _, k := range keys {
		fmt.Fprintln(a.Stderr, visible(k.Line()))
	}
	fmt.Fprint(a.Stderr, "END\necho 'TrustedUserCAKeys /etc/ssh/sallyport_ca.pub' >/etc/ssh/sshd_config.d/sallyport.conf\nsystemctl reload ssh\n")
	return nil
}

// first runs a first command.
func (a *adding) first(ctx context.Context) error {
	if a.flags.tier < sallyport.TierPrivileged {
		return a.done("workspace %s is ready; commands take tier 3 or 4", a.name)
	}
	var out bytes.Buffer
	done, err := a.api.Exec(ctx, client.Exec{Workspace: a.name, Cmd: []string{"uname", "-nsr"}, Stdout: &out, Timeout: 30 * time.Second})
	switch {
	case sallyport.CodeOf(err) == sallyport.CodeScopeForbidden:
		return a.done("workspace %s is ready; this token may not run commands on it", a.name)
	case err != nil:
		return err
	case a.asJSON():
		ws, err := a.api.GetWorkspace(ctx, a.name)
		if err != nil {
			return err
		}
		return show(a.app, a.api, workspaceDetails(), ws)
	}
	return a.done("workspace %s runs commands: %s, in %d ms", a.name, visible(strings.TrimSpace(out.String())), done.DurationMS)
}

func stepOf(found sallyport.Diagnosis, name string) sallyport.DiagnosisStep {
	for _, s := range found.Steps {
		if s.Name == name {
			return s
		}
	}
	return sallyport.DiagnosisStep{}
}

func firstFailure(found sallyport.Diagnosis) *sallyport.DiagnosisStep {
	for _, s := range found.Steps {
		if s.Status == sallyport.StepFail {
			return &s
		}
	}
	return nil
}
