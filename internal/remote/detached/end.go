package detached

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sallyport/internal/id"
)

// Signal sends a signal, by its name without SIG, to the process group of a command. It
// reports whether the command was there to take it: one that has ended, or has not started
// yet, is not. The signals are those of sallyport.Signals.
func (e Execs) Signal(ctx context.Context, execID, name string) (sent bool, err error) {
	if !id.Is(execID) || signalNumber(name) == 0 {
		return false, fmt.Errorf("detached: no exec's id, or no signal that is sent: %q, %q", execID, name)
	}
	answer, err := e.run(ctx, e.argv(script(basePart, spoolPart, signalPart), execID, name), strings.NewReader(""), answerMax)
	switch answer {
	case "sent\n":
		return true, nil
	case "gone\n":
		return false, nil
	}
	return false, noAnswer(err)
}

// End ends a command: its process group gets TERM, and KILL two seconds later, and its State
// tells Ending. It returns when the group is gone and the end is written, or shortly behind
// the KILL. A command that has not started yet never does; one that has ended is let be, with
// what it left behind. Where the supervisor is gone, what it left to collect the output goes
// as well.
//
// It counts the processes of the group alone: those that left it are found by their
// SALLYPORT_EXEC_ID, as those of any exec are. Of an exec without a spool nothing is known.
func (e Execs) End(ctx context.Context, execID string) (Survivors, error) {
	if !id.Is(execID) {
		return Survivors{}, fmt.Errorf("detached: no exec's id: %q", execID)
	}
	answer, err := e.run(ctx, e.argv(script(basePart, spoolPart, endPart), execID), strings.NewReader(""), answerMax)
	words := strings.Fields(answer)
	switch {
	case len(words) == 1 && words[0] == "lost":
		return Survivors{}, nil
	case len(words) != 3 || words[0] != "left":
		return Survivors{}, noAnswer(err)
	}
	count, ok := number(words[2])
	if !ok || count > processesMax {
		return Survivors{}, noAnswer(nil)
	}
	return Survivors{Known: words[1] == "1", Count: int(count)}, nil
}

// processesMax is how many processes Linux can have.
const processesMax = 4 << 20

// Remove removes the spools of execs, 4,096 at most, with their output, or their tombstones.
// It lets be whatever runs: see End. What is gone already is no error.
func (e Execs) Remove(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if len(ids) > askedMax {
		return fmt.Errorf("detached: %d execs are too many to remove at once", len(ids))
	}
	for _, execID := range ids {
		if !id.Is(execID) {
			return fmt.Errorf("detached: no exec's id: %q", execID)
		}
	}
	stdin := strings.NewReader(strings.Join(ids, "\n") + "\n")
	answer, err := e.run(ctx, e.argv(script(basePart, removePart)), stdin, (len(ids)+1)*stateLineMax)
	rest, whole := strings.CutSuffix(answer, ".\n")
	if !whole {
		return noAnswer(err)
	}
	if rest != "" {
		return errLeft
	}
	return nil
}

var errLeft = errors.New("detached: an output could not be removed")

// noAnswer is the error of a script that has said nothing of use.
func noAnswer(err error) error {
	if err == nil || errors.Is(err, errTooMuch) {
		return errNoAnswer
	}
	return err
}
