package gateway

import (
	"errors"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// attachment is one connection at a terminal: its client's, or that of somebody who watches.
type attachment struct {
	run    *terminalRun
	client TerminalClient
	hello  any
	watch  bool

	// The fields below are guarded by run.mu.

	// sent is the place in the output behind what was sent, and sending counts the bytes
	// behind it that are being sent: the other side may tell of them before we know.
	sent, sending int64
	// gone is why the connection is at the terminal no more; errLost needs no last frame.
	gone error
	// told is what the other side knows.
	toldWatchers       int
	toldNotice         bool
	toldCols, toldRows int
	abort              *time.Timer
}

// errLost is a connection that was lost, or whose client has left.
var errLost = errors.New("the connection is lost")

// terminalPieceBytes is the longest message of output, and of keys that are passed on.
const (
	terminalPieceBytes = 32 << 10
	terminalKeysBytes  = 4 << 10
	// terminalKeysMin is what a person types.
	terminalKeysMin = 256
)

// keysBuffer is the buffer for what is typed next: a large one where the last was full, as when
// something is pasted.
func keysBuffer(was []byte, n int) []byte {
	switch {
	case n == len(was) && n < terminalKeysBytes:
		return make([]byte, terminalKeysBytes)
	case n < terminalKeysMin && len(was) > terminalKeysMin:
		return make([]byte, terminalKeysMin)
	}
	return was
}

// serve serves the connection until it is at the terminal no more, and ends it.
func (a *attachment) serve() {
	var receiving sync.WaitGroup
	receiving.Go(a.receiveAll)
	exit, why, isFinal := a.sendAll()
	taken := false
	if !errors.Is(why, errLost) {
		taken = a.client.End(exit, why)
	} else { // before it was lost, its client may have hung up: what has come is read
		a.run.mu.Lock()
		a.abortLater()
		a.run.mu.Unlock()
	}
	receiving.Wait()
	a.client.Abort()
	a.over(isFinal && taken)
}

// over notes that nothing more is sent, and whether the last frame was taken.
func (a *attachment) over(taken bool) {
	r := a.run
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.abort != nil {
		a.abort.Stop()
	}
	if taken && !a.watch && !isDone(r.taken) {
		close(r.taken)
	}
	r.detach(a, errLost)
}

// detach takes a connection off the terminal. r.mu is held.
func (r *terminalRun) detach(a *attachment, why error) {
	if a.gone == nil {
		a.gone = why
	}
	if _, watches := r.watchers[a]; watches {
		delete(r.watchers, a)
		r.g.watchers.Add(-1)
	}
	if r.client == a {
		r.client, r.lostAt = nil, time.Now()
		r.line()
	}
	r.wake()
}

// receiveAll takes what comes until the connection is over.
func (a *attachment) receiveAll() {
	r := a.run
	keys := make([]byte, terminalKeysMin)
	for {
		in, err := a.client.Receive(keys)
		if err == nil {
			err = a.take(in, keys)
		}
		if err == nil {
			keys = keysBuffer(keys, in.Bytes)
			continue
		}
		r.mu.Lock()
		leaves := errors.Is(err, ErrClientLeft) && r.client == a && r.final == nil
		if _, isTold := errors.AsType[*sallyport.Error](err); !isTold {
			err = errLost
		}
		r.detach(a, err)
		r.mu.Unlock()
		if leaves {
			r.end(hangUp(reasonHangUp, "the client has left"))
		}
		return
	}
}

// take acts on what has come. It returns invalid_frame for what may not come.
func (a *attachment) take(in TerminalInput, keys []byte) error {
	r := a.run
	switch {
	case a.watch:
		return sallyport.Errorf(sallyport.CodeInvalidFrame, "who watches sends nothing")
	case in.Bytes > 0:
		r.typeKeys(a, keys[:in.Bytes])
	case in.Resize != nil:
		if r.isClient(a) {
			r.resize(in.Resize.Cols, in.Resize.Rows)
		}
	case in.Signal != "":
		if r.isClient(a) {
			r.signal(in.Signal)
		}
	case in.Ack != nil:
		return r.ack(a, *in.Ack)
	}
	return nil
}

func (r *terminalRun) isClient(a *attachment) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client == a
}

