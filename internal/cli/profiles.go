package cli

import (
	"cmp"
	"maps"
	"slices"

	"github.com/spf13/cobra"
)

func (a *app) newProfiles() *cobra.Command {
	cmd := newGroup(&cobra.Command{
		Use:     "profiles",
		Aliases: []string{"profile"},
		Short:   "List the servers that you are logged in to, and choose one",
		Long: `A profile is a server's URL and the tokens for it, written by login or dev. The other
commands use the current one, unless --profile or SALLYPORT_PROFILE names another,
or SALLYPORT_URL and SALLYPORT_TOKEN are both set.

Without a command below it, profiles lists them; no token is shown.`,
		Example: `  sallyport profiles
  sallyport profiles use staging`,
	}, a.newProfilesList(), a.newProfilesUse())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return a.listProfiles()
	}
	return cmd
}

func (a *app) newProfilesList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the profiles, without their tokens",
		Example: `  sallyport profiles list
  sallyport profiles list --output json`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error { return a.listProfiles() },
	}
}

// listedProfile is a profile without its secrets.
type listedProfile struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// Current tells whether it is used when nothing else is said.
	Current bool `json:"current"`
	// Token and AdminToken tell whether it has them.
	Token      bool `json:"token"`
	AdminToken bool `json:"admin_token"`
	CACert     bool `json:"ca_cert"`
}

func (a *app) listProfiles() error {
	stored, err := a.readProfiles()
	if err != nil {
		return err
	}
	items := []listedProfile{}
	for _, name := range slices.Sorted(maps.Keys(stored.Profiles)) {
		p := stored.Profiles[name]
		items = append(items, listedProfile{
			Name: name, URL: p.URL, Current: name == stored.Current,
			Token: p.Token != "", AdminToken: p.AdminToken != "", CACert: p.CACert != "",
		})
	}
	if a.asJSON() {
		return marshalJSON(a.out, map[string]any{"items": items})
	}
	if len(items) == 0 {
		a.note("there is no profile yet: sallyport login makes one")
	}
	a.warnOfEnvironment()
	return printRows(a, a.out, profileColumns(), items, true)
}

func profileColumns() []column[listedProfile] {
	type p = listedProfile
	return []column[p]{
		{"CURRENT", func(p p) string { return mark(p.Current, "*") }},
		{"NAME", func(p p) string { return p.Name }},
		{"URL", func(p p) string { return p.URL }},
		{"TOKEN", func(p p) string { return mark(p.Token, "yes") }},
		{"ADMIN", func(p p) string { return mark(p.AdminToken, "yes") }},
		{"CA", func(p p) string { return mark(p.CACert, "own") }},
	}
}

func mark(is bool, as string) string {
	if is {
		return as
	}
	return "-"
}

func (a *app) newProfilesUse() *cobra.Command {
	return &cobra.Command{
		Use:     "use NAME",
		Short:   "Make a profile the current one",
		Example: "  sallyport profiles use staging",
		Args:    takes("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			name := args[0]
			stored, err := a.readProfiles()
			if err != nil {
				return err
			}
			if _, ok := stored.Profiles[name]; !ok {
				return usagef(stored.namesHint(), "there is no profile %q", name)
			}
			if _, err := a.changeProfiles(func(p *profiles) { p.Current = name }); err != nil {
				return err
			}
			a.warnOfEnvironment()
			if other := a.env(envProfile); other != "" && other != name {
				a.warn("%s is set to %s, which goes before the current profile", envProfile, other)
			}
			return a.done("profile %s is the current one: %s", name, stored.Profiles[name].URL)
		},
		ValidArgsFunction: completeFirst(a.completeProfiles),
	}
}

func (a *app) newLogout() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Forget a profile: its URL and its tokens",
		Long: `Takes the current profile, or that of --profile or SALLYPORT_PROFILE, out of the file
of profiles. Its tokens stay valid for those who have them elsewhere: sallyport tokens
revoke ends one.`,
		Example: `  sallyport logout
  sallyport logout --profile staging`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			name, _, err := a.findProfile()
			if err != nil {
				return err
			}
			current := ""
			_, err = a.changeProfiles(func(p *profiles) {
				delete(p.Profiles, name)
				if p.Current == name {
					p.Current = ""
				}
				current = p.Current
			})
			if err != nil {
				return err
			}
			a.warnOfEnvironment()
			return a.done("logged out of profile %s; the current one is: %s", name, cmp.Or(current, "none"))
		},
	}
}
