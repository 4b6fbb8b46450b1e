package detached

import "strings"

// facts are what a machine tells of a spool: its files run and end, its boot id,
// /proc/PID/stat of the supervisor that run names, and the names of files that tell by being
// there.
type facts struct {
	run, boot, stat, end string
	never, ending        bool
	signals              []string
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
	case "mark":
		f.mark(rest)
	}
}

func (f *facts) mark(name string) {
	switch name {
	case "never":
		f.never = true
	case "ending":
		f.ending = true
	default:
		f.signals = append(f.signals, name)
	}
}

// state is what the facts make, as Ask tells it. The end was read behind the supervisor: one
// that was gone by then has told it, or never will.
func (f *facts) state() State {
	run := strings.Fields(f.run)
	switch {
	case f.never, len(run) > 0 && run[0] == "0":
		return State{Phase: NeverStarted}
	case len(run) == 0:
		return State{Phase: Running} // it is being started
	case len(run) != runWords || run[0] != "1":
		return State{Phase: SpoolInvalid}
	case strings.HasPrefix(f.end, "ended "):
		return f.ended(run[runTimeout])
	case f.boot != run[runBoot]:
		return State{Phase: MachineRestarted}
	}
	rest := f.stat[strings.LastIndexByte(f.stat, ')')+1:] // a program's name may hold anything
	if s := strings.Fields(rest); len(s) < 20 || s[19] != run[runStart] || s[0] == "Z" || s[0] == "X" {
		return State{Phase: SupervisorLost}
	}
	return State{Phase: Running}
}

// The words of the file run.
const (
	runBoot    = 1
	runStart   = 3
	runTimeout = 7
	runWords   = 9
)

func (f *facts) ended(timeout string) State {
	ending := "0"
	if f.ending {
		ending = "1"
	}
	words := append([]string{ending, timeout}, strings.Fields(f.end)[1:]...)
	return parseEnd(append(words, f.signals...))
}
