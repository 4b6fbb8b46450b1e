package remote

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/limits"
)

// await waits for the command's end and that of its output.
//
// A command that has ended in time keeps its result while its output is waited for:
// for the grace in which it may fall silent, and for a slow reader. A child that
// goes on printing after that is ended by the deadline, as the command would be.
func (r *run) await(ctx context.Context) *Outcome {
	w := &waiting{run: r, deadline: time.NewTimer(r.cmd.Timeout), by: time.Now().Add(r.cmd.Timeout)}
	defer w.deadline.Stop()
	quietCtx, stop := context.WithCancel(ctx)
	defer stop()
	stdout, stderr, closed := r.stdout.ended, r.stderr.ended, r.closed
	for !w.over || stdout != nil || stderr != nil {
		select {
		case e := <-r.exit:
			w.exit(quietCtx, e)
		case <-stdout:
			stdout = nil
		case <-stderr:
			stderr = nil
		case <-closed:
			closed = nil
			w.over = w.over || len(r.exit) == 0 // an exit status that has come is taken first
		case <-w.quiet:
			w.exited.OutputOpen = true
			return r.count(*w.exited)
		case <-w.deadline.C:
			if out := w.late(ctx, quietCtx); out != nil {
				return out
			}
		case <-ctx.Done():
			return w.cancel(ctx, context.Cause(ctx))
		case err := <-r.stdout.failed:
			return w.cancel(ctx, err)
		case err := <-r.stderr.failed:
			return w.cancel(ctx, err)
		}
	}
	switch {
	case w.exited == nil:
		return r.force(ctx, Outcome{End: Lost, Cause: errors.New("no exit status")}, false)
	case r.s.Broken(): // its output may have been cut, also behind the exit status
		return r.force(ctx, Outcome{End: Lost, Cause: errors.New("the connection broke before the end of the output was seen")}, true)
	}
	return r.count(*w.exited)
}

// waiting is the state of await: the command runs, or its output still comes.
type waiting struct {
	run      *run
	deadline *time.Timer
	by       time.Time // the command's deadline
	over     bool      // the command has ended, or its session has
	blocked  bool      // the reader held the output back when that was last looked at
	exited   *Outcome  // set when the exit status has come
	quiet    chan struct{}
}

// exit takes the exit status, and begins to wait for the output's end.
func (w *waiting) exit(quietCtx context.Context, e exit) {
	r := w.run
	w.over = true
	w.exited = &Outcome{End: Exited, ExitCode: e.code, Signal: e.signal, Duration: time.Since(r.began)}
	w.quiet = make(chan struct{})
	r.s.Go(func() { r.awaitQuiet(quietCtx, w.quiet) })
	if grace := 2 * r.cmd.OutputGrace; time.Until(w.by) < grace {
		w.deadline.Reset(grace)
	}
}

// takeExit takes an exit status that has come in the same moment as something else.
func (w *waiting) takeExit(quietCtx context.Context) bool {
	select {
	case e := <-w.run.exit:
		w.exit(quietCtx, e)
		return true
	default:
		return false
	}
}

// late decides what a passed deadline means: it returns the outcome of a command that is
// over, or nil where the deadline was moved.
func (w *waiting) late(ctx, quietCtx context.Context) *Outcome {
	r := w.run
	switch {
	case w.takeExit(quietCtx):
		return nil
	case w.exited == nil:
		return r.force(ctx, Outcome{End: TimedOut}, w.over)
	case r.cmd.PTY != nil:
		return w.cancel(ctx, errSlowReader)
	}
	blocked, late := r.stdout.isBlocked() || r.stderr.isBlocked(), time.Since(w.by) > limits.SlowReaderTime
	switch {
	case !blocked && (late || !w.blocked):
		return r.force(ctx, Outcome{End: TimedOut}, w.over)
	case blocked && (late || time.Since(r.lastByte()) > limits.AnswerWriteTime):
		return w.cancel(ctx, errSlowReader)
	case blocked:
		w.deadline.Reset(r.cmd.OutputGrace)
	default: // the reader has just taken what it held back: the rest may be on its way
		w.deadline.Reset(2 * r.cmd.OutputGrace)
	}
	w.blocked = blocked
	return nil
}

// errSlowReader is why a command is Canceled that has ended while nobody reads
// what it wrote.
var errSlowReader = errors.New("the output's reader has stopped")

func (w *waiting) cancel(ctx context.Context, cause error) *Outcome {
	exited := w.exited != nil || len(w.run.exit) > 0
	switch isPTY := w.run.cmd.PTY != nil; {
	case isPTY && w.exited != nil: // what it has left behind lives on
		return w.run.count(*w.exited)
	case isPTY && errors.Is(cause, ErrHungUp):
		return w.run.hangUp(ctx, cause)
	}
	return w.run.force(ctx, Outcome{End: Canceled, Cause: cause}, exited)
}

// awaitQuiet closes quiet when the output has been silent for the grace, counted
// from the answer to a round trip that began after the exit status: what the
// command wrote has then arrived. Time in which the caller holds the output back
// doesn't count, and asks for another round trip, since the window may have been
// shut.
func (r *run) awaitQuiet(ctx context.Context, quiet chan<- struct{}) {
	// Nearly every command's output ends with it: no round trip for those.
	if !wait(ctx, 10*time.Millisecond) {
		return
	}
	for {
		holds := r.holds()
		if err := r.s.Ping(ctx); err != nil {
			return // the channel has closed, or nobody waits any more
		}
		since := time.Now()
		for holds == r.holds() {
			if last := r.lastByte(); last.After(since) {
				since = last
			}
			left := r.cmd.OutputGrace - time.Since(since)
			if r.stdout.isBlocked() || r.stderr.isBlocked() {
				left = r.cmd.OutputGrace
			}
			if left <= 0 {
				close(quiet)
				return
			}
			if !wait(ctx, left) {
				return
			}
		}
	}
}

func (r *run) holds() int32 { return r.stdout.holds.Load() + r.stderr.holds.Load() }

func (r *run) lastByte() time.Time {
	if a, b := r.stdout.lastByte(), r.stderr.lastByte(); a.After(b) {
		return a
	} else {
		return b
	}
}

// wait waits for d, and reports whether d has passed before ctx was canceled.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
