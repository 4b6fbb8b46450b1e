package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
	"sallyport/internal/logqueue"
	"sallyport/internal/server"
)

// addServerFlags gives a command the flags that set a key of the configuration,
// as the server's own table has them.
func addServerFlags(cmd *cobra.Command, mode config.Mode) {
	for _, f := range config.Flags(mode) {
		meaning := plainly(f.Meaning)
		if f.IsBool {
			cmd.Flags().Bool(f.Name, false, meaning)
			continue
		}
		if f.Default != "" {
			meaning += " (default " + f.Default + ")"
		}
		cmd.Flags().Var(&given{placeholder: f.Placeholder}, f.Name, meaning)
		completeValue(cmd, f)
	}
	if mode == config.ModeServer {
		cmd.Flags().String("config", "", "the configuration's `FILE`, in YAML")
	}
}

// given is the value of a flag as it was given. What it must be, and what it is
// where it is not given, is for the server to say.
type given struct{ text, placeholder string }

// Set takes a value of the flag.
func (g *given) Set(text string) error {
	g.text = text
	return nil
}

func (g *given) String() string { return g.text }

// Type is what the help text calls the value.
func (g *given) Type() string { return g.placeholder }

// completeValue completes what a flag of the server takes.
func completeValue(cmd *cobra.Command, f config.Flag) {
	switch {
	case f.Placeholder == "FILE":
	case f.Placeholder == "DIR":
		_ = cmd.MarkFlagDirname(f.Name) // the flag is there
	case strings.Contains(f.Placeholder, "|"):
		complete(cmd, f.Name, cobra.FixedCompletions(strings.Split(f.Placeholder, "|"), cobra.ShellCompDirectiveNoFileComp))
	default:
		complete(cmd, f.Name, cobra.NoFileCompletions)
	}
}

// addDev gives a command that has a server's flags the defaults of dev.
func addDev(cmd *cobra.Command) {
	cmd.Flags().Bool("dev", false, "use the defaults of sallyport dev, in place of server's")
}

// modeOf is the command whose defaults hold.
func modeOf(cmd *cobra.Command) config.Mode {
	if dev, err := cmd.Flags().GetBool("dev"); err == nil && dev {
		return config.ModeDev
	}
	return config.ModeServer
}

// forServerAlone names a flag that was given and that dev doesn't have, or "".
func forServerAlone(cmd *cobra.Command) string {
	for _, f := range append(config.Flags(config.ModeServer), config.Flag{Name: "config"}) {
		isDevs := slices.ContainsFunc(config.Flags(config.ModeDev), func(d config.Flag) bool { return d.Name == f.Name })
		if !isDevs && cmd.Flags().Changed(f.Name) {
			return "--" + f.Name
		}
	}
	return ""
}

// loadConfig puts the configuration together from the file, the environment and
// the flags that were given.
func (a *app) loadConfig(cmd *cobra.Command, mode config.Mode) (*config.Loaded, error) {
	if name := forServerAlone(cmd); mode == config.ModeDev && name != "" {
		return nil, usagef("leave one of them out", "%s is for server, and --dev has the defaults of dev", name)
	}
	given := map[string]string{}
	for _, f := range config.Flags(mode) {
		if cmd.Flags().Changed(f.Name) {
			given[f.Key] = cmd.Flags().Lookup(f.Name).Value.String()
		}
	}
	file := ""
	if f := cmd.Flags().Lookup("config"); f != nil {
		file = f.Value.String()
	}
	loaded, err := config.Load(config.LoadOptions{Mode: mode, File: file, Env: a.Env, Flags: given})
	var flag *config.FlagError
	if errors.As(err, &flag) {
		return nil, usagef("see "+cmd.CommandPath()+" --help", "%s", err)
	}
	return loaded, err
}

// addReadyFile gives a command its --ready-file.
func addReadyFile(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "ready-file", "", "the `FILE` that appears, as JSON, when the server can serve")
}

// serve runs a server until a signal, and then as long as it drains.
func (a *app) serve(cmd *cobra.Command, mode config.Mode, readyFile string, ready func(server.Ready)) error {
	loaded, err := a.loadConfig(cmd, mode)
	if err != nil {
		return err
	}
	a.watch.patience.Store(2) // the second ends the draining, and still in order
	defer a.watch.takeServerSignals(mode == config.ModeDev)()
	queue := a.queueWords(loaded.Config)
	err = server.Run(cmd.Context(), loaded.Config, server.RunOptions{
		Version: a.Version, ReadyFile: readyFile, LogWriter: queue, LogLost: queue.Lost, Ready: ready, Interrupt: a.watch.interrupt,
		SFTP: a.sftpServer(),
	})
	select {
	case <-a.watch.interrupt:
		if err == nil {
			return exitCode(a.watch.exitCode())
		}
	default:
	}
	return err
}

// queueWords puts a queue before stderr, for the log of a server and for all else that
// the command has to say: nothing waits for who reads them. Run closes it.
func (a *app) queueWords(cfg config.Config) *logqueue.Queue {
	queue := logqueue.New(a.Stderr)
	log := server.NewLogger(cfg, queue)
	queue.OnResume(func(lost uint64) {
		log.Warn("lines of the log were lost: its reader was too slow, or could not be written to", "lines", lost)
	})
	a.Stderr, a.closeWords = queue, queue.Close
	return queue
}
