package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/remote"
)

// concludeExec says what became of an exec: in its row, and to its caller. err is
// that of a command that didn't start, and stdin how much of a streamed one was passed on.
func concludeExec(e Exec, o remote.Outcome, stdin *int64, err error) (end audit.End, result sallyport.ExecResult, told error) {
	defer func() {
		end.Outcome = execOutcome(e, o, stdin, err == nil)
		end.NothingRan = nothingRan(told)
	}()
	switch {
	case err != nil:
		return concludeFailed(err)
	case o.End == remote.Exited:
		end, result, told = concludeExited(o)
		if e.Output != nil {
			result.StdoutBytes, result.StderrBytes = &o.StdoutBytes, &o.StderrBytes
		}
		return end, result, told
	case o.End == remote.TimedOut:
		passed := sallyport.Errorf(sallyport.CodeExecTimeout, "the command was ended: it took longer than its time-out of %d s", e.TimeoutS)
		passed.TimeoutS = e.TimeoutS
		return concludeError(sallyport.StatusTimeout, passed)
	case o.End == remote.Lost:
		return concludeError(sallyport.StatusError, lost(o.Cause))
	case o.End == remote.Canceled && !isInternal(o.Cause):
		return concludeCanceled(endedBy(o.Cause))
	}
	var known *sallyport.Error
	if !errors.As(o.Cause, &known) {
		return audit.End{Status: sallyport.StatusError}, sallyport.ExecResult{}, fmt.Errorf("exec ended for no reason: %w", o.Cause)
	}
	return concludeError(sallyport.StatusError, known.WithStarted(true))
}

// endedBy is what the caller of a command that had started is told of who ended it: not to
// try again, which would run it twice.
func endedBy(cause error) *sallyport.Error {
	by := canceledBy(cause).WithStarted(true)
	if by.Code == sallyport.CodeDraining {
		by.Message = "the server is ending, and has ended the command"
	}
	return by
}

// execOutcome is what the row says of a command that ran, or of what is left of one.
func execOutcome(e Exec, o remote.Outcome, stdin *int64, ran bool) audit.ExecOutcome {
	out := audit.ExecOutcome{
		Ran: ran, StdinBytes: stdin, Duration: o.Duration, StdoutBytes: o.StdoutBytes, StderrBytes: o.StderrBytes,
		StdoutTruncated: e.cut(o.StdoutBytes), StderrTruncated: e.cut(o.StderrBytes),
		SurvivorsUnknown: o.Survivors.Forced && !o.Survivors.Known,
	}
	if o.Survivors.Known {
		out.Survivors = &o.Survivors.Count
	}
	if ran && o.End == remote.Exited {
		out.ExitCode, out.Signal = &o.ExitCode, o.Signal
	}
	return out
}

func concludeExited(o remote.Outcome) (audit.End, sallyport.ExecResult, error) {
	end := audit.End{Status: sallyport.StatusOK}
	if o.ExitCode != 0 || o.Signal != "" {
		end.Status = sallyport.StatusError
	}
	return end, sallyport.ExecResult{
		ExitCode: o.ExitCode, Signal: o.Signal, OutputOpen: o.OutputOpen, DurationMS: o.Duration.Milliseconds(),
	}, nil
}

// concludeFailed is the end of a command that did not start, or of which nobody
// knows.
func concludeFailed(err error) (audit.End, sallyport.ExecResult, error) {
	var known *sallyport.Error
	isKnown := errors.As(err, &known)
	if isKnown && known.Code == sallyport.CodeInterrupted {
		return concludeError(sallyport.StatusError, notBegun(err))
	}
	if errors.Is(err, context.Canceled) || (isKnown && endsCalls(known.Code)) {
		return concludeCanceled(canceledBy(err).WithStarted(false))
	}
	if !isKnown {
		return audit.End{Status: sallyport.StatusError, Code: sallyport.CodeInternal}, sallyport.ExecResult{}, err
	}
	if known.Started == nil && known.Code != sallyport.CodeTooManyExecs {
		known = known.WithStarted(false)
	}
	return concludeError(sallyport.StatusError, known)
}

// concludeError writes the caller's error into the row.
func concludeError(status string, err *sallyport.Error) (audit.End, sallyport.ExecResult, error) {
	return audit.End{Status: status, Code: err.Code, Reason: err.Reason}, sallyport.ExecResult{}, err
}

// concludeCanceled is the end of an exec that its caller canceled, or we for a
// reason that the row tells.
func concludeCanceled(err *sallyport.Error) (audit.End, sallyport.ExecResult, error) {
	end := audit.End{Status: sallyport.StatusCanceled}
	if err.Code != sallyport.CodeCanceled {
		end.Reason = string(err.Code)
	}
	return end, sallyport.ExecResult{}, err
}

// lost is what a caller is told of a command whose connection broke: the machine's way of
// breaking off, where that is known, or that it ran.
func lost(cause error) *sallyport.Error {
	var known *sallyport.Error
	if errors.As(cause, &known) {
		return known.WithStarted(true)
	}
	return sallyport.Errorf(sallyport.CodeExecTransport, "the connection to the machine broke while the command ran").WithStarted(true).Because(cause)
}

func isInternal(err error) bool {
	var known *sallyport.Error
	return errors.As(err, &known) && known.Code == sallyport.CodeInternal
}

// canceledBy says who ended an exec: the server, whose reason is in the chain, or
// the caller.
func canceledBy(cause error) *sallyport.Error {
	var known *sallyport.Error
	if errors.As(cause, &known) && endsCalls(known.Code) {
		return known
	}
	return sallyport.Errorf(sallyport.CodeCanceled, "the exec was canceled by its caller").Because(cause)
}

// endsCalls tells whether code is a reason of ours for ending a running call.
func endsCalls(code sallyport.Code) bool {
	return slices.Contains([]sallyport.Code{sallyport.CodeDraining, sallyport.CodeRevoked, sallyport.CodeWorkspaceDeleted, sallyport.CodeInterrupted}, code)
}
