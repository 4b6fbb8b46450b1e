package httpapi

import (
	"net/http"
	"strconv"

	"sallyport"
	"sallyport/internal/frame"
	"sallyport/internal/gateway"
)

// exec is POST /workspaces/{workspace}/exec.
func (c *call) exec() error {
	done, err := c.api.Gateway.Admit()
	if err != nil {
		return err
	}
	defer done()
	as := acceptedEncoding(c.r.Header["Accept"])
	if as == frame.Docker && !c.r.ProtoAtLeast(1, 1) {
		return sallyport.Errorf(sallyport.CodeHTTPVersionNotSupported, "this framing tells the result in trailers, which take HTTP/1.1")
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	req, err := parseExec(body)
	if err != nil {
		return err
	}
	if req.stream {
		return c.execStreamed(req, as)
	}
	return c.execBuffered(req, as)
}

// execBuffered answers when the command has ended.
func (c *call) execBuffered(req execRequest, as frame.Encoding) error {
	stdout := &lockedBuffer{Buffer: frame.NewBuffer(as, sallyport.Stdout, req.MaxOutputBytes)}
	stderr := &lockedBuffer{Buffer: frame.NewBuffer(as, sallyport.Stderr, req.MaxOutputBytes)}
	result, err := c.api.Gateway.Exec(c.r.Context(), c.by, c.ref(), req.Exec, gateway.ExecOutput{
		Dispatched: func(id string) { c.dispatched(id, req) },
		Started:    func() {},
		Stdout:     stdout, Stderr: stderr,
	})
	if err != nil {
		return err
	}
	answer := as.AppendLast(stderr.appendFrame(stdout.appendFrame(nil)), result)
	declareTrailers(c.w.Header(), as)
	c.send(http.StatusOK, mediaType(as), answer, func() { setTrailers(c.w.Header(), as, result) })
	return nil
}

// execStreamed answers as the output arrives. Once the command has started, what
// fails is told in the last frame.
func (c *call) execStreamed(req execRequest, as frame.Encoding) error {
	s := newStream(c.w, as, req.MaxOutputBytes)
	result, err := c.api.Gateway.Exec(c.r.Context(), c.by, c.ref(), req.Exec, gateway.ExecOutput{
		Dispatched: func(id string) { c.dispatched(id, req) },
		Started:    s.start,
		Stdout:     s.stdout, Stderr: s.stderr,
	})
	switch {
	case err == nil:
		s.end(result)
	case s.started():
		c.cause = err
		s.end(c.wireError(err))
	default:
		return err
	}
	return nil
}

// dispatched names the row in the answer, whatever the answer will be.
func (c *call) dispatched(execID string, req execRequest) {
	c.execID = execID
	h := c.w.Header()
	h.Set(sallyport.HeaderExecID, execID)
	h.Set(sallyport.HeaderTimeoutS, strconv.Itoa(req.TimeoutS))
}
