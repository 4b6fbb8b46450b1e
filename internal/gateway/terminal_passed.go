package gateway

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// PassedTerminal is what a client at another server wants of a terminal that this one holds.
// The other has decided, and has recorded that somebody watches.
type PassedTerminal struct {
	ID          string         `json:"id"`
	WorkspaceID string         `json:"workspace_id"`
	Watch       bool           `json:"watch,omitempty"`
	Received    *int64         `json:"received,omitempty"`
	Cols        int            `json:"cols,omitempty"`
	Rows        int            `json:"rows,omitempty"`
	Kind        principal.Kind `json:"kind"`
	By          PassedCaller   `json:"by"`
}

// PeerStream is a stream to another server. Close may be called beside all others, and more
// than once.
type PeerStream = io.ReadWriteCloser

// Kinds of messages between two servers about a terminal, each a byte before the length and
// the content.
const (
	passedBytes = 'b' // keys one way, output the other
	passedFrame = 'f' // a control message: a TerminalInput one way, a frame the other
	passedLast  = 'l' // the last frame, as passedEnd
	passedFault = 'e' // the client has sent what it may not: a sallyport.Error
	passedLeft  = 'h' // the client has hung up
	passedTaken = 't' // the client has taken the last frame
)

// passedEnd is a terminal's last frame.
type passedEnd struct {
	Exit  *sallyport.TerminalExit `json:"exit,omitempty"`
	Error *sallyport.Error        `json:"error,omitempty"`
}

// passedLink is one side of a stream about a terminal. Messages are sent whole.
type passedLink struct {
	PeerStream
	mu sync.Mutex // held while a message is sent
	// ending tells that the client is given its last frame: what it does then is no input.
	ending atomic.Bool
}

func (l *passedLink) send(kind byte, content []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	message := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(content)))
	_, err := l.Write(append(message, content...))
	return err
}

func (l *passedLink) sendJSON(kind byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.send(kind, text)
}

func (l *passedLink) receive() (kind byte, content []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(l, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > limits.TerminalPassedBytesMax {
		return 0, nil, fmt.Errorf("a message about a terminal has %d bytes", n)
	}
	content = make([]byte, n)
	_, err = io.ReadFull(l, content)
	return head[0], content, err
}

// passedClient is a client at another server, as the server sees it that holds the terminal.
type passedClient struct {
	link  *passedLink
	taken chan struct{} // closed when the client has taken the last frame
	gone  chan struct{} // closed when nothing more comes from it
	keys  []byte        // what has come and was not received
}

// Receive implements TerminalClient.
func (c *passedClient) Receive(p []byte) (in TerminalInput, err error) {
	if len(c.keys) > 0 {
		return c.receiveKeys(p), nil
	}
	kind, content, err := c.link.receive()
	if err == nil {
		switch kind {
		case passedBytes:
			if len(content) > 0 {
				c.keys = content
				return c.receiveKeys(p), nil
			}
		case passedFrame:
			if err = json.Unmarshal(content, &in); err == nil {
				return in, nil
			}
		case passedLeft:
			err = ErrClientLeft
		case passedFault:
			var fault sallyport.Error
			if err = json.Unmarshal(content, &fault); err == nil {
				err = &fault
			}
		case passedTaken:
			close(c.taken)
		}
	}
	close(c.gone)
	if err == nil {
		err = errors.New("another server says what makes no sense of a terminal")
	}
	return in, err
}

func (c *passedClient) receiveKeys(p []byte) TerminalInput {
	n := copy(p, c.keys)
	if c.keys = c.keys[n:]; len(c.keys) == 0 {
		c.keys = nil
	}
	return TerminalInput{Bytes: n}
}

// Write implements TerminalClient.
func (c *passedClient) Write(p []byte) (int, error) { return len(p), c.link.send(passedBytes, p) }

// Tell implements TerminalClient.
func (c *passedClient) Tell(frame any) error { return c.link.sendJSON(passedFrame, frame) }

// End implements TerminalClient.
func (c *passedClient) End(exit *sallyport.TerminalExit, why error) (taken bool) {
	end := passedEnd{Exit: exit}
	if exit == nil {
		known, ok := errors.AsType[*sallyport.Error](why)
		if !ok {
			known = sallyport.Errorf(sallyport.CodeInternal, "something went wrong on the server that has the terminal")
		}
		end.Error = known
	}
	defer c.Abort()
	if c.link.sendJSON(passedLast, end) != nil {
		return false
	}
	late := time.NewTimer(2 * limits.SocketEndTime)
	defer late.Stop()
	select {
	case <-c.taken:
		return true
	case <-c.gone:
	case <-late.C:
	}
	return isDone(c.taken)
}

// Abort implements TerminalClient.
func (c *passedClient) Abort() { _ = c.link.Close() }

// ServePassedTerminal serves a client at another server until it is at the terminal no more.
// It returns terminal_not_found and the like before the stream's first message.
func (g *Gateway) ServePassedTerminal(ctx context.Context, p PassedTerminal, s PeerStream) error {
	by, err := p.By.caller()
	if err != nil {
		return err
	}
	by.Kind = p.Kind
	if _, err := g.stillLives(ctx, by, nil); err != nil {
		return err
	}
	h, _ := g.live.Find(p.ID)
	r, ok := h.(*terminalRun)
	if !ok || r.act.ws.ID != p.WorkspaceID || !p.Watch && !r.isOf(by) {
		return terminalNotFound()
	}
	a := &attachment{run: r, watch: p.Watch, client: &passedClient{link: &passedLink{PeerStream: s}, taken: make(chan struct{}), gone: make(chan struct{})}}
	if p.Watch {
		err = r.watch(a)
	} else {
		err = r.resume(a, TerminalResume{ID: p.ID, Received: p.Received, Cols: p.Cols, Rows: p.Rows})
	}
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, a.client.Abort)
	defer stop()
	if !p.Watch {
		r.resize(p.Cols, p.Rows)
	}
	a.serve()
	return nil
}

