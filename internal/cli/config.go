package cli

import (
	"cmp"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
)

// setting is one key of the configuration, as --output json has it.
type setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

func (a *app) newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration in force, and where each value comes from",
		Long: `Shows what a server started with the same flags, in the same environment, would
run by: every key, its value, and where the value comes from. Secrets are hidden.`,
		Example: `  sallyport config --config /etc/sallyport/server.yaml
  sallyport config --output json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := a.loadConfig(cmd, modeOf(cmd))
			if err != nil {
				return err
			}
			return a.printSettings(loaded.Settings())
		},
	}
	addServerFlags(cmd, config.ModeServer)
	addDev(cmd)
	return cmd
}

func (a *app) printSettings(inForce []config.Setting) error {
	settings := make([]setting, 0, len(inForce))
	for _, s := range inForce {
		settings = append(settings, setting(s))
	}
	if a.asJSON() {
		return marshalJSON(a.out, map[string][]setting{"items": settings})
	}
	return printRows(a, a.out, []column[setting]{
		{"KEY", func(s setting) string { return s.Key }},
		{"VALUE", func(s setting) string { return cmp.Or(s.Value, "-") }},
		{"SOURCE", func(s setting) string { return s.Source }},
	}, settings, true)
}
