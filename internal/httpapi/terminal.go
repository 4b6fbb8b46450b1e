package httpapi

import (
	"errors"
	"net/http"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// terminal is GET /workspaces/{workspace}/terminal: a terminal as a WebSocket. What the client
// wants stands in its first message.
func (c *call) terminal() error {
	upgrade, err := c.checkHandshake(sallyport.SubprotocolTerminal)
	if err != nil {
		return err
	}
	if err := c.api.Gateway.MayTerminal(c.r.Context(), c.by, c.ref()); err != nil {
		return err
	}
	if !upgrade {
		return c.upgradeRequired(sallyport.SubprotocolTerminal)
	}
	s, err := c.openSocket(sallyport.SubprotocolTerminal, c.api.Times.orLimits().Keepalive)
	if err != nil {
		c.cause = err // the answer is written
		return nil
	}
	t := &terminalSocket{socket: s, call: c}
	defer s.pings.Wait()
	defer t.Abort()
	c.cause = t.serve()
	return nil
}

// terminalSocket is a connection of a terminal's client, or of somebody who watches.
type terminalSocket struct {
	*socket
	call *call
	// received is the control message that control has taken last.
	received gateway.TerminalInput
}

// serve reads the first message, and does what it asks for.
func (t *terminalSocket) serve() error {
	text, err := t.first(t.call.api.Times.orLimits().TerminalStart)
	if err != nil {
		t.End(nil, err)
		return err
	}
	g, ctx, by, ref := t.call.api.Gateway, t.call.r.Context(), t.call.by, t.call.ref()
	kind := frameType(text)
	if kind == sallyport.FrameWatch {
		watch, err := parseWatch(text)
		if err != nil {
			t.End(nil, err)
			return err
		}
		return g.WatchTerminal(ctx, by, ref, watch, t)
	}
	start, resume, err := t.asks(kind, text)
	switch {
	case err != nil:
		t.End(nil, err)
		return err
	case resume != nil:
		return g.ResumeTerminal(ctx, by, ref, *resume, t)
	}
	return g.Terminal(ctx, by, ref, *start, t)
}

// asks parses a first message that starts or resumes a terminal, for which the caller needs
// the scope first.
func (t *terminalSocket) asks(kind string, text []byte) (*gateway.Terminal, *gateway.TerminalResume, error) {
	if kind != sallyport.FrameStart && kind != sallyport.FrameResume {
		return nil, nil, sallyport.Errorf(sallyport.CodeInvalidFrame, "the first message must be a text message of type start, resume or watch")
	}
	if err := t.call.api.Gateway.CheckTerminal(t.call.r.Context(), t.call.by, t.call.ref()); err != nil {
		return nil, nil, err
	}
	if kind == sallyport.FrameStart {
		start, err := parseStart(text)
		return &start, nil, err
	}
	resume, err := parseResume(text)
	return nil, &resume, err
}

// Receive implements gateway.TerminalClient.
func (t *terminalSocket) Receive(p []byte) (gateway.TerminalInput, error) {
	n, err := t.read(p, func(text []byte) (err error) {
		if t.received, err = parseInput(text); err != nil {
			return err
		}
		return errControl
	})
	switch status := websocket.CloseStatus(err); {
	case err == nil:
		return gateway.TerminalInput{Bytes: n}, nil
	case errors.Is(err, errControl):
		return t.received, nil
	case status == websocket.StatusNormalClosure, status == websocket.StatusNoStatusRcvd:
		return gateway.TerminalInput{}, gateway.ErrClientLeft
	case sallyport.CodeOf(err) == sallyport.CodeInvalidFrame:
		return gateway.TerminalInput{}, err
	}
	return gateway.TerminalInput{}, errors.New("the connection was lost")
}

// Write implements gateway.TerminalClient.
func (t *terminalSocket) Write(p []byte) (int, error) {
	if err := t.write(websocket.MessageBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Tell implements gateway.TerminalClient.
func (t *terminalSocket) Tell(frame any) error { return t.writeControl(t.ctx, frame) }

// End implements gateway.TerminalClient.
func (t *terminalSocket) End(exit *sallyport.TerminalExit, why error) (taken bool) {
	if exit != nil {
		return t.close(*exit, websocket.StatusNormalClosure, sallyport.FrameExit)
	}
	known := t.call.wireError(why)
	return t.close(sallyport.SocketError{Type: sallyport.FrameError, Error: *known}, closeStatus(known.Code), string(known.Code))
}

// Abort implements gateway.TerminalClient.
func (t *terminalSocket) Abort() {
	t.cancel()
	_ = t.conn.CloseNow() // it may be closed already
}

func (c *call) listTerminals() error {
	page, err := c.page()
	if err != nil {
		return err
	}
	terminals, err := c.api.Gateway.ListTerminals(c.r.Context(), c.by, c.ref(), c.r.URL.Query().Get("status"), page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, terminals)
	return nil
}

func (c *call) getTerminal() error {
	row, err := c.api.Gateway.TerminalRow(c.r.Context(), c.by, c.ref(), c.r.PathValue("terminal"))
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, row)
	return nil
}

func (c *call) endTerminal() error {
	if err := c.api.Gateway.EndTerminal(c.r.Context(), c.by, c.ref(), c.r.PathValue("terminal")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
