package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
	"sallyport/internal/server"
)

// devProfile is the profile that dev writes.
const devProfile = "dev"

func (a *app) newDev() *cobra.Command {
	var readyFile string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a server on this machine, with nothing to configure",
		Long: `Runs a server for this machine alone, on loopback, with an organisation "dev" and a
workspace "local": this machine, as the user who runs this. Its data is kept
between runs; its tokens are new at each start.

It writes the profile "dev", which becomes the current one if there is none, so
that the other commands work at once.

The first Ctrl-C drains, as closing the terminal does: running execs may end. The
second ends it at once.`,
		Example: `  sallyport dev
  sallyport dev --listen 127.0.0.1:0 --ready-file ready.json
  sallyport exec local -- uname -a     # in another terminal`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd, config.ModeDev, readyFile, a.welcome)
		},
	}
	addServerFlags(cmd, config.ModeDev)
	addReadyFile(cmd, &readyFile)
	return cmd
}

// welcome keeps a profile for a server that can serve, and says what to try.
func (a *app) welcome(r server.Ready) {
	isCurrent := false
	path, err := a.changeProfiles(func(stored *profiles) {
		stored.Profiles[devProfile] = profile{URL: r.URL, Token: r.Token, AdminToken: r.AdminToken}
		if stored.Current == "" {
			stored.Current = devProfile
		}
		isCurrent = stored.Current == devProfile
	})
	if err != nil {
		// The server serves all the same, to those who know its ready file.
		a.warn("no profile was written: %v", err)
		return
	}
	fmt.Fprint(a.Stderr, devBanner(r.URL, path, isCurrent))
	a.warnOfEnvironment()
}

func devBanner(url, path string, isCurrent bool) string {
	command, current := "sallyport", "the current one"
	if !isCurrent {
		command, current = "sallyport --profile "+devProfile, "not the current one"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nSallyport serves at %s\n", visible(url))
	fmt.Fprintf(&b, "  workspace  local: this machine, as you\n")
	fmt.Fprintf(&b, "  profile    %s, %s, in %s\n", devProfile, current, visible(path))
	fmt.Fprintf(&b, "\nTo try in another terminal:\n")
	fmt.Fprintf(&b, "  %s exec local -- uname -a\n", command)
	fmt.Fprintf(&b, "  %s activity --workspace local\n", command)
	fmt.Fprintf(&b, "  %s workspaces list\n", command)
	fmt.Fprintf(&b, "\nCtrl-C drains, a second one ends it at once.\n\n")
	return b.String()
}
