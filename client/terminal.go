package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"sallyport/client/sallyport"
)

const (
	// resumeTime is how long a server goes on with a terminal whose connection is lost, unless
	// it is configured otherwise.
	resumeTime = time.Minute
	// ackEvery is how much output is read between acks: the server keeps, and sends beyond the
	// last, four times as much.
	ackEvery = sallyport.TerminalWindowBytes / 4
)

// TerminalOptions say what Client.Terminal starts. The zero value is the user's login shell.
type TerminalOptions struct {
	// Cols and Rows are the size in characters; 0 is 80 and 24.
	Cols, Rows int
	// Cmd is the argv; none is the user's login shell.
	Cmd []string
	// Cwd is where it runs; empty is the user's home.
	Cwd string
	// Env is added to the program's environment. TERM in it is the terminal's type.
	Env map[string]string
	// Timeout bounds the terminal's whole life, IdleTimeout the time without a byte either
	// way, in seconds; 0 is the server's default.
	Timeout, IdleTimeout time.Duration
	// Record asks for a recording.
	Record bool
	// ResumeTime is how long a lost connection is taken up again; 0 is a minute, and a
	// negative one is not at all.
	ResumeTime time.Duration
	// Notify, if it isn't nil, is told what happens beside the output, one event at a time. It
	// must not block, nor call the terminal's methods.
	Notify func(TerminalEvent)
}

// TerminalEventKind says what a TerminalEvent tells of.
type TerminalEventKind string

// What a TerminalEvent tells of.
const (
	// TerminalLost: the connection is lost, and is being taken up again. Err says why.
	TerminalLost TerminalEventKind = "lost"
	// TerminalResumed: the connection is there again, and nothing was lost.
	TerminalResumed TerminalEventKind = "resumed"
	// TerminalWatched: somebody began or ceased to watch. Watchers says how many there are.
	TerminalWatched TerminalEventKind = "watched"
	// TerminalEnding: the server will end the terminal. Code says why, Left when.
	TerminalEnding TerminalEventKind = "ending"
	// TerminalResized: a terminal that is watched has another size, in Cols and Rows.
	TerminalResized TerminalEventKind = "resized"
)

// TerminalEvent is what happens to a terminal beside its output.
type TerminalEvent struct {
	Kind       TerminalEventKind
	Err        error
	Watchers   int
	Code       sallyport.Code
	Left       time.Duration
	Cols, Rows int
}

// Terminal is a program at a terminal of a workspace's machine, as Client.Terminal starts it.
// Its methods may be called concurrently.
//
// Read returns the program's output, and io.EOF behind all of it when the program has ended;
// Wait says how. Any other end is an error of Read, Write and Wait: a *sallyport.Error where
// the server says why, such as terminal_timeout, killed or revoked, and one for which
// errors.Is(err, ErrCut) is true where the connection was lost and could not be taken up again.
//
// A lost connection is taken up again, without losing or repeating a byte either way. Write
// waits meanwhile.
//
// Somebody must read: a terminal whose output nobody reads is stopped after 256 KiB.
type Terminal struct {
	// Started is what the server said at the start. It doesn't change.
	Started sallyport.TerminalStarted

	client *Client
	call   call
	// resumes is how long a lost connection is taken up again.
	resumes time.Duration
	notify  func(TerminalEvent)
	// lasting ends with stop, which ends the terminal's connection.
	lasting context.Context
	stop    context.CancelCauseFunc
	output  *terminalOutput
	input   *terminalInput
	// over is closed when nothing more comes.
	over    chan struct{}
	writing sync.Mutex // is held by one Write

	mu         sync.Mutex // guards the fields below
	conn       *terminalConn
	cols, rows int   // as they were last asked for
	arrived    int64 // bytes of output
	read       int64 // bytes of output that Read has returned
	acked      int64
	closed     bool // Close was called
	exit       sallyport.TerminalExit
	err        error
}

