// Sallyport runs commands on workspaces, and serves those who do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"sallyport/internal/cli"
)

// version is set when a release is built.
var version = "dev"

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	path, _ := os.Executable() // where the system doesn't tell, the embedded host has no SFTP
	os.Exit(cli.Run(context.Background(), cli.Program{
		Version: version, Path: path, Args: os.Args[1:], Env: os.LookupEnv, Signals: signals,
		Stdin: os.Stdin, Stdout: unlessClosed(os.Stdout), Stderr: unlessClosed(os.Stderr),
	}))
}
