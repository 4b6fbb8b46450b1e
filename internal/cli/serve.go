package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/internal/server"
)

// addServerFlags gives a command the flags that set a key of the configuration,
// as the server's own table has them.
func addServerFlags(cmd *cobra.Command, mode server.Mode) {
	for _, f := range server.Flags(mode) {
		// A word in backquotes would become the name of the value.
		meaning := strings.ReplaceAll(f.Meaning, "`", "")
		if f.IsBool {
			cmd.Flags().Bool(f.Name, false, meaning)
			continue
		}
		cmd.Flags().String(f.Name, "", meaning)
	}
	if mode == server.ModeServer {
		cmd.Flags().String("config", "", "The configuration's `FILE`, in YAML.")
	}
}

// loadConfig puts the configuration together from the file, the environment and
// the flags that were given.
func (a *app) loadConfig(cmd *cobra.Command, mode server.Mode) (*server.Loaded, error) {
	given := map[string]string{}
	for _, f := range server.Flags(mode) {
		if cmd.Flags().Changed(f.Name) {
			given[f.Key] = cmd.Flags().Lookup(f.Name).Value.String()
		}
	}
	file := ""
	if f := cmd.Flags().Lookup("config"); f != nil {
		file = f.Value.String()
	}
	loaded, err := server.Load(server.LoadOptions{Mode: mode, File: file, Env: a.Env, Flags: given})
	var flag *server.FlagError
	if errors.As(err, &flag) {
		return nil, usagef("see "+cmd.CommandPath()+" --help", "%s", err)
	}
	return loaded, err
}

// addReadyFile gives a command its --ready-file.
func addReadyFile(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "ready-file", "", "The `FILE` that appears, as JSON, when the server can serve.")
}

// serve runs a server until a signal, and then as long as it drains.
func (a *app) serve(cmd *cobra.Command, mode server.Mode, readyFile string, ready func(server.Ready)) error {
	loaded, err := a.loadConfig(cmd, mode)
	if err != nil {
		return err
	}
	a.watch.patience.Store(2) // the second ends the draining, and still in order
	err = server.Run(cmd.Context(), loaded.Config, server.RunOptions{
		Version: a.Version, ReadyFile: readyFile, LogWriter: a.Stderr, Ready: ready, Interrupt: a.watch.interrupt,
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
