package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
)

// silenceTime is how long a server says nothing before it is taken for gone: it pings every
// 15 s, and three pings are lost then.
const silenceTime = 50 * time.Second

func (c *Client) terminalCall(doing, workspace string) (call, error) {
	if err := checkRef("workspace", workspace); err != nil {
		return call{}, err
	}
	return call{doing: doing + workspace, method: http.MethodGet, path: path("workspaces", workspace, "terminal"), query: orgQuery(c.Org)}, nil
}

// terminalConn is one connection of a terminal.
type terminalConn struct {
	start   func(f func()) // the client's
	lasting context.Context
	ws      *websocket.Conn
	out     *outbox
	buffer  []byte
	// heard tells that the server has pinged since the last look.
	heard *atomic.Bool
	// over is closed by close; beside are the goroutines that end then.
	over   chan struct{}
	beside sync.WaitGroup
}

// openTerminal opens a connection, whose first frames are the client's and the server's, of the
// type want, which is read into answer. ctx bounds that; lasting is for what comes after. The
// caller closes it. The error is what the server refuses with, or a cut.
func (c *Client) openTerminal(ctx, lasting context.Context, r call, first any, want string, answer any) (*terminalConn, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	conn := &terminalConn{start: c.start, lasting: lasting, buffer: make([]byte, readBytes), heard: new(atomic.Bool), over: make(chan struct{})}
	conn.ws, conn.out, err = c.openSocket(req, sallyport.SubprotocolTerminal, func() { conn.heard.Store(true) })
	if err == nil {
		if err = conn.begin(ctx, first, want, answer); err != nil {
			conn.close()
		}
	}
	var lost *terminalLost
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ended(ctx)
	case errors.As(err, &lost):
		return nil, cutBy(lost.err)
	case err != nil:
		return nil, err
	}
	conn.startBeside(conn.listen)
	return conn, nil
}

// startBeside runs f in a goroutine of its own, for whose end close waits.
func (conn *terminalConn) startBeside(f func()) {
	conn.beside.Add(1)
	conn.start(func() {
		defer conn.beside.Done()
		f()
	})
}

func (conn *terminalConn) begin(ctx context.Context, first any, want string, answer any) error {
	conn.control(first)
	kind, message, err := conn.ws.Reader(ctx)
	if err != nil {
		return cutBy(err)
	}
	if kind != websocket.MessageText {
		return cutBy(errors.New("the server begins with output"))
	}
	frame, text, err := readControl(message)
	if sallyport.CodeOf(err) != "" {
		conn.awaitClose()
	}
	if err != nil {
		return err
	}
	if frame != want {
		return unexpectedControl(frame)
	}
	return decodeControl(text, answer)
}

// receive takes what the server sends: output, whose bytes are counted, and control frames,
// until the last, of which obey tells, and the close behind it. It returns terminalLost for a
// connection that ends before.
func (conn *terminalConn) receive(output *terminalOutput, count func(n int), obey func(frame string, text []byte) (isLast bool, err error)) error {
	err := conn.receiveAll(output, count, obey)
	var lost *terminalLost
	if !errors.As(err, &lost) {
		conn.awaitClose()
	}
	return err
}

// awaitClose waits for the close that a server sends behind its last frame.
func (conn *terminalConn) awaitClose() {
	ctx, cancel := context.WithTimeout(conn.lasting, closeTime)
	defer cancel()
	_, _, _ = conn.ws.Reader(ctx)
}

func (conn *terminalConn) receiveAll(output *terminalOutput, count func(n int), obey func(frame string, text []byte) (isLast bool, err error)) error {
	for {
		kind, message, err := conn.ws.Reader(conn.lasting)
		if err != nil {
			return &terminalLost{err}
		}
		if kind == websocket.MessageBinary {
			if err := conn.pass(message, output, count); err != nil {
				return err
			}
			continue
		}
		frame, text, err := readControl(message)
		if err != nil {
			return err
		}
		if isLast, err := obey(frame, text); isLast || err != nil {
			return err
		}
	}
}

