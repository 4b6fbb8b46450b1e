// Package cli is the command line: a file a command. Commands of a client go
// through package client, those of a server through internal/server, config, doctor and
// backup.
package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

// Program is one run of the program and what it has of the world.
type Program struct {
	// Version is the version that `sallyport version` prints.
	Version string
	// Path is the absolute path of the program itself, which runs it again as the SFTP
	// server of the embedded host; empty leaves that host without one.
	Path string
	// Args are the arguments, without the program's name.
	Args []string
	// Env looks up a variable of the environment; nil is an empty environment.
	Env func(string) (string, bool)
	// Signals carries SIGINT and SIGTERM. The first cancels what is being done
	// (and drains a server), the next ends it at once.
	Signals <-chan os.Signal

	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Exit codes that are the program's own.
const (
	exitFailed = 1
	exitUsage  = 2
	// exitExecTimeout, exitExecFailed: as timeout(1) and docker(1) have them.
	exitExecTimeout = 124
	exitExecFailed  = 125
	// exitSignal and the signal's number: as a shell has it.
	exitSignal    = 128
	exitInterrupt = exitSignal + 2
	// exitCodeMax is the largest that a process can have.
	exitCodeMax = 255
)

// Run runs one command and returns its exit code. Canceling ctx is as good as
// Ctrl-C.
func Run(ctx context.Context, p Program) int {
	if p.Env == nil {
		p.Env = func(string) (string, bool) { return "", false }
	}
	a := &app{Program: p, out: &output{w: p.Stdout}}
	ctx, w := watch(ctx, p.Signals)
	defer w.stop()
	a.watch = w

	ended := make(chan int, 1)
	go func() { ended <- a.run(ctx) }()
	select {
	case code := <-ended:
		return code
	case <-w.gaveUp:
		// What doesn't end when it is told to is left behind: the process ends.
		return w.exitCode()
	}
}

// Commands returns the tree of commands, for those who write about it.
func Commands(version string) *cobra.Command {
	a := &app{Program: Program{Version: version}, out: &output{w: io.Discard}}
	root := a.newRoot()
	addCompletion(root)
	return root
}

// app is what the commands share.
type app struct {
	Program
	watch *watcher
	out   *output
	flags globalFlags
	// closeWords writes what is queued for stderr; nil where nothing is.
	closeWords func() error
	// local is the terminal that a command has made its own; nil is none.
	local *localTerminal
	// quiet keeps warnings and notes from stderr.
	quiet bool
	// used is the account that was called, and workspace the one that was asked for:
	// hints name them.
	used      account
	workspace string
}

func (a *app) run(ctx context.Context) int {
	root := a.newRoot()
	root.SetArgs(append([]string{}, a.Args...)) // nil would mean those of the process
	root.SetIn(a.Stdin)
	root.SetOut(a.out)
	root.SetErr(a.Stderr)
	addCompletion(root)
	if a.isCompleting() {
		withoutBackquotes(root)
	}
	cmd, err := root.ExecuteContextC(ctx)
	if a.out.err != nil {
		err = a.out.err
	}
	code := a.end(ctx, cmd, err)
	if a.closeWords != nil {
		_ = a.closeWords() // it has told, or nobody reads it
	}
	return code
}

// end reports err, if there is something to say, and returns the exit code.
func (a *app) end(ctx context.Context, cmd *cobra.Command, err error) int {
	var own exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &own):
		return int(own)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return a.watch.exitCode()
	}
	a.report(err)
	return codeOf(passesExitCode(cmd), err)
}

// passesExitCode tells of the commands whose exit codes are another's, or tell of another.
func passesExitCode(cmd *cobra.Command) bool {
	switch cmd.Name() {
	case execName, shellName, logsName, attachName, waitName:
		return cmd.Parent() == cmd.Root()
	}
	return false
}

// codeOf is the exit code of a command that failed.
func codeOf(isExec bool, err error) int {
	var usage *usageError
	switch {
	case isExec && (sallyport.CodeOf(err) == sallyport.CodeExecTimeout || sallyport.CodeOf(err) == sallyport.CodeTerminalTimeout):
		return exitExecTimeout
	case isExec:
		return exitExecFailed
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

// exitCode is a command's own exit code, passed on without a word.
type exitCode int

func (exitCode) Error() string { return "the command's own exit code" }
