package limits

import "time"

// Terminals.
const (
	// RunningTerminals is how many terminals of one organisation run at once, and
	// RunningTerminalsPerWorkspace how many on one of its machines.
	RunningTerminals             = 256
	RunningTerminalsPerWorkspace = 64
	// HangUpGrace is how long what a terminal has left may take to end by itself behind the
	// HUP, before what has survived is counted, and HangUpLookTime bounds that and the count.
	HangUpGrace    = 2 * time.Second
	HangUpLookTime = 30 * time.Second
	// TerminalResume is how long a terminal goes on whose connection is lost, and
	// TerminalResumeMax the most that may be configured.
	TerminalResume    = time.Minute
	TerminalResumeMax = time.Hour
	// TerminalWatchersMax is how many watch a terminal at once.
	TerminalWatchersMax = 16
	// TerminalStartTime is how long a client may take to say what it wants.
	TerminalStartTime = 10 * time.Second
	// TerminalPassedBytesMax bounds a message about a terminal between two servers.
	TerminalPassedBytesMax = 64 << 10
	// TerminalExitGrace is how long a terminal may be silent behind its program's exit status
	// before it is over without its end: SSH servers close it with the program.
	TerminalExitGrace = 5 * time.Second
)
