package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

func (a *app) newWorkspacesConnection() *cobra.Command {
	return &cobra.Command{
		Use:   "connection WORKSPACE",
		Short: "Show how a workspace's machine is reached now",
		Long: `What the server knows of its connections to the machine: whether there are any
and since when, what runs on them, the host key that the machine has proven, and
what went wrong last. The machine isn't asked: sallyport doctor WORKSPACE does that.

States:
  none         there is no connection, and nothing is wrong; the next exec makes one
  connecting   the first connection is being made
  connected    there are connections, and something runs on them
  idle         there are connections, and nothing runs
  backing_off  the machine couldn't be reached; execs get the last error until NEXT DIAL`,
		Example: "  sallyport workspaces connection build",
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
			connection, err := api.GetConnection(cmd.Context(), ref)
			if err != nil {
				return err
			}
			return show(a, api, connectionColumns(), connection)
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
}

func connectionColumns() []column[sallyport.Connection] {
	type c = sallyport.Connection
	return []column[c]{
		{"STATE", func(c c) string { return c.State }},
		{"SINCE", func(c c) string { return whenever(c.Since, "-") }},
		{"CONNECTIONS", func(c c) string { return strconv.Itoa(c.Connections) }},
		{"SESSIONS", func(c c) string {
			return strconv.Itoa(c.Sessions) + " (at most " + strconv.Itoa(c.SessionsPerConnection) + " a connection)"
		}},
		{"WAITING", func(c c) string { return strconv.Itoa(c.Waiting) }},
		{"HOST KEY", func(c c) string { return orDash(c.HostKeyFingerprint) }},
		{"LAST ERROR", func(c c) string { return lastErrorText(c.LastError) }},
		{"NEXT DIAL", func(c c) string { return whenever(c.NextDialAt, "-") }},
	}
}

func lastErrorText(e *sallyport.ConnectionError) string {
	if e == nil {
		return "-"
	}
	text := when(e.At) + " " + string(e.Code)
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	return text + ": " + e.Message
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
