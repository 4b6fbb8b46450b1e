// Package remote acts on one machine, over one leased SSH session: it runs a
// command, reports how it ended, and ends it when it must.
//
// Start returns a Process when the command has started; Process.Wait returns its Outcome,
// Process.Signal signals it, Process.Stdin writes to it where the caller has its stdin.
// Exec is Start and Wait, as in os/exec.
//
// # How a command is started
//
// SSH has no argv: a server hands one string to the user's login shell, whatever
// that is. So the string is a line of plain characters that reveals nothing of the command,
// which every shell reads alike, and which starts a POSIX shell that reads a
// header from stdin: one line of code that enters the directory, sets the
// environment, prints a mark on stderr and one on stdout (with its process group),
// and then becomes the program, which finds the caller's stdin behind the header.
//
//   - Nothing of the header shows in ps, and it has no limit of length.
//   - A shell reads a header byte by byte, so that it reads nothing of stdin: the header holds
//     what the caller sent, and calls functions that stand in the string.
//   - The header opens with a random word that stands in the string. If an rc
//     file has eaten the header, nothing starts. If an rc file has become another shell, which
//     reads the header as its script, that ends at the first word; and the functions have random
//     names, so that the header's code does nothing in a shell that didn't get the string.
//   - Stdin is sent when the marks have been seen, and until then the command waits for it: no
//     other shell ever reads it as a script.
//   - A mark is the proof that the command started: what rc files printed before it is
//     dropped. An rc file may have redirected the streams: a mark counts wherever it comes out,
//     and is taken out of the output there. An end without one has run nothing, which is
//     found out where the machine hides what is printed.
//   - A directory that can't be entered has a mark of its own, before anything ran.
//   - The shell is there before the header is sent: while it starts, the caller
//     can still wait for the row that must be on disk before the act (Command.Gate).
//
// Where the login shell is sh itself, it takes the header, and the second shell is saved,
// which is a third of what the machine does for a small command. The claim of the shell
// ($SHELL, with the first mark on a connection) is not believed, only tried: bash and zsh
// show their name in $0, and start the second shell; fish and tcsh can't read the
// string and start nothing, and the command goes over another session the usual way.
//
// A header costs a round trip: sshd opens the window for stdin only when it has
// started the shell. On a machine that is far (limits.FarRoundTrip) that is more than
// all else, so there a command goes into the string itself, behind the same marks, if
// nothing of it must be hidden from ps and every shell reads it alike.
//
// # Terminals
//
// A command at a PTY is started by the same header, which the PTY carries as it is: it is asked
// for with all modes off that would change, cut or echo a line. The shell gives it the modes of
// a login's before its mark, and nothing is typed before the mark has been seen. The mark on
// stderr comes out on stdout there.
//
// # Hosts of our own
//
// Where the connector says that the SSH server is our own, in a process of ours, the server
// is asked to start the program itself (sshhost.StartRequest): argv, environment and directory are data,
// there is no shell and no mark, and the answer is the proof that the command started. Nobody
// can tell the difference. What the host leaves to a shell goes the usual way, on the
// same session.
//
// # How a command is ended
//
// Its processes are looked for, by short scripts over sessions of their own: its process
// group and login session, whatever has its id in its environment, and their descendants. They
// get TERM, those of a terminal HUP before, and KILL two seconds later. The server holds the clock. The answer says
// what the last look found, or that it is unknown. Ends of several commands on one machine
// share the looks at its processes. The scripts need a POSIX shell and nothing else of the machine.
package remote

import (
	"io"
	"time"
)

// Var is one variable of a command's environment.
type Var struct {
	Name  string
	Value string
}

// Command is one argv to run. It has been checked: names are names, nothing
// holds a NUL byte, Argv[0] is not empty.
type Command struct {
	Argv []string
	Env  []Var
	// Dir is where to run; empty is the user's home.
	Dir string
	// Stdin is fed to the command, then end of file.
	Stdin []byte
	// PTY, where set, is the terminal at which the command runs. An empty Argv is the user's
	// login shell then, as a login shell.
	PTY *PTY
	// OpenStdin leaves stdin, which is empty then, to the caller: see Process.Stdin.
	OpenStdin bool
	// ExecID is the command's SALLYPORT_EXEC_ID.
	ExecID string
	// Timeout counts from the start mark.
	Timeout time.Duration
	// ConnectBy is when the start mark must have come.
	ConnectBy time.Time
	// OutputGrace is how long the output may be silent after the exit status
	// before Wait returns without its end of file.
	OutputGrace time.Duration
	// EndTime bounds how long Wait waits for the end of a command that is ended, and for the
	// look at what is left of it; 0 is limits.EndTimeMax.
	EndTime time.Duration

	// Gate is called once, before anything of the command is sent: a shell may have been
	// requested, which waits for it. If it fails, nothing runs, and Start returns its error.
	Gate func() error
	// Started is called once, when the command has started, and before its first output and
	// the return of Start.
	Started func(Process)
	// Stdout and Stderr take the output, each from one goroutine. A Write that
	// blocks slows the command down; one that fails ends it. After Wait has
	// returned no Write begins, but one that had begun may still be going on.
	Stdout, Stderr io.Writer

	// script, where set, is shell code of our own to run in the argv's place.
	script string
}

// End is why a command is over.
type End int

// Ends of a command that has started, or may have.
const (
	// Exited: the command exited, or a signal that isn't ours ended it.
	Exited End = iota
	// TimedOut: its time-out ended it.
	TimedOut
	// Canceled: the caller's context, or a Write that failed, ended it.
	Canceled
	// Lost: the connection broke while the command ran or was being started, or the machine
	// sent no exit status.
	Lost
	// Late: it started, or may have, when Command.ConnectBy had passed.
	Late
)

// Outcome is how a command that has started is over.
type Outcome struct {
	End End
	// ExitCode is set with Exited; 128+n when signal n ended the command.
	ExitCode int
	// Signal is the name without SIG when a signal ended the command.
	Signal string
	// OutputOpen: a background child still held the output open.
	OutputOpen bool
	// Duration is from the start mark to the end.
	Duration time.Duration
	// StdoutBytes and StderrBytes are what arrived.
	StdoutBytes, StderrBytes int64
	// Survivors is what a forced end left.
	Survivors Survivors
	// Cause says, for the operator, why a command ended that did not exit.
	Cause error
}

// Survivors is what is known of the processes that a forced end left.
type Survivors struct {
	// Forced reports that we ended the command; the other fields are void without it.
	Forced bool
	// Known reports that the machine's processes were looked at, and that nothing can have
	// been missed.
	Known bool
	// Count is the number of the command's processes that are left.
	Count int
}
