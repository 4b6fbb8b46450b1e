package cli

import (
	"github.com/spf13/cobra"

	"sallyport/internal/backup"
	"sallyport/internal/config"
)

func (a *app) newRestore() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Put a backup in the place of the store",
		Long: `Puts a backup, or one from stdin, in the place of the store: in a data directory
that no server holds, and whose store is not there or holds no records. It checks the
backup first; the store is there whole, or not at all. An older schema is fine, since
the next start brings it up to date.

Everything is as it was when the backup was taken. Rows of what ran then are closed
as interrupted by the next start, and tokens that were revoked since are valid again.`,
		Example: `  sallyport restore --config /etc/sallyport/server.yaml /var/backups/sallyport.db
  age -d sallyport.db.age | sallyport restore --data-dir /var/lib/sallyport -`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := a.loadConfig(cmd, modeOf(cmd))
			if err != nil {
				return err
			}
			o := backup.RestoreOptions{File: args[0]}
			if o.File == stdName {
				if _, isTerminal := openTerminal(a.Stdin); isTerminal {
					return usagef("name a file, or: sallyport restore - < FILE", "a backup can't be typed")
				}
				o = backup.RestoreOptions{Reader: a.Stdin}
			}
			held, err := backup.Restore(cmd.Context(), loaded.Config, o)
			if err != nil {
				return err
			}
			return a.printContents(a.out, o.File, held)
		},
	}
	cmd.ValidArgsFunction = completeFile
	addServerFlags(cmd, config.ModeServer)
	addDev(cmd)
	return cmd
}