// holder returns the other server that holds a terminal, or terminal_not_found.
func (g *Gateway) holder(ctx context.Context, ws store.Workspace, terminalID string) (replica string, err error) {
	if g.Peers == nil {
		return "", terminalNotFound()
	}
	row, err := g.Activities.Activity(ctx, ws.OrgID, terminalID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", terminalNotFound()
	case err != nil:
		return "", sallyport.Errorf(sallyport.CodePlatformUnavailable, "the terminal can't be looked up now").Because(err)
	case row.WorkspaceID != ws.ID || row.Type != sallyport.ActivityTerminal || row.Replica == "" || row.Replica == g.Replica:
		return "", terminalNotFound()
	}
	return row.Replica, nil
}

// passOn connects a client here to a terminal that another server holds, until one of them
// has gone, and ends client. Its error, for the log, is why.
func (g *Gateway) passOn(ctx context.Context, by Caller, ws store.Workspace, p PassedTerminal, client TerminalClient) error {
	replica, err := g.holder(ctx, ws, p.ID)
	var s PeerStream
	if err == nil {
		p.WorkspaceID, p.Kind, p.By = ws.ID, by.Kind, passedCaller(by)
		if s, err = g.Peers.OpenTerminal(ctx, replica, p); err != nil && sallyport.CodeOf(err) == sallyport.CodeInternal {
			err = terminalNotFound().Because(err) // it is dead, or about to be
		}
	}
	if err != nil {
		client.End(nil, err)
		return err
	}
	defer s.Close()
	defer g.attend(ctx, by, ws, func(error) { _ = s.Close() })()
	link := &passedLink{PeerStream: s}
	var receiving sync.WaitGroup
	receiving.Go(func() { passInput(link, client) })
	err = passOutput(link, client)
	_ = s.Close()
	client.Abort()
	receiving.Wait()
	return err
}

// passInput passes on what a client sends, until it has gone.
func passInput(link *passedLink, client TerminalClient) {
	keys := make([]byte, terminalKeysBytes)
	for {
		in, err := client.Receive(keys)
		fault, isFault := errors.AsType[*sallyport.Error](err)
		switch {
		case link.ending.Load():
			return
		case err == nil && in.Bytes > 0:
			err = link.send(passedBytes, keys[:in.Bytes])
		case err == nil:
			err = link.sendJSON(passedFrame, in)
		case isFault:
			_ = link.sendJSON(passedFault, fault) // the last frame comes from there
			return
		case errors.Is(err, ErrClientLeft):
			_ = link.send(passedLeft, nil) // else it is lost
			return
		default:
			_ = link.Close()
		}
		if err != nil {
			return
		}
	}
}

// passOutput passes on what a terminal sends, until its last frame.
func passOutput(link *passedLink, client TerminalClient) error {
	for {
		kind, content, err := link.receive()
		if err != nil {
			return err // the client is cut, and comes again
		}
		switch kind {
		case passedBytes:
			_, err = client.Write(content)
		case passedFrame:
			err = client.Tell(json.RawMessage(content))
		case passedLast:
			var end passedEnd
			if err := json.Unmarshal(content, &end); err != nil {
				return err
			}
			var why error
			if end.Error != nil {
				why = end.Error
			}
			link.ending.Store(true)
			if client.End(end.Exit, why) && link.send(passedTaken, nil) == nil { // else it is kept for the next
				_, _, _ = link.receive() // the end of the stream: the other has heard it
			}
			return why
		default:
			err = errors.New("another server says what makes no sense of a terminal")
		}
		if err != nil {
			return err
		}
	}
}
