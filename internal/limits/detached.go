package limits

import "time"

// Detached execs.
const (
	// DetachedExecs is how many detached execs of one organisation run at once, and
	// DetachedExecsPerWorkspace how many on one of its machines.
	DetachedExecs             = 1024
	DetachedExecsPerWorkspace = 256
	// DetachedTimeout and DetachedKeep are the longest time-out, and the longest time that an
	// output is kept behind its end; DetachedDefault is either where nothing is asked for.
	DetachedTimeout = 7 * 24 * time.Hour
	DetachedKeep    = 7 * 24 * time.Hour
	DetachedDefault = 24 * time.Hour
	// DetachedOutputBytesMin and DetachedOutputBytesMax bound what is kept of each stream, and
	// DetachedOutputBytesDefault is kept where nothing is asked for.
	DetachedOutputBytesMin     = 64 << 10
	DetachedOutputBytesMax     = 1 << 30
	DetachedOutputBytesDefault = 16 << 20
	// DetachedGiveUp is how long, behind its time-out, an exec is asked for whose machine
	// can't be reached.
	DetachedGiveUp = time.Hour
	// DetachedOverdue is how long a machine may take to end an exec at its time-out, which counts
	// from its start there and not from its row, before we do.
	DetachedOverdue = 90 * time.Second
	// DetachedAskEvery is how often a machine is asked for its detached execs, and
	// DetachedAskEveryEIC where tunnels are few. One that can't be reached is asked again
	// after DetachedAskAgainMax at most.
	DetachedAskEvery    = 3 * time.Second
	DetachedAskEveryEIC = 30 * time.Second
	DetachedAskAgainMax = time.Minute
	// DetachedAskTime bounds one such question.
	DetachedAskTime = 30 * time.Second
	// DetachedAsksMax is how many machines are asked at once.
	DetachedAsksMax = 16
	// DetachedRemoveMax is how many outputs are removed at once.
	DetachedRemoveMax = 4096
	// DetachedFresh is how long an answer of the machine's is as good as another.
	DetachedFresh = time.Second
	// OutputFollowersPerWorkspace is how many read outputs of one machine at once, on one
	// server.
	OutputFollowersPerWorkspace = 64
	// ExecWaitMax is how long a GET waits for an exec's end at the longest.
	ExecWaitMax = time.Minute
	// OutputReadEvery is how often a reader of another's output leaves a row.
	OutputReadEvery = time.Hour
	// OutputReadersMax bounds who is known to have read; the rest leave a row each time.
	OutputReadersMax = 10_000
)
