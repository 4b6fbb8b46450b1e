package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

// globalFlags are the flags that every command takes.
type globalFlags struct {
	profile string
	org     string
	admin   bool
	format  format
	json    bool
	noTrunc bool
}

// Groups of commands in the help text.
const (
	groupWork    = "work"
	groupAccount = "account"
	groupManage  = "manage"
	groupServe   = "serve"
)

func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "Run commands and reach files on workspaces, with a record of each",
		Long: `Sallyport runs commands on the machines behind workspaces, and copies their files. It
keeps a record of each: written to disk before the machine is touched, completed when
it has ended.

The commands of a client speak to the server that SALLYPORT_URL and SALLYPORT_TOKEN
name, if both are set, or else to that of a profile: the one that --profile or
SALLYPORT_PROFILE names, or the current one. login and dev write profiles.

A workspace, an organisation, an exec, an attachment and a token can be named by the
beginning of its id, if no other id begins with it. NO_COLOR keeps colours from a terminal.

Exit codes: 0 it is done, 1 it failed, 2 the program was used wrongly. exec, shell, attach
and wait have the command's own; see exec --help, logs --help and doctor --help.`,
		Example: `  sallyport dev                        # a server on this machine, with a workspace "local"
  sallyport exec local uname -a        # run a command there
  sallyport cp report.pdf local:       # copy a file there
  sallyport activity                   # what was done, by whom, and how it ended`,
		Version:           a.Version,
		PersistentPreRunE: a.findOrg,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.ArbitraryArgs,
		RunE:              showHelp,
	}
	a.addGlobalFlags(root)
	setUsage(root)
	root.SetVersionTemplate("sallyport {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupWork, Title: "Work with workspaces:"},
		&cobra.Group{ID: groupAccount, Title: "Log in to servers:"},
		&cobra.Group{ID: groupManage, Title: "Manage:"},
		&cobra.Group{ID: groupServe, Title: "Run a server:"},
	)
	addTo(root, groupWork, a.newExec(), a.newShell(), a.newCp(), a.newLs(), a.newFiles(), a.newAttachments(), a.newRecordings(), a.newForward(), a.newPs(), a.newKill(),
		a.newLogs(), a.newAttach(), a.newWait(), a.newRm(), a.newActivity())
	addTo(root, groupAccount, a.newLogin(), a.newLogout(), a.newWhoami(), a.newProfiles(), a.newEnv())
	addTo(root, groupManage, a.newWorkspaces(), a.newTokens(), a.newOrgs(), a.newCA())
	addTo(root, groupServe, a.newDev(), a.newServer(), a.newConfig(), a.newMigrate(),
		a.newDoctor(), a.newBackup(), a.newRestore())
	root.AddCommand(a.newVersion(), a.newSFTPServer())
	root.SetHelpCommand(newHelp())
	completeNoFiles(root)
	return root
}

func addTo(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

func (a *app) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&a.flags.profile, "profile", "", "use the profile with this `NAME` (default SALLYPORT_PROFILE, or the current one)")
	flags.BoolVar(&a.flags.admin, "admin", false, "use the profile's admin token")
	flags.StringVar(&a.flags.org, "org", "", "look names up in this `ORG`, an id or a name (for the admin)")
	flags.VarP(&a.flags.format, "output", "o", "print a table or json")
	flags.BoolVar(&a.flags.json, "json", false, "the same as --output json")
	flags.BoolVar(&a.flags.noTrunc, "no-trunc", false, "cut no table to the width of the terminal")
	root.Flags().Bool("version", false, "print the version")
	complete(root, "profile", a.completeProfiles)
	complete(root, "org", a.completeOrgs)
	complete(root, "output", cobra.FixedCompletions([]string{formatTable, formatJSON}, cobra.ShellCompDirectiveNoFileComp))
}

// showHelp is what a command does that only has others below it.
func showHelp(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return cmd.Help()
}

// newGroup is a command that only has others below it.
func newGroup(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = showHelp
	cmd.AddCommand(below...)
	return cmd
}

// takes checks that a command has as many arguments as it has names for.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		see := "usage: " + cmd.UseLine()
		switch {
		case len(args) < len(names):
			return usagef(see, "%s: %s is missing", cmd.CommandPath(), names[len(args)])
		case len(args) > len(names) && len(names) == 0:
			return usagef(see, "%s takes no arguments, and got %q", cmd.CommandPath(), args[0])
		case len(args) > len(names):
			return usagef(see, "%s: %q is one argument too many", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// format is the value of --output.
type format string

const (
	formatTable = "table"
	formatJSON  = "json"
)

// Set takes a value of the flag.
func (f *format) Set(s string) error {
	if s != formatTable && s != formatJSON {
		return errors.New("it is table or json")
	}
	*f = format(s)
	return nil
}

func (f *format) String() string {
	if *f == "" {
		return formatTable
	}
	return string(*f)
}

// Type is what the help text calls the value.
func (f *format) Type() string { return "FORMAT" }

// asJSON tells whether JSON is wanted.
func (a *app) asJSON() bool { return a.flags.json || a.flags.format == formatJSON }