// pass keeps a message of output for Read.
func (conn *terminalConn) pass(message io.Reader, output *terminalOutput, count func(n int)) error {
	for {
		n, err := message.Read(conn.buffer)
		if n > 0 {
			count(n)
			if err := output.add(conn.lasting, conn.buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF: //nolint:errorlint // the message's end; a cut is another
			return nil
		case err != nil:
			return &terminalLost{err}
		}
	}
}

// terminalLost is a connection that ended without a last frame.
type terminalLost struct{ err error }

func (e *terminalLost) Error() string { return e.err.Error() }

// control sends a control frame. Where it can't, the connection is lost, as its reader sees.
func (conn *terminalConn) control(frame any) {
	text, err := json.Marshal(frame)
	if err == nil {
		_ = conn.ws.Write(conn.lasting, websocket.MessageText, text)
	}
}

// sendInput sends what is typed, and the control frames in between, until the connection is over.
func (conn *terminalConn) sendInput(input *terminalInput) {
	for !isClosed(conn.over) {
		if !conn.out.hasRoom() {
			select {
			case <-conn.out.room:
			case <-conn.over:
			}
			continue
		}
		piece, frame := input.next()
		if frame != nil {
			conn.control(frame)
			continue
		}
		if len(piece) == 0 {
			select {
			case <-input.more:
			case <-conn.over:
			}
			continue
		}
		if conn.ws.Write(conn.lasting, websocket.MessageBinary, piece) != nil {
			return
		}
	}
}

// listen takes a server for gone that is silent for long: its reader ends then.
func (conn *terminalConn) listen() {
	look := time.NewTicker(silenceTime)
	defer look.Stop()
	for {
		select {
		case <-conn.over:
			return
		case <-look.C:
		}
		if !conn.heard.Swap(false) {
			_ = conn.ws.CloseNow()
			return
		}
	}
}

// hangUp has the server end the terminal.
func (conn *terminalConn) hangUp() { _ = conn.ws.Close(websocket.StatusNormalClosure, "") }

// close ends the connection, and waits for what runs beside it.
func (conn *terminalConn) close() {
	close(conn.over)
	_ = conn.ws.CloseNow()
	conn.beside.Wait()
}

// readControl reads a control frame and returns its type. An error frame is an error.
func readControl(message io.Reader) (frame string, text []byte, err error) {
	text, err = io.ReadAll(io.LimitReader(message, controlBytesMax+1))
	if err != nil {
		return "", nil, &terminalLost{err}
	}
	var head sallyport.SocketError
	if len(text) > controlBytesMax || json.Unmarshal(text, &head) != nil {
		return "", nil, cutBy(errors.New("the server sends what is no control frame"))
	}
	if head.Type == sallyport.FrameError && head.Code != "" {
		return "", nil, &head.Error
	}
	return head.Type, text, nil
}

func decodeControl(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return cutBy(fmt.Errorf("the server sends a control frame that can't be read: %w", err))
	}
	return nil
}

func unexpectedControl(frame string) error {
	return cutBy(fmt.Errorf("the server sends a control frame %q out of its turn", frame))
}

// terminalOutputMax bounds the output that waits for Read. The server's window is smaller: more
// comes only before the first ack has arrived.
const terminalOutputMax = 4 * sallyport.TerminalWindowBytes

// terminalOutput is what was printed and not read.
type terminalOutput struct {
	// more says that there is something to read, room that there is room again; each holds one
	// word.
	more, room chan struct{}
	reading    sync.Mutex // is held by one read

	mu   sync.Mutex // guards the fields below
	kept []byte
	err  error
}

func newTerminalOutput() *terminalOutput {
	return &terminalOutput{more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// add keeps p, and waits for room before; ctx ends that.
func (o *terminalOutput) add(ctx context.Context, p []byte) error {
	for !o.tryAdd(p) {
		select {
		case <-o.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (o *terminalOutput) tryAdd(p []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.kept) > terminalOutputMax {
		return false
	}
	o.kept = append(o.kept, p...)
	say(o.more)
	return true
}

// end says what read returns behind the last byte.
func (o *terminalOutput) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
	say(o.more)
}

func (o *terminalOutput) read(p []byte) (int, error) {
	o.reading.Lock()
	defer o.reading.Unlock()
	for {
		if n, err := o.tryRead(p); n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		<-o.more // of the next output, or of end
	}
}

func (o *terminalOutput) tryRead(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.kept) == 0 {
		return 0, o.err
	}
	n := copy(p, o.kept)
	o.kept = o.kept[:copy(o.kept, o.kept[n:])]
	say(o.room)
	return n, nil
}
