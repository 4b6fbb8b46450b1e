package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"

	"sallyport/client/sallyport"
)

// ListTerminals returns one page of a workspace's terminals, running and ended, newest first.
// status, if it isn't empty, is that of all, such as sallyport.StatusRunning.
func (c *Client) ListTerminals(ctx context.Context, workspace, status string, p Page) (sallyport.List[sallyport.Activity], error) {
	return c.listActs(ctx, "terminals", workspace, status, p)
}

// AllTerminals yields every one of them, newest first, and ends with the first error.
func (c *Client) AllTerminals(ctx context.Context, workspace, status string) iter.Seq2[sallyport.Activity, error] {
	return all(func(cursor string) (sallyport.List[sallyport.Activity], error) {
		return c.ListTerminals(ctx, workspace, status, Page{Limit: pageMax, Cursor: cursor})
	})
}

// GetTerminal returns one terminal of a workspace: its row in the activity log.
func (c *Client) GetTerminal(ctx context.Context, workspace, id string) (sallyport.Activity, error) {
	return c.getAct(ctx, "terminal", workspace, id)
}

// EndTerminal ends a running terminal and all that it started, whosever it is, and returns when
// it has ended. The error's code is not_running where it has ended before.
func (c *Client) EndTerminal(ctx context.Context, workspace, id string) error {
	return c.endAct(ctx, "terminal", workspace, id)
}

// TerminalWatch shows what somebody's terminal shows, as Client.WatchTerminal opens it. Its
// methods may be called concurrently.
type TerminalWatch struct {
	// Watching is what the server said at the start. It doesn't change.
	Watching sallyport.TerminalWatching

	doing  string
	notify func(TerminalEvent)
	conn   *terminalConn
	stop   context.CancelCauseFunc
	output *terminalOutput
	over   chan struct{}
	// closing tells that Close was called.
	closing atomic.Bool
}

// WatchTerminal watches a terminal that runs on a workspace, by its id: Read returns the latest
// 256 KiB at most of what it showed, and then what comes, until an error; io.EOF is that the
// program has ended. Whoever reads too slowly is cut with the code slow_reader, and nothing is
// taken up again. notify, if it isn't nil, is told of changes of the size; it must not block.
//
// ctx bounds the beginning alone, and the caller closes what is returned. The terminal's client
// is told, and it leaves a row in the activity log. It takes the scope terminal:read.
func (c *Client) WatchTerminal(ctx context.Context, workspace, id string, notify func(TerminalEvent)) (*TerminalWatch, error) {
	r, err := c.terminalCall("watch terminal "+id+" on workspace ", workspace)
	if err != nil {
		return nil, err
	}
	if notify == nil {
		notify = func(TerminalEvent) {}
	}
	w := &TerminalWatch{doing: r.doing, notify: notify, output: newTerminalOutput(), over: make(chan struct{})}
	lasting, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	w.stop = stop
	frame := sallyport.TerminalWatch{Type: sallyport.FrameWatch, ID: id}
	if w.conn, err = c.openTerminal(ctx, lasting, r, frame, sallyport.FrameWatching, &w.Watching); err != nil {
		stop(err)
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	c.start(func() { w.run(lasting) })
	return w, nil
}

// Read reads what the terminal shows.
func (w *TerminalWatch) Read(p []byte) (int, error) { return w.output.read(p) }

// Close ceases to watch. More calls do nothing.
func (w *TerminalWatch) Close() error {
	w.closing.Store(true)
	if !isClosed(w.over) {
		w.conn.hangUp()
	}
	w.stop(errTerminalClosed)
	<-w.over
	return nil
}

func (w *TerminalWatch) run(lasting context.Context) {
	defer close(w.over)
	err := w.conn.receive(w.output, func(int) {}, w.obey)
	w.conn.close()
	var lost *terminalLost
	switch {
	case err == nil:
		w.output.end(io.EOF)
		return
	case lasting.Err() != nil || w.closing.Load():
		err = errTerminalClosed
	case errors.As(err, &lost):
		err = cutBy(lost.err)
	}
	w.output.end(fmt.Errorf("%s: %w", w.doing, err))
}

// obey obeys a control frame, and tells whether it is that of the program's end.
func (w *TerminalWatch) obey(frame string, text []byte) (isLast bool, err error) {
	switch frame {
	case sallyport.FrameExit:
		return true, nil
	case sallyport.FrameResize:
		var size sallyport.TerminalResize
		err = decodeControl(text, &size)
		w.notify(TerminalEvent{Kind: TerminalResized, Cols: size.Cols, Rows: size.Rows})
	default:
		err = unexpectedControl(frame)
	}
	return false, err
}
