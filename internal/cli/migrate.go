package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
	"sallyport/internal/server"
)

func (a *app) newMigrate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store's schema up to date",
		Long: `Brings the store's schema up to what this version needs. A server does so by itself at
its start, unless store.migrate is false. With SQLite no server may have the store open;
on PostgreSQL servers of the version before go on serving.`,
		Example: `  sallyport migrate --config /etc/sallyport/server.yaml
  sallyport migrate --data-dir /var/lib/sallyport`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := a.loadConfig(cmd, modeOf(cmd))
			if err != nil {
				return err
			}
			from, to, err := server.Migrate(cmd.Context(), loaded.Config)
			if err != nil {
				return err
			}
			if a.asJSON() {
				return marshalJSON(a.out, map[string]int64{"from": from, "to": to})
			}
			text := fmt.Sprintf("the schema went from version %d to %d", from, to)
			if from == to {
				text = fmt.Sprintf("the schema is at version %d already", to)
			}
			_, err = fmt.Fprintln(a.out, text)
			return err
		},
	}
	addServerFlags(cmd, config.ModeServer)
	addDev(cmd)
	return cmd
}
