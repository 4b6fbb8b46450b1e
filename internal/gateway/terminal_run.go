package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/recording"
	"sallyport/internal/remote"
)

// terminalRun is a terminal under way, which outlives its connections. It is the handle by
// which it is found and ended.
type terminalRun struct {
	g    *Gateway
	act  *act
	spec Terminal // Cols and Rows are guarded by mu
	ctx  context.Context
	end  context.CancelCauseFunc
	over chan struct{} // closed when its row is complete

	// recorded describes a terminal that is recorded, by recorder once that has begun; nil is
	// one that isn't.
	recorded *audit.Terminal
	recorder *recording.Writer

	process remote.Process // set before the first client is served
	typing  chan struct{}  // holds one while something is typed, so that keys arrive in order
	work    sync.WaitGroup // what watches over it, and the first client

	mu sync.Mutex // guards the fields below
	// changed is closed, and made anew, when anything changes that somebody waits for.
	changed chan struct{}
	output  keptOutput
	// acks tells that the client acks; acked is the last.
	acks   bool
	acked  int64
	input  int64
	active time.Time // when a byte last went either way
	// client is nil while the connection is lost, since lostAt.
	client   *attachment
	lostAt   time.Time
	watchers map[*attachment]struct{}
	resumes  int
	notice   *sallyport.TerminalNotice
	// lines is closed, and made anew, when a client comes or goes.
	lines chan struct{}
	// final is the last frame, once the row is complete; taken is closed when a client has it.
	final *terminalFinal
	taken chan struct{}
}

// terminalFinal is a terminal's last frame: exit, or else why.
type terminalFinal struct {
	exit *sallyport.TerminalExit
	why  error
}

func newTerminalRun(g *Gateway, t Terminal) *terminalRun {
	return &terminalRun{g: g, spec: t, over: make(chan struct{}), typing: make(chan struct{}, 1), changed: make(chan struct{}), lines: make(chan struct{}), taken: make(chan struct{}), watchers: map[*attachment]struct{}{}}
}

// started tells whether the program has.
func (r *terminalRun) started() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.active.IsZero()
}

// start begins to serve the first client of a program that has started.
func (r *terminalRun) start(p remote.Process, client TerminalClient) {
	r.process = p
	first := &attachment{run: r, client: client, hello: sallyport.TerminalStarted{
		Type: sallyport.FrameStarted, ID: r.act.row.ID(), Cols: r.spec.Cols, Rows: r.spec.Rows, TimeoutS: r.spec.TimeoutS, IdleTimeoutS: r.spec.IdleTimeoutS,
		Recorded: r.recorded != nil,
	}}
	if r.recorder != nil {
		r.recorder.Start()
	}
	r.mu.Lock()
	r.client, r.active = first, time.Now()
	r.mu.Unlock()
	r.work.Go(first.serve)
	failed := r.recordingFailed()
	r.work.Go(func() { r.superviseUntilTaken(failed) })
}

// wake wakes all that wait for a change. r.mu is held.
func (r *terminalRun) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// line tells that a client has come or gone. r.mu is held.
func (r *terminalRun) line() {
	close(r.lines)
	r.lines = make(chan struct{})
}

// Write takes the program's output, and blocks while what is kept for the client is as much as
// may be: nobody but its client holds the program up.
func (r *terminalRun) Write(p []byte) (int, error) {
	if err := r.record(p); err != nil {
		return 0, err
	}
	for rest := p; len(rest) > 0; {
		r.mu.Lock()
		n := min(r.room(), len(rest))
		changed := r.changed
		if n > 0 {
			r.output.append(rest[:n])
			rest, r.active = rest[n:], time.Now()
			r.wake()
		}
		r.mu.Unlock()
		if n > 0 {
			continue
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return len(p) - len(rest), context.Cause(r.ctx)
		}
	}
	return len(p), nil
}

// room is how many bytes may be printed: none is dropped that the client may not have, and
// none at all while there is no client. r.mu is held.
func (r *terminalRun) room() int {
	needed := r.output.start()
	switch {
	case r.acks:
		needed = r.acked
	case r.client != nil:
		needed = r.client.sent
	}
	return int(max(0, sallyport.TerminalWindowBytes-(r.output.end-needed)))
}