// errTerminalClosed is the cause of an end by Close.
var errTerminalClosed = fmt.Errorf("the terminal was hung up: %w", net.ErrClosed)

// Terminal starts a program at a terminal of a workspace's machine, an id or a name.
//
// ctx bounds the start alone. A refusal is a *sallyport.Error, and nothing is tried again. The
// caller reads until an error, and closes the terminal. It takes the scope terminal.
func (c *Client) Terminal(ctx context.Context, workspace string, o TerminalOptions) (*Terminal, error) {
	r, err := c.terminalCall("terminal on workspace ", workspace)
	if err != nil {
		return nil, err
	}
	t := &Terminal{
		client: c, call: r, resumes: o.ResumeTime, notify: o.Notify, output: newTerminalOutput(), input: newTerminalInput(),
		over: make(chan struct{}), cols: o.Cols, rows: o.Rows,
	}
	if t.resumes == 0 {
		t.resumes = resumeTime
	}
	if t.notify == nil {
		t.notify = func(TerminalEvent) {}
	}
	t.lasting, t.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	conn, err := c.openTerminal(ctx, t.lasting, r, o.start(), sallyport.FrameStarted, &t.Started)
	if err != nil {
		t.stop(err)
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	conn.control(sallyport.TerminalAck{Type: sallyport.FrameAck}) // from now on there is a window
	t.conn = conn
	c.start(func() { t.run(conn) })
	return t, nil
}

func (o TerminalOptions) start() sallyport.TerminalStart {
	return sallyport.TerminalStart{
		Type: sallyport.FrameStart, Cols: o.Cols, Rows: o.Rows, Cmd: o.Cmd, Cwd: o.Cwd, Env: o.Env,
		TimeoutS: wholeSeconds(o.Timeout), IdleTimeoutS: wholeSeconds(o.IdleTimeout), Record: o.Record,
	}
}

// wholeSeconds rounds up: what is not nothing is at least a second.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// CheckTerminal asks whether Terminal would be allowed, with the checks that come before the
// start, and starts nothing. Nil is yes.
func (c *Client) CheckTerminal(ctx context.Context, workspace string) error {
	r, err := c.terminalCall("terminal on workspace ", workspace)
	if err != nil {
		return err
	}
	return c.checkUpgrade(ctx, r)
}

// Read reads what the program printed.
func (t *Terminal) Read(p []byte) (int, error) {
	n, err := t.output.read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read += int64(n)
	if t.conn != nil && t.read-t.acked >= ackEvery {
		t.acked = t.read
		t.conn.control(sallyport.TerminalAck{Type: sallyport.FrameAck, Received: t.read})
	}
	return n, err
}

// Write sends keys. It returns when all are on their way, before the program has them.
func (t *Terminal) Write(p []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	for written := 0; ; {
		for !t.input.hasRoom() && !isClosed(t.over) {
			select {
			case <-t.input.room:
			case <-t.over:
			}
		}
		if isClosed(t.over) {
			return written, t.writeErr()
		}
		if written == len(p) {
			return written, nil
		}
		piece := p[written:min(len(p), written+messageBytesMax)]
		t.input.add(piece)
		written += len(piece)
	}
}

// writeErr is what a method returns that comes after the end.
func (t *Terminal) writeErr() error {
	if _, err := t.Wait(); err != nil {
		return err
	}
	return fmt.Errorf("%s: the program has ended: %w", t.call.doing, io.ErrClosedPipe)
}

// Resize tells the program that the terminal has another size, in characters; 0 leaves a side.
// The program has what was written before, and then the size.
func (t *Terminal) Resize(cols, rows int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cols > 0 {
		t.cols = cols
	}
	if rows > 0 {
		t.rows = rows
	}
	if !t.input.addControl(sallyport.TerminalResize{Type: sallyport.FrameResize, Cols: t.cols, Rows: t.rows}) {
		return fmt.Errorf("%s: resize: %w", t.call.doing, errControlsFull)
	}
	return nil
}

// Signal sends a signal, one of sallyport.Signals, to the terminal's foreground process group,
// whatever the terminal's modes, behind what was written before. While the connection is lost it
// is an error, and so it is where 64 sizes and signals wait to be sent.
func (t *Terminal) Signal(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return fmt.Errorf("%s: send %s: %w", t.call.doing, name, ErrCut)
	}
	if !t.input.addControl(sallyport.TerminalSignal{Type: sallyport.FrameSignal, Signal: name}) {
		return fmt.Errorf("%s: send %s: %w", t.call.doing, name, errControlsFull)
	}
	return nil
}

