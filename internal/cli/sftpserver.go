package cli

import (
	"github.com/spf13/cobra"

	"sallyport/internal/sftpserver"
)

// sftpServerName is the command that the embedded SSH host runs for SFTP. People have no
// use for it, so that no help shows it.
const sftpServerName = "sftp-server"

func (a *app) newSFTPServer() *cobra.Command {
	return &cobra.Command{
		Use:    sftpServerName,
		Short:  "Serve SFTP on stdin and stdout",
		Hidden: true,
		Args:   takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ended := make(chan error, 1)
			go func() { ended <- sftpserver.Serve(a.Stdin, a.Stdout) }()
			select {
			case err := <-ended:
				return err
			case <-cmd.Context().Done():
				return cmd.Context().Err() // the process exits, and with it what is served
			}
		},
	}
}

// sftpServer is the argv by which this program is an SFTP server; nil where nobody knows
// its path.
func (a *app) sftpServer() []string {
	if a.Path == "" {
		return nil
	}
	return []string{a.Path, sftpServerName}
}
