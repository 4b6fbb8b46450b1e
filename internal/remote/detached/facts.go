package detached

import (
	"strings"
	"time"
)

// facts are what a machine tells of a spool: its files run and end, its boot id, and
// /proc/PID/stat of the supervisor that run names.
type facts struct {
	run, boot, stat, end string
	never                bool
}

func (f *facts) add(word, rest string) {
	switch word {
	case "run":
		f.run = rest
	case "boot":
		f.boot = rest
	case "stat":
		f.stat = rest
	case "end":
		f.end = rest
	case "never":
		f.never = true
	}
}

// state is what the facts make: the end was read last, so that a supervisor that was gone
// before has told it, or never will.
func (f *facts) state() State {
	run := strings.Fields(f.run)
	switch {
	case f.never:
		return State{Phase: NeverStarted}
	case strings.HasPrefix(f.end, "ended "):
		return endState(f.end)
	case len(run) == 0:
		return State{Phase: Running} // it is being started
	case len(run) < 4:
		return State{Phase: SpoolInvalid}
	case f.boot != "" && f.boot != run[1]:
		return State{Phase: MachineRestarted}
	}
	rest := f.stat[strings.LastIndexByte(f.stat, ')')+1:] // a command's name may hold anything
	if s := strings.Fields(rest); len(s) < 20 || s[19] != run[3] || s[0] == "Z" || s[0] == "X" {
		return State{Phase: SupervisorLost}
	}
	return State{Phase: Running}
}

// endState reads the line that the supervisor wrote at the end. A number that it couldn't
// tell is -.
func endState(line string) State {
	f := strings.Fields(line)
	if len(f) != 11 {
		return State{Phase: SpoolInvalid}
	}
	var n [11]*int64
	for i := 1; i < len(f); i++ {
		if f[i] == "-" {
			continue
		}
		v, ok := number(f[i])
		if !ok {
			return State{Phase: SpoolInvalid}
		}
		n[i] = &v
	}
	if n[1] == nil || *n[1] > 255 || n[3] == nil || *n[3] > int64(yearMax/time.Millisecond) {
		return State{Phase: SpoolInvalid}
	}
	return State{
		Phase: Ended, ExitCode: int(*n[1]), TimedOut: is(n[2]), Duration: time.Duration(*n[3]) * time.Millisecond,
		StdoutBytes: n[4], StderrBytes: n[5], StdoutTruncated: is(n[6]), StderrTruncated: is(n[7]), OutputOpen: is(n[8]),
		UserCPU: processorTime(n[9]), SystemCPU: processorTime(n[10]),
	}
}

// yearMax bounds the times that are believed.
const yearMax = 366 * 24 * time.Hour

func is(n *int64) bool { return n != nil && *n > 0 }

func processorTime(ms *int64) *time.Duration {
	if ms == nil || *ms > int64(yearMax/time.Millisecond) {
		return nil
	}
	d := time.Duration(*ms) * time.Millisecond
	return &d
}
