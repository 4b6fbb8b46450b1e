package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// forwardName is the command's name.
const forwardName = "forward"

// forwardAddress is where local ports are, unless --address says otherwise.
const forwardAddress = "127.0.0.1"

func (a *app) newForward() *cobra.Command {
	var address string
	var stdio bool
	cmd := &cobra.Command{
		Use:   forwardName + " [flags] WORKSPACE [LOCAL:][HOST:]PORT...",
		Short: "Reach ports of a workspace's machine from here",
		Long: `Listens on ports of this machine, and carries each connection to a port that the
workspace's machine can reach. The machine connects: HOST is a name or an address as it
sees it, by default 127.0.0.1, the machine itself. Nothing is installed there, and no
port is open to others. Each connection leaves a row in the activity log: its target and
how many bytes went which way, and no content.

LOCAL is the port here: by default PORT, and with 0, or empty, one that is free. IPv6
addresses stand in brackets. All targets are asked for first: where one isn't allowed, or
a port here is in use, nothing listens. Who can connect to --address can use the
forward, without a token.

It goes on until Ctrl-C. A connection that can't be carried, or that breaks, is reset and
told on stderr; the ports stay open, so that the next one works once the server and the
machine are back.

With --stdio there is one connection, and stdin and stdout are its ends: for ssh, to the
machine's own sshd: ssh -o ProxyCommand='sallyport forward --stdio build 22' ubuntu@build

It takes the scope forward, which a token has only where it is named, and tier 3 or 4.
Where it may lead is the workspace's: see workspaces update --forward-allow.`,
		Example: `  sallyport forward build 15432:5432               # then: psql -h 127.0.0.1 -p 15432 shop
  sallyport forward build 8080 9090:grafana.internal:3000 0:[::1]:9000
  sallyport forward --json build :5432 | jq -r .local
  sallyport forward --stdio build 22               # what ssh's ProxyCommand runs
  sallyport tokens create me --scope forward`,
		Args: takesPlaces(2, "WORKSPACE", "[LOCAL:][HOST:]PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if stdio {
				return a.forwardStdio(cmd, args)
			}
			return a.forward(cmd.Context(), address, args[0], args[1:])
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
	cmd.Flags().StringVar(&address, "address", forwardAddress, "listen on this `ADDR` of this machine")
	cmd.Flags().BoolVar(&stdio, "stdio", false, "carry one connection, of which stdin and stdout are the ends")
	complete(cmd, "address", cobra.NoFileCompletions)
	return cmd
}

// forwardPort is a port here, and where it leads.
type forwardPort struct {
	local int // 0 is any that is free
	host  string
	port  int
}

func (p forwardPort) target() string { return net.JoinHostPort(p.host, strconv.Itoa(p.port)) }

// usageForward shows the form of a port to forward.
const usageForward = "for example: 5432, 15432:5432, 15432:db.internal:5432, :5432, or 8080:[::1]:80"

// parseForward reads [LOCAL:][HOST:]PORT.
func parseForward(text string) (forwardPort, error) {
	wrong := func(why string) (forwardPort, error) {
		return forwardPort{}, usagef(usageForward, "%q is no [LOCAL:][HOST:]PORT: %s", text, why)
	}
	p := forwardPort{host: sallyport.ForwardHostDefault}
	before, last := cutLast(text)
	var ok bool
	if p.port, ok = portNumber(last); !ok || p.port == 0 {
		return wrong("the port is a number from 1 to 65535")
	}
	if before == nil {
		p.local = p.port
		return p, nil
	}
	local, host := "", ""
	switch first, rest, hasTwo := strings.Cut(*before, ":"); {
	case strings.HasPrefix(*before, "["):
		host, local = *before, strconv.Itoa(p.port)
	case hasTwo:
		local, host = first, rest
		if host == "" {
			return wrong("the host between the colons is empty")
		}
	case isDigits(first):
		local = first
	default:
		host, local = first, strconv.Itoa(p.port)
	}
	if p.local, ok = portNumber(local); !ok {
		return wrong("the local port is a number up to 65535, or empty")
	}
	if host == "" {
		return p, nil
	}
	if p.host, ok = forwardHost(host); !ok {
		return wrong("the host is a name or an address, and IPv6 stands in brackets")
	}
	return p, nil
}

// cutLast cuts text at its last colon; before is nil where it has none.
func cutLast(text string) (before *string, last string) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return nil, text
	}
	head := text[:at]
	return &head, text[at+1:]
}