// ack notes that the client has dealt with so much.
func (r *terminalRun) ack(a *attachment, received int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if received > a.sent+a.sending {
		return sallyport.Errorf(sallyport.CodeInvalidFrame, "received is more than was sent")
	}
	if r.client == a && (received > r.acked || !r.acks) {
		r.acks, r.acked = true, max(received, r.output.start())
		r.wake()
	}
	return nil
}

// outgoing is what there is to send: one of its fields is set.
type outgoing struct {
	frame any
	bytes int
	// over tells that nothing more is to be sent but a last frame.
	over  bool
	final bool
	exit  *sallyport.TerminalExit
	why   error
}

// sendAll sends what there is to send, and returns the last frame.
func (a *attachment) sendAll() (exit *sallyport.TerminalExit, why error, isFinal bool) {
	if err := a.client.Tell(a.hello); err != nil {
		return nil, errLost, false
	}
	var piece []byte
	for {
		a.run.mu.Lock()
		out := a.next(&piece)
		changed := a.run.changed
		a.run.mu.Unlock()
		var err error
		switch {
		case out.over:
			return out.exit, out.why, out.final
		case out.frame != nil:
			err = a.client.Tell(out.frame)
		case out.bytes > 0:
			_, err = a.client.Write(piece[:out.bytes])
		default:
			piece = nil // nothing is held while nothing happens
			<-changed
		}
		if err != nil {
			return nil, errLost, false
		}
		if out.bytes > 0 {
			a.run.mu.Lock()
			a.sent, a.sending = a.sent+int64(out.bytes), 0
			a.run.wake()
			a.run.mu.Unlock()
		}
	}
}

// next is what is to be sent now. r.mu is held.
func (a *attachment) next(piece *[]byte) outgoing {
	r := a.run
	if a.gone != nil {
		return outgoing{over: true, why: a.gone}
	}
	if r.final != nil && r.final.why != nil {
		return outgoing{over: true, final: true, why: r.final.why}
	}
	if frame := a.news(); frame != nil {
		return outgoing{frame: frame}
	}
	if a.watch && r.output.start() > a.sent {
		return outgoing{over: true, why: sallyport.Errorf(sallyport.CodeSlowReader, "the reader is %d bytes behind; watch again", sallyport.TerminalWindowBytes)}
	}
	ready := r.output.end - a.sent
	if r.acks && !a.watch {
		ready = min(ready, r.acked+sallyport.TerminalWindowBytes-a.sent)
	}
	if ready > 0 {
		if *piece == nil {
			*piece = make([]byte, min(terminalPieceBytes, max(ready, keptOutputMin)))
		}
		n := r.output.copyFrom(a.sent, (*piece)[:min(int64(len(*piece)), ready)])
		a.sending = int64(n)
		return outgoing{bytes: n}
	}
	if r.final != nil && r.output.end == a.sent {
		return outgoing{over: true, final: true, exit: r.final.exit}
	}
	return outgoing{}
}

// news is a control frame that is due, or nil. r.mu is held.
func (a *attachment) news() any {
	r := a.run
	switch {
	case a.watch && (a.toldCols != r.spec.Cols || a.toldRows != r.spec.Rows):
		a.toldCols, a.toldRows = r.spec.Cols, r.spec.Rows
		return sallyport.TerminalResize{Type: sallyport.FrameResize, Cols: r.spec.Cols, Rows: r.spec.Rows}
	case !a.watch && a.toldWatchers != len(r.watchers):
		a.toldWatchers = len(r.watchers)
		return sallyport.TerminalWatchers{Type: sallyport.FrameWatchers, Count: len(r.watchers)}
	case !a.watch && !a.toldNotice && r.notice != nil:
		a.toldNotice = true
		return *r.notice
	}
	return nil
}

// abortLater breaks the connection off if it is still there in a moment. run.mu is held.
func (a *attachment) abortLater() {
	if a.abort == nil {
		a.abort = time.AfterFunc(limits.SocketEndTime, a.client.Abort)
	}
}