// Wait waits until the program has ended, and says how: that it failed is no error. It doesn't
// read: what was printed is there for Read until then, and after.
func (t *Terminal) Wait() (sallyport.TerminalExit, error) {
	<-t.over
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.exit, t.err
}

// Done returns a channel that is closed when Wait has something to say.
func (t *Terminal) Done() <-chan struct{} { return t.over }

// Close hangs up, unless the program has ended: the program gets HUP. More calls do nothing.
func (t *Terminal) Close() error {
	t.mu.Lock()
	conn := t.conn
	t.closed = true
	t.mu.Unlock()
	if conn != nil && !isClosed(t.over) {
		conn.hangUp()
	}
	t.stop(errTerminalClosed)
	<-t.over
	return nil
}

// run takes what the server sends until the end, over as many connections as it takes.
func (t *Terminal) run(conn *terminalConn) {
	defer close(t.over)
	for {
		err := t.serve(conn)
		var lost *terminalLost
		if errors.As(err, &lost) && !t.isClosed() && t.resumes > 0 {
			t.notify(TerminalEvent{Kind: TerminalLost, Err: lost.err})
			if conn, err = t.resume(lost); err == nil {
				t.notify(TerminalEvent{Kind: TerminalResumed})
				continue
			}
		}
		t.end(err)
		return
	}
}

func (t *Terminal) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// end says how the terminal ended; nil is that the program did.
func (t *Terminal) end(err error) {
	var lost *terminalLost
	switch {
	case err != nil && t.isClosed():
		err = errTerminalClosed
	case errors.As(err, &lost):
		err = cutBy(lost.err)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", t.call.doing, err)
	}
	t.mu.Lock()
	t.conn, t.err = nil, err
	t.mu.Unlock()
	t.stop(err)
	if err == nil {
		err = io.EOF
	}
	t.output.end(err)
}

// serve takes what comes over one connection. It returns nil behind the exit, terminalLost, or
// why the terminal is over.
func (t *Terminal) serve(conn *terminalConn) error {
	defer func() {
		t.mu.Lock()
		t.conn = nil
		t.mu.Unlock()
		conn.close()
	}()
	conn.startBeside(func() { conn.sendInput(t.input) })
	return conn.receive(t.output, t.count, t.obey)
}

// count counts bytes of output that have arrived.
func (t *Terminal) count(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arrived += int64(n)
}

// obey obeys a control frame, and tells whether it is that of the program's end.
func (t *Terminal) obey(frame string, text []byte) (isLast bool, err error) {
	switch frame {
	case sallyport.FrameExit:
		t.mu.Lock()
		defer t.mu.Unlock()
		return true, decodeControl(text, &t.exit)
	case sallyport.FrameWatchers:
		var watchers sallyport.TerminalWatchers
		err = decodeControl(text, &watchers)
		t.notify(TerminalEvent{Kind: TerminalWatched, Watchers: watchers.Count})
	case sallyport.FrameNotice:
		var notice sallyport.TerminalNotice
		err = decodeControl(text, &notice)
		t.notify(TerminalEvent{Kind: TerminalEnding, Code: notice.Code, Left: time.Duration(notice.LeftS) * time.Second})
	default:
		err = unexpectedControl(frame)
	}
	return false, err
}
