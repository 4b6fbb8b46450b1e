package detached

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/id"
)

const (
	// askedMax bounds how many execs are asked for at once.
	askedMax = 4096
	// stateLineMax bounds what is said of one exec, in bytes.
	stateLineMax = 1 << 10
	// numberMax bounds a number that a machine tells: no stream is longer, and no exec.
	numberMax = 1 << 53
)

// Ask asks for the states of execs, 4,096 at most, over one session. The map has no entry for
// an exec of which the machine has said nothing that can be understood.
func (e Execs) Ask(ctx context.Context, asked []Asked) (map[string]State, error) {
	if len(asked) == 0 {
		return map[string]State{}, nil
	}
	if len(asked) > askedMax {
		return nil, fmt.Errorf("detached: %d execs are too many to ask for at once", len(asked))
	}
	var lines strings.Builder
	for _, a := range asked {
		if !id.Is(a.ID) {
			return nil, fmt.Errorf("detached: no exec's id: %q", a.ID)
		}
		bury := 0
		if a.Bury {
			bury = 1
		}
		fmt.Fprintf(&lines, "%s %d\n", a.ID, bury)
	}
	text, err := e.run(ctx, e.argv(script(basePart, spoolPart, askPart)), strings.NewReader(lines.String()), (len(asked)+1)*stateLineMax)
	text, whole := strings.CutSuffix(text, ".\n")
	if !whole {
		return nil, noAnswer(err)
	}
	return parseStates(text, asked), nil
}

// parseStates reads what ask.sh prints. What was not asked for is dropped, and of two lines
// for an exec the first counts.
func parseStates(text string, asked []Asked) map[string]State {
	known := make(map[string]bool, len(asked))
	for _, a := range asked {
		known[a.ID] = true
	}
	states := make(map[string]State, len(asked))
	for line := range strings.Lines(text) {
		if len(line) > stateLineMax {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 || !known[words[0]] {
			continue
		}
		if _, twice := states[words[0]]; !twice {
			states[words[0]] = parseState(words[1:])
		}
	}
	return states
}

// parseState reads what is said of one exec: a phase, and of an end all that is known.
func parseState(words []string) State {
	if words[0] == "ended" {
		return parseEnd(words[1:])
	}
	if len(words) > 1 {
		return State{Phase: SpoolInvalid}
	}
	switch words[0] {
	case "runs":
		return State{Phase: Running}
	case "never":
		return State{Phase: NeverStarted}
	case "lost":
		return State{Phase: SpoolLost}
	case "restarted":
		return State{Phase: MachineRestarted}
	case "gone":
		return State{Phase: SupervisorLost}
	}
	return State{Phase: SpoolInvalid}
}

// The words behind "ended".
const (
	endEnding = iota
	endTimeout
	endCode
	endTimedOut
	endDuration
	endStdoutBytes
	endStderrBytes
	endStdoutFrom
	endStderrFrom
	endOpen
	endUserCPU
	endSystemCPU
	endWords
)

// parseEnd reads how an exec ended. What can't be true is SpoolInvalid.
func parseEnd(words []string) State {
	invalid := State{Phase: SpoolInvalid}
	if len(words) < endWords {
		return invalid
	}
	var n [endWords]int64
	for i := range n {
		var ok bool
		if n[i], ok = figure(words[i]); !ok {
			return invalid
		}
	}
	isBit := func(n int64) bool { return n == 0 || n == 1 }
	if !isBit(n[endEnding]) || !isBit(n[endTimedOut]) || !isBit(n[endOpen]) || n[endCode] < 0 || n[endCode] > 255 ||
		n[endTimeout] < 0 || n[endDuration] < 0 || n[endDuration] > maxDurationMS || n[endStdoutFrom] < 0 || n[endStderrFrom] < 0 {
		return invalid
	}
	s := State{
		Phase: Ended, ExitCode: int(n[endCode]), TimedOut: n[endTimedOut] == 1, Ending: n[endEnding] == 1,
		Duration: time.Duration(n[endDuration]) * time.Millisecond, OutputOpen: n[endOpen] == 1,
		UserCPU: milliseconds(n[endUserCPU]), SystemCPU: milliseconds(n[endSystemCPU]),
	}
	if s.TimedOut && s.Duration < time.Duration(min(n[endTimeout], maxDurationMS))*time.Second {
		return invalid
	}
	var ok [2]bool
	s.StdoutBytes, s.StdoutTruncated, ok[0] = kept(n[endStdoutBytes], n[endStdoutFrom])
	s.StderrBytes, s.StderrTruncated, ok[1] = kept(n[endStderrBytes], n[endStderrFrom])
	if !ok[0] || !ok[1] {
		return invalid
	}
	s.Signal = signalOf(s.ExitCode, words[endWords:])
	return s
}

// maxDurationMS bounds a duration: a time-out of a week, and much more than what may follow it.
const maxDurationMS = 60 * 24 * 3600 * 1000

// unknown is the number for "-", which can't be told.
const unknown = -1

// figure reads a number of a machine's, or "-".
func figure(s string) (n int64, ok bool) {
	if s == "-" {
		return unknown, true
	}
	n, ok = number(s)
	return n, ok && n <= numberMax
}

// kept is what is known of a stream of so many bytes, of which those from on are kept.
func kept(bytes, from int64) (count *int64, truncated, ok bool) {
	if bytes == unknown {
		return nil, true, true
	}
	return &bytes, from > 0, from <= bytes
}

func milliseconds(n int64) *time.Duration {
	if n < 0 || n > maxDurationMS*1000 {
		return nil
	}
	d := time.Duration(n) * time.Millisecond
	return &d
}

// signalNumber is the number of a signal that we send, one of sallyport.Signals; 0 for another.
func signalNumber(name string) int {
	switch name {
	case "HUP":
		return 1
	case "INT":
		return 2
	case "KILL":
		return 9
	case "TERM":
		return 15
	}
	return 0
}

// signalOf is the signal behind an exit code of 128 and more, if it is one that we have sent.
// The shell can't tell it from an exit with that code, so that another's is not guessed.
func signalOf(code int, sent []string) string {
	for _, word := range sent {
		if name, ok := strings.CutPrefix(word, "sig."); ok && signalNumber(name) > 0 && code == 128+signalNumber(name) {
			return name
		}
	}
	return ""
}