// superviseUntilTaken ends the terminal when it has been idle, or without a client, for too long.
func (r *terminalRun) superviseUntilTaken(recordingFailed <-chan struct{}) {
	for {
		left, lines, cause := r.patience()
		if left <= 0 {
			r.end(cause)
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-lines:
		case <-recordingFailed:
			r.end(r.recorder.Err())
		case <-r.taken:
		case <-r.ctx.Done():
		}
		timer.Stop()
		if r.ctx.Err() != nil || isDone(r.taken) {
			return
		}
	}
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// patience is how long the terminal goes on if nothing happens, until a client comes or goes,
// and why it ends then.
func (r *terminalRun) patience() (left time.Duration, lines <-chan struct{}, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	idle := time.Duration(r.spec.IdleTimeoutS)*time.Second - time.Since(r.active)
	if r.client == nil {
		if left := r.g.resumeTime() - time.Since(r.lostAt); left < idle {
			return left, r.lines, hangUp(reasonLost, "the client was lost, and has not come again")
		}
	}
	return idle, r.lines, terminalTimeout(sallyport.ReasonIdle, r.spec.IdleTimeoutS)
}

func (g *Gateway) resumeTime() time.Duration {
	if g.TerminalResume > 0 {
		return g.TerminalResume
	}
	return limits.TerminalResume
}

// announce tells the client that the server ends.
func (r *terminalRun) announce(left time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notice = &sallyport.TerminalNotice{Type: sallyport.FrameNotice, Code: sallyport.CodeDraining, LeftS: int(left.Round(time.Second).Seconds())}
	r.wake()
}

// counts are what was typed, and how often the client came again.
func (r *terminalRun) counts() (input int64, resumes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.input, r.resumes
}

// deliver has the last frame sent, and waits until a client has taken it, or none will.
func (r *terminalRun) deliver(exit *sallyport.TerminalExit, why error) {
	r.mu.Lock()
	r.final = &terminalFinal{exit, why}
	r.wake()
	for r.isAwaited() {
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-r.taken:
		case <-r.ctx.Done():
		}
		r.mu.Lock()
	}
	r.abortLater()
	r.mu.Unlock()
	r.end(nil)
	r.work.Wait()
}

// isAwaited tells whether a client is yet to take the last frame. An error isn't waited for
// with, by whoever is slow or away. r.mu is held.
func (r *terminalRun) isAwaited() bool {
	return r.final.why == nil && r.ctx.Err() == nil && !isDone(r.taken)
}

// abortLater breaks off the connections that have not taken the last frame shortly. r.mu is held.
func (r *terminalRun) abortLater() {
	if r.client != nil {
		r.client.abortLater()
	}
	for w := range r.watchers {
		w.abortLater()
	}
}

// typeKeys passes on what a client has typed, and blocks while the program takes nothing.
func (r *terminalRun) typeKeys(from *attachment, p []byte) {
	if !r.awaitTurn(from) {
		return
	}
	defer func() { <-r.typing }()
	r.mu.Lock()
	isClient := r.client == from
	if isClient {
		r.input += int64(len(p))
		r.active = time.Now()
	}
	r.mu.Unlock()
	if isClient {
		_, _ = r.process.Stdin().Write(p) // who types to a program that has ended hears of its end
	}
}

// awaitTurn waits until nothing is being typed any more, for as long as from is the client: one
// that was taken over from doesn't wait for a program that may never read.
func (r *terminalRun) awaitTurn(from *attachment) bool {
	for {
		r.mu.Lock()
		isClient, changed := r.client == from, r.changed
		r.mu.Unlock()
		if !isClient {
			return false
		}
		select {
		case r.typing <- struct{}{}:
			return true
		case <-changed:
		case <-r.ctx.Done():
			return false
		}
	}
}

// resize changes the size; a side of 0 stays as it is.
func (r *terminalRun) resize(cols, rows int) {
	r.mu.Lock()
	was := r.spec
	if cols > 0 {
		r.spec.Cols = cols
	}
	if rows > 0 {
		r.spec.Rows = rows
	}
	now := r.spec
	r.wake()
	r.mu.Unlock()
	if was.Cols != now.Cols || was.Rows != now.Rows {
		if r.recorder != nil {
			_ = r.recorder.Resize(now.Cols, now.Rows) // a failure ends the terminal
		}
		_ = r.process.Resize(now.Cols, now.Rows) // a connection that has broken shows elsewhere
	}
}

// signal sends a signal to the foreground process group.
func (r *terminalRun) signal(name string) {
	ctx, cancel := context.WithTimeout(r.ctx, limits.ConnectTime)
	defer cancel()
	if _, err := r.process.Signal(ctx, name); err != nil && !errors.Is(err, context.Canceled) {
		r.g.Log.Warn("a terminal's signal could not be sent", "terminal", r.act.row.ID(), "signal", name, "error", err)
	}
}