// forwardHost is a host without its brackets.
func forwardHost(text string) (host string, ok bool) {
	if inner, found := strings.CutPrefix(text, "["); found {
		host, found = strings.CutSuffix(inner, "]")
		return host, found && strings.Contains(host, ":") && !strings.ContainsAny(host, "[]")
	}
	return text, !isDigits(text) && !strings.ContainsAny(text, ":[]")
}

// isDigits tells whether text is a port here: all digits, or empty.
func isDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// portNumber reads a port; empty is 0.
func portNumber(text string) (port int, ok bool) {
	if text == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil && isDigits(text)
}

// forward listens on all ports, or on none, and carries connections until ctx ends.
func (a *app) forward(ctx context.Context, address, workspace string, texts []string) error {
	ports := make([]forwardPort, len(texts))
	for i, text := range texts {
		var err error
		if ports[i], err = parseForward(text); err != nil {
			return err
		}
	}
	api, ref, err := a.forwardAPI(ctx, workspace)
	if err != nil {
		return err
	}
	defer api.Close()
	for _, p := range ports {
		if err := api.CheckForward(ctx, ref, p.host, p.port); err != nil {
			return withForwardHint(err)
		}
	}
	listeners, err := listenAll(ctx, address, ports)
	if err != nil {
		return err
	}
	f := &forwarding{app: a, client: api.Client, workspace: ref}
	for i, l := range listeners {
		if err := a.tellForward(l, workspace, ports[i]); err != nil {
			closeAll(listeners)
			return err
		}
	}
	return f.run(ctx, listeners, ports)
}

// forwardAPI returns a client, which the caller closes, and what the server knows the
// workspace by.
func (a *app) forwardAPI(ctx context.Context, workspace string) (*api, string, error) {
	api, err := a.newAPI(false)
	if err != nil {
		return nil, "", err
	}
	ref, err := a.workspaceRef(ctx, api.Client, workspace)
	if err != nil {
		api.Close()
		return nil, "", err
	}
	api.OnAnswer = nil // several answers come at a time
	return api, ref, nil
}

// withForwardHint is err, with the advice that is forward's alone.
func withForwardHint(err error) error {
	if errors.Is(err, client.ErrCut) {
		return &hintedError{err, "the server, or the way to it, broke; nothing is resumed, and a new connection is tried anew"}
	}
	return withScopes(err, sallyport.ScopeForward)
}

func listenAll(ctx context.Context, address string, ports []forwardPort) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, p := range ports {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", net.JoinHostPort(strings.Trim(address, "[]"), strconv.Itoa(p.local)))
		if err != nil {
			closeAll(listeners)
			return nil, listenError(err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// listenError words what the system says of a port here.
func listenError(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	return &hintedError{fmt.Errorf("nothing listens, since one port can't be had: %w", err),
		"choose another port, LOCAL:PORT; or :PORT, for one that is free"}
}

// tellForward says where a listener leads.
func (a *app) tellForward(l net.Listener, workspace string, p forwardPort) error {
	if !a.asJSON() {
		_, err := fmt.Fprintf(a.out, "Forwarding %s -> %s %s\n", l.Addr(), visible(workspace), visible(p.target()))
		return err
	}
	return marshalJSON(a.out, struct {
		Local string `json:"local"`
		Host  string `json:"host"`
		Port  int    `json:"port"`
	}{l.Addr().String(), p.host, p.port})
}

// forwardStdio carries one connection between the target and stdin and stdout.
func (a *app) forwardStdio(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	const usage = "usage: sallyport forward --stdio WORKSPACE [HOST:]PORT"
	if cmd.Flags().Changed("address") {
		return usagef(usage, "--stdio listens nowhere, and --address is for what does")
	}
	if len(args) > 2 {
		return usagef(usage, "--stdio takes one target, and %q is another", args[2])
	}
	p, err := parseForward(args[1])
	if err != nil {
		return err
	}
	if p.local != p.port {
		return usagef(usage, "with --stdio there is no local port, as in %q", args[1])
	}
	api, ref, err := a.forwardAPI(ctx, args[0])
	if err != nil {
		return err
	}
	defer api.Close()
	remote, err := api.Forward(ctx, ref, p.host, p.port)
	if err != nil {
		return withForwardHint(err)
	}
	return a.carryStdio(ctx, remote)
}
