package gateway

import (
	"errors"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/remote"
)

// Reasons of a terminal's row that its client ended.
const (
	reasonHangUp = "hangup"
	reasonLost   = "lost"
)

// hangUp ends a terminal as its client does that leaves, or stays lost. reason is the row's.
func hangUp(reason, message string) *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeCanceled, "%s", message).WithReason(reason).WithStarted(true).Because(remote.ErrHungUp)
}

// conclude says what became of a terminal: in its row, and to its client.
func (r *terminalRun) conclude(o remote.Outcome, err error) (audit.End, *sallyport.TerminalExit, error) {
	ran := err == nil
	var end audit.End
	var exit *sallyport.TerminalExit
	switch {
	case !ran:
		end, err = terminalFailed(err)
	case o.End == remote.Exited:
		var result sallyport.ExecResult
		end, result, _ = concludeExited(o)
		exit = &sallyport.TerminalExit{Type: sallyport.FrameExit, ExitCode: result.ExitCode, Signal: result.Signal, DurationMS: result.DurationMS}
	case o.End == remote.TimedOut:
		end, _, err = concludeError(sallyport.StatusTimeout, terminalTimeout(sallyport.ReasonTotal, r.spec.TimeoutS))
	case o.End == remote.Lost:
		end, _, err = concludeError(sallyport.StatusError, lost(o.Cause))
	default:
		end, err = terminalCanceled(o.Cause)
	}
	out := audit.TerminalOutcome{Ran: ran, Duration: o.Duration, OutputBytes: o.StdoutBytes, SurvivorsUnknown: o.Survivors.Forced && !o.Survivors.Known}
	out.InputBytes, out.Resumes = r.counts()
	if o.Survivors.Known {
		out.Survivors = &o.Survivors.Count
	}
	if exit != nil {
		out.ExitCode, out.Signal = &exit.ExitCode, exit.Signal
	}
	end.Outcome, end.NothingRan = out, nothingRan(err)
	return end, exit, err
}

func terminalTimeout(reason string, seconds int) *sallyport.Error {
	e := sallyport.Errorf(sallyport.CodeTerminalTimeout, "the terminal was ended: its whole life may be %d s", seconds)
	if reason == sallyport.ReasonIdle {
		e.Message = sallyport.Errorf("", "the terminal was ended: nothing came or went for %d s", seconds).Message
	}
	e.TimeoutS = seconds
	return e.WithReason(reason).WithStarted(true)
}

// terminalFailed is the end of a terminal whose program did not start.
func terminalFailed(err error) (audit.End, error) {
	end, _, err := concludeFailed(err)
	known, isKnown := errors.AsType[*sallyport.Error](err)
	switch {
	case isKnown && known.Code == sallyport.CodeTooManyExecs:
		known = sallyport.Errorf(sallyport.CodeTooManyTerminals, "%s", known.Message).WithReason(known.Reason).WithStarted(false).Because(err)
		end.Code, err = known.Code, known
	case isKnown && endsTerminals(known.Code):
		end = audit.End{Status: sallyport.StatusCanceled, Reason: string(known.Code)}
	}
	return end, err
}

// terminalCanceled is the end of a terminal that its client ended, or we.
func terminalCanceled(cause error) (audit.End, error) {
	known, isKnown := errors.AsType[*sallyport.Error](cause)
	switch {
	case isKnown && errors.Is(cause, remote.ErrHungUp):
		return audit.End{Status: sallyport.StatusCanceled, Reason: known.Reason}, known
	case isKnown && endsTerminals(known.Code):
		return audit.End{Status: sallyport.StatusCanceled, Reason: string(known.Code)}, endedTerminal(known)
	case isKnown && known.Code == sallyport.CodeTerminalTimeout:
		end, _, err := concludeError(sallyport.StatusTimeout, known)
		return end, err
	case isKnown:
		end, _, err := concludeError(sallyport.StatusError, known.WithStarted(true))
		return end, err
	}
	end, _, err := concludeCanceled(endedBy(cause))
	return end, err
}

func endedTerminal(known *sallyport.Error) *sallyport.Error {
	known = known.WithStarted(true)
	if known.Code == sallyport.CodeDraining {
		known.Message = "the server is ending, and has ended the terminal"
	}
	return known
}

// endsTerminals tells whether code is a reason of ours for ending a terminal.
func endsTerminals(code sallyport.Code) bool { return endsForwards(code) }
