package httpapi

import (
	"bytes"
	"io"
	"net/http"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/policy"
)

// forward is GET /workspaces/{workspace}/forward: a TCP connection as a WebSocket.
func (c *call) forward() error {
	upgrade, err := c.checkHandshake(sallyport.SubprotocolForward)
	if err != nil {
		return err
	}
	target, err := c.forwardTarget()
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	if !upgrade {
		if err := c.api.Gateway.MayForward(ctx, c.by, c.ref(), target); err != nil {
			return err
		}
		return c.upgradeRequired(sallyport.SubprotocolForward)
	}
	var opened bool
	err = c.api.Gateway.Forward(ctx, c.by, c.ref(), target, func(rowID string) (gateway.ForwardCaller, error) {
		c.w.Header().Set(sallyport.HeaderActivityID, rowID)
		opened = true // from here on the connection is no request's any more
		s, err := c.openSocket(sallyport.SubprotocolForward, c.api.Times.orLimits().Keepalive)
		if err != nil {
			return nil, err
		}
		return &forwardSocket{socket: s, call: c}, nil
	})
	if !opened {
		return err
	}
	c.cause = err
	return nil
}

// forwardTarget reads ?host= and ?port=.
func (c *call) forwardTarget() (gateway.Forward, error) {
	query := c.r.URL.Query()
	target := gateway.Forward{Host: sallyport.ForwardHostDefault}
	if hosts := query["host"]; len(hosts) > 0 {
		target.Host = hosts[0]
		if len(hosts) > 1 {
			target.Host = "" // which one would be asked for?
		}
	}
	if err := policy.CheckForwardHost(target.Host); err != nil {
		return target, err
	}
	ports, ok := query["port"], false
	if len(ports) == 1 {
		target.Port, ok = policy.ParsePort(ports[0])
	}
	if !ok {
		return target, sallyport.Errorf(sallyport.CodeInvalidPort, "port must be a number from 1 to 65535, for example port=5432")
	}
	return target, nil
}

// forwardSocket is the caller's side of a forward.
type forwardSocket struct {
	*socket
	call *call
	// ended tells that the caller has ended its direction.
	ended bool
}

// Read implements gateway.ForwardCaller.
func (f *forwardSocket) Read(p []byte) (int, error) { return f.read(p, f.control) }

// Write implements gateway.ForwardCaller.
func (f *forwardSocket) Write(p []byte) (int, error) {
	if err := f.write(websocket.MessageBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite implements gateway.ForwardCaller.
func (f *forwardSocket) CloseWrite() error {
	return f.write(websocket.MessageText, []byte(`{"type":"`+sallyport.FrameEOF+`"}`))
}

// AwaitGone implements gateway.ForwardCaller. Whatever comes behind the end is out of turn.
func (f *forwardSocket) AwaitGone() error {
	for {
		n, err := f.read(make([]byte, 1), f.control)
		if err != nil {
			return err
		}
		if n > 0 {
			return sallyport.Errorf(sallyport.CodeInvalidFrame, "bytes came behind the eof of their direction")
		}
	}
}

// Lost implements gateway.ForwardCaller.
func (f *forwardSocket) Lost() <-chan struct{} { return f.ctx.Done() }

// End implements gateway.ForwardCaller.
func (f *forwardSocket) End(why error) {
	if why == nil {
		f.end(nil)
		return
	}
	f.end(f.call.wireError(why))
}

// forwardControl is a control message of a forward.
type forwardControl struct {
	Type string `json:"type"`
}

// control takes a control message: eof, once.
func (f *forwardSocket) control(text []byte) error {
	var message forwardControl
	switch err := parse(bytes.NewReader(text), &message); {
	case err != nil:
		return sallyport.Errorf(sallyport.CodeInvalidFrame, `a text message must be {"type":"eof"}: it is not valid`).Because(err)
	case message.Type != sallyport.FrameEOF:
		return sallyport.Errorf(sallyport.CodeInvalidFrame, `a text message must be {"type":"eof"}: the type is another`)
	case f.ended:
		return sallyport.Errorf(sallyport.CodeInvalidFrame, "the direction has ended already")
	}
	f.ended = true
	return io.EOF
}

func (c *call) listForwards() error {
	page, err := c.page()
	if err != nil {
		return err
	}
	forwards, err := c.api.Gateway.ListForwards(c.r.Context(), c.by, c.ref(), c.r.URL.Query().Get("status"), page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, forwards)
	return nil
}

func (c *call) getForward() error {
	row, err := c.api.Gateway.ForwardRow(c.r.Context(), c.by, c.ref(), c.r.PathValue("forward"))
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, row)
	return nil
}

func (c *call) endForward() error {
	if err := c.api.Gateway.EndForward(c.r.Context(), c.by, c.ref(), c.r.PathValue("forward")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
