// Package detached starts commands on a machine that outlive the session which starts them,
// asks how they are, ends them, and reads the output that waits for its readers there.
//
// Nothing is installed on the machine. Everything is done by short POSIX shell scripts over
// sessions of their own; what must not be seen in a list of processes travels on stdin. A
// command is known by its id alone: its directory on the machine, the spool, bears that name.
//
// # The spool
//
// The base is $HOME/.sallyport/execs, or, where that can't be made or written,
// /var/tmp/sallyport-UID/execs. A spool is a directory BASE/ID, 0700, made by mkdir: whoever
// makes it owns the exec. In it are
//
//   - stdout.N and stderr.N, the segments of the streams: N is the offset of the segment's
//     first byte. A segment grows by appends; the newest has the largest N. The oldest is
//     removed while the rest holds as much as is to be kept.
//   - run, one line, written before the start: 1 BOOT_ID SUPERVISOR_PID SUPERVISOR_STARTTIME
//     GROUP GROUP_STARTTIME MAX_OUTPUT_BYTES TIMEOUT_S STARTED_UPTIME; or 0,
//     made by a burial, and nothing starts.
//   - end, made full of spaces before the start, and overwritten in place at the end, so that
//     a full disk doesn't lose it: ended CODE TIMEDOUT DURATION_MS STDOUT_BYTES STDERR_BYTES
//     STDOUT_KEPT_FROM STDERR_KEPT_FROM OPEN UTIME_MS STIME_MS, - for what can't be told.
//   - ending, made before we end the command.
//   - clock, one line: the PID and the start time of the process that keeps the time-out.
//   - sig.NAME, made before we send a signal.
//   - never, in a tombstone. Nothing ran by this id, and nothing will.
//
// # Trust
//
// What a machine says is parsed by length, number and table, within bounds, and becomes no
// part of a script. A machine can lie about its own detached execs, and about nothing else.
package detached

import (
	"context"
	"io"
	"time"
)

// Machine runs scripts where the execs are.
type Machine interface {
	// Run runs argv, with all of stdin, and writes what it prints to stdout. It returns
	// when the command has exited and its output is written, or with the *sallyport.Error
	// that kept it from that. When stdout fails, the command is ended, and that error
	// returned.
	Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error
}

// Execs are the detached execs of one login user's machine. It is safe for concurrent use,
// as far as its machine is.
type Execs struct {
	Machine Machine
	// Shell is the path of a POSIX shell on the machine; empty is /bin/sh.
	Shell string
}

// EnvVar is one variable of a command's environment.
type EnvVar struct {
	Name  string
	Value string
}

// Command is one argv to start. It has been checked: names are names, nothing holds a NUL.
type Command struct {
	// ID is the exec's id, of the form that package id makes.
	ID   string
	Argv []string
	Env  []EnvVar
	// Cwd is where to run; empty is the user's home.
	Cwd string
	// Stdin is fed to the command, then end of file.
	Stdin []byte
	// Timeout is kept by the machine. It counts from the start, in whole seconds.
	Timeout time.Duration
	// MaxOutputBytes is how much of each stream is kept: the newest so many bytes at least,
	// and a quarter more at most.
	MaxOutputBytes int64
}

// Phase is where a detached exec is in its life, as far as its machine can tell.
type Phase string

// The phases of an exec. All but Running are final.
const (
	// Running: its supervisor lives.
	Running Phase = "running"
	// Ended: the machine tells how it ended.
	Ended Phase = "ended"
	// NeverStarted: nothing ran by this id, and nothing will.
	NeverStarted Phase = "never_started"
	// SupervisorLost: the process that watches it is gone without telling its end. The
	// command may still live: see End.
	SupervisorLost Phase = "supervisor_lost"
	// MachineRestarted: the machine has booted since the start.
	MachineRestarted Phase = "machine_restarted"
	// SpoolLost: there is no such spool any more.
	SpoolLost Phase = "spool_lost"
	// SpoolInvalid: the machine tells what can't be true.
	SpoolInvalid Phase = "spool_invalid"
)

// State is what the machine tells of an exec.
type State struct {
	Phase Phase
	// The fields below are those of an exec in the phase Ended.

	// ExitCode is 0 to 255. It is of no meaning with TimedOut.
	ExitCode int
	// Signal is the name of the signal that ended it, without SIG; empty where the machine
	// can't tell.
	Signal string
	// TimedOut reports that its time-out ended it.
	TimedOut bool
	// Ending reports that an End of ours was under way.
	Ending bool
	// Duration is by the machine's monotonic clock.
	Duration time.Duration
	// StdoutBytes and StderrBytes are what was written; nil if nobody could count.
	StdoutBytes, StderrBytes *int64
	// StdoutTruncated and StderrTruncated report that not all of it was kept at the end.
	StdoutTruncated, StderrTruncated bool
	// OutputOpen reports that a background child still held the output shortly after the end.
	OutputOpen bool
	// UserCPU and SystemCPU are of the command and the children that it waited for; nil
	// where the machine doesn't tell.
	UserCPU, SystemCPU *time.Duration
}

// Asked is an exec whose state is asked for.
type Asked struct {
	ID string
	// Bury makes a tombstone where there is no spool, so that a start which is still on its
	// way never happens: the phase is NeverStarted then, and SpoolLost otherwise.
	Bury bool
}

// Survivors is what is known of a command's processes after its end by us.
type Survivors struct {
	// Known reports that the machine's processes were looked at.
	Known bool
	// Count is the number of the command's processes that are left.
	Count int
}

// Read is what to read of an exec's output.
type Read struct {
	ID             string
	Stdout, Stderr bool
	// SinceStdout and SinceStderr are the offsets of the first bytes wanted; -N is the
	// newest N bytes.
	SinceStdout, SinceStderr int64
	// Follow goes on until the exec has ended.
	Follow bool
	// MaxBytes ends the reading after so many bytes of both streams; 0 is without bound.
	MaxBytes int64
	// Begun is called once, before the first frame, with the offsets of the first bytes; nil
	// is nobody. Its error ends the reading.
	Begun func(stdout, stderr int64) error
}

// Frame is a piece of output, or a gap in it. The frames of one stream come in order,
// without gap or overlap.
type Frame struct {
	// Stream is sallyport.Stdout or sallyport.Stderr.
	Stream string
	// Offset is that of the first byte in the stream.
	Offset int64
	// Data is valid until the function that takes the frame returns.
	Data []byte
	// Skipped is how many bytes from Offset on are not kept any more; Data is empty then.
	Skipped int64
}

// Result is how a reading ended.
type Result struct {
	// Ended reports that the exec has ended, as State tells; all of its output was read then,
	// if MaxBytes was not reached. While it runs, State is Running.
	Ended bool
	State State
	// NextStdout and NextStderr are the offsets to go on from.
	NextStdout, NextStderr int64
}
