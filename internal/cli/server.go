package cli

import (
	"github.com/spf13/cobra"

	"sallyport/internal/config"
)

func (a *app) newServer() *cobra.Command {
	var readyFile string
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a server for production",
		Long: `Runs a server. Its configuration comes from --config FILE (YAML), the environment
and the flags, each going before the last; sallyport config shows what is in force.

SIGTERM or Ctrl-C drains: new execs are refused, running ones may end until
--drain-timeout, and the rest are canceled and recorded. A second signal ends the
draining at once. SIGHUP changes nothing.`,
		Example: `  sallyport server --config /etc/sallyport/server.yaml
  SALLYPORT_ADMIN_TOKEN_FILE=/run/secrets/admin sallyport server --listen 127.0.0.1:8080
  sallyport config --config /etc/sallyport/server.yaml`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd, config.ModeServer, readyFile, nil) },
	}
	addServerFlags(cmd, config.ModeServer)
	addReadyFile(cmd, &readyFile)
	return cmd
}
