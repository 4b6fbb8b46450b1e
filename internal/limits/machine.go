package limits

import "time"

// Ending a command.
const (
	// TermGrace is how long a process group has between TERM and KILL.
	TermGrace = 2 * time.Second
	// EndTimeMax is when an answer goes out after a deadline, whatever the
	// machine says.
	EndTimeMax = 3 * time.Second
	// OutputGrace is how long stdout and stderr may stay silent after the exit
	// status before the answer ends without their end of file.
	OutputGrace = 250 * time.Millisecond
	// EndBehindTime is how long the end of a command goes on behind its answer, where the
	// machine is slow to take it: each look may wait for the rc files of a login shell.
	EndBehindTime = 45 * time.Second
	// ScriptBytesMax bounds a machine's answer to a script of ours: StraysMax lines
	// of 30 bytes, GoalsPerLook of 8, and some more.
	ScriptBytesMax = 8 << 10
	// StraysMax bounds the processes that are followed outside of their process group, and
	// GoalsPerLook the commands whose processes are looked for at once.
	StraysMax    = 200
	GoalsPerLook = 64
)

// Reaching a machine.
const (
	// ConnectTime is the budget for reaching a machine and seeing the command
	// start; a command's own time-out begins after it.
	ConnectTime = 15 * time.Second
	// DialTellTime is left of it when a dial is given up, so that its callers, whose
	// budget began before, learn the cause of the wait.
	DialTellTime = 250 * time.Millisecond
	// SessionsPerConnection is how many sessions are busy at once on one SSH
	// connection: OpenSSH frees them late, and refuses more than MaxSessions (10).
	SessionsPerConnection = 5
	// ConnectionsPerWorkspace bounds the connections to one workspace's machine.
	ConnectionsPerWorkspace = 64
	// ConnectionsIdleMax bounds the warm connections of all workspaces.
	ConnectionsIdleMax = 1024
	// ConnectionIdleTime is how long a warm connection waits for its next session.
	ConnectionIdleTime = 5 * time.Minute
	// ReadAheadBytes is what is read at once from a connection on which much comes: four of
	// OpenSSH's packets.
	ReadAheadBytes = 128 << 10
	// SlotWaitersMax bounds the callers that wait for a session of one workspace's machine: four
	// times the execs that may run there. Later ones are refused at once.
	SlotWaitersMax = 1024
	// SlotsGrowAfter is how long after a refusal a connection that is full is tried
	// with one session more: a refusal costs a round trip, and may have been due to
	// a session that sshd had not freed yet.
	SlotsGrowAfter = 10 * time.Second
	// RefusedPause is how long a caller waits whom a connection has refused its only
	// session: sshd frees one some milliseconds after it has confirmed its end.
	RefusedPause = 25 * time.Millisecond
	// AheadTrustTime is how long ago a connection may have been heard of for a session
	// that was opened ahead on it to be used unasked: it may be half-open by now, and
	// a command is sent that can't be taken back.
	AheadTrustTime = 3 * time.Second
	// DialBackoffMin and DialBackoffMax bound the pause after a dial that failed, which
	// doubles with each: in it every caller gets the same error at once.
	DialBackoffMin = 100 * time.Millisecond
	DialBackoffMax = 10 * time.Second
	// ProbeJoinTime is how long others join a caller who dials a machine that was
	// dead: one that is back has answered by then, of the rest no more pile up.
	ProbeJoinTime = time.Second
	// LoginBytesMax bounds the bytes that a machine sends until the login is done: greeting, key
	// exchange and banner take a few kB.
	LoginBytesMax = 256 << 10
	// RekeyBytesMin is how much a connection must have carried since the last exchange of keys
	// for one to be free: each costs a millisecond of processor time, and sshd's RekeyLimit
	// may be as low as 64K. RekeysPerMinuteMax bounds those that come sooner.
	RekeyBytesMin      = 32 << 10
	RekeysPerMinuteMax = 60
	// ForeignChannelsMax and RequestsPerMinuteMax bound a machine's requests of us: an
	// honest sshd opens no channel to a client, and asks once a second at most whether
	// it is there (ClientAliveInterval).
	ForeignChannelsMax   = 16
	RequestsPerMinuteMax = 600
	// ForwardsUnansweredMax bounds the forwards on one connection that the machine hasn't
	// answered and whose callers have gone: it may take minutes to find that nothing
	// answers there, and each costs a goroutine meanwhile.
	ForwardsUnansweredMax = 64
	// MachinesRemembered bounds of how many workspaces is kept how their machine was
	// last reached, of 1 KiB each, and MachineMemoryTime for how long.
	MachinesRemembered = 4096
	MachineMemoryTime  = 24 * time.Hour
	// KeepaliveEvery and KeepaliveTimeout find a half-open connection within 15 s:
	// nothing has come for the time-out though an answer is due.
	KeepaliveEvery   = 10 * time.Second
	KeepaliveTimeout = 5 * time.Second
	// AnswerTimeMax is how long an answer may be due on a connection on which other
	// things come: five windows of 2 MiB stand before it, at 200 kB/s.
	AnswerTimeMax = time.Minute
	// FarRoundTrip is from when on an exec is written into the command line, where it
	// can be, which saves a round trip and costs the overlap of the row's commit with
	// the start of a process: about a millisecond and a half.
	FarRoundTrip = 3 * time.Millisecond
	// PlainBytesMax bounds an argv that is written into the command line: the shell
	// that it starts is one argument, of which Linux takes 128 KiB.
	PlainBytesMax = 16 << 10
	// HostStartBytesMax bounds a request to start a program on a host of our own: an SSH
	// packet of the library's takes 256 KiB.
	HostStartBytesMax = 192 << 10
	// PreambleBytesMax bounds the output of rc files before a command's mark.
	PreambleBytesMax = 1 << 20
	// MarkBytesMax bounds the line of a mark: a word, a number and a name.
	MarkBytesMax = 128
	// MarkGrace is how long output waits for a mark that has gone astray, so that it is
	// not taken for output where an rc file has redirected it.
	MarkGrace = 50 * time.Millisecond
)
