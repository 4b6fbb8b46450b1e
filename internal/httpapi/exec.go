package httpapi

import (
	"io"
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
	body, err := c.body()
	if err != nil {
		return err
	}
	req, err := parseExec(body)
	if err != nil {
		return err
	}
	if req.stream {
		return c.execStreamed(req)
	}
	return c.execBuffered(req)
}

// execBuffered answers when the command has ended.
func (c *call) execBuffered(req execRequest) error {
	stdout := &lockedBuffer{Buffer: frame.NewBuffer(sallyport.Stdout, req.MaxOutputBytes)}
	stderr := &lockedBuffer{Buffer: frame.NewBuffer(sallyport.Stderr, req.MaxOutputBytes)}
	result, err := c.api.Gateway.Exec(c.r.Context(), c.by, c.ref(), req.Exec, gateway.ExecOutput{
		Dispatched: func(id string) { c.dispatched(id, req) },
		Started:    func() {},
		Stdout:     stdout, Stderr: stderr,
	})
	if err != nil {
		return err
	}
	answer := frame.AppendResult(stderr.appendFrame(stdout.appendFrame(nil)), result)
	c.send(http.StatusOK, sallyport.MediaNDJSON, answer)
	return nil
}

// execStreamed answers as the output arrives. Once the command has started, what
// fails is told in the last frame.
func (c *call) execStreamed(req execRequest) error {
	s := newStream(c.w, req.MaxOutputBytes)
	result, err := c.api.Gateway.Exec(c.r.Context(), c.by, c.ref(), req.Exec, gateway.ExecOutput{
		Dispatched: func(id string) { c.dispatched(id, req) },
		Started:    s.start,
		Stdout:     io.Writer(s.stdout), Stderr: io.Writer(s.stderr),
	})
	if err != nil && !s.started() {
		return err
	}
	if err != nil {
		c.cause = err
		s.end(func(dst []byte) []byte { return frame.AppendError(dst, c.wireError(err)) })
		return nil
	}
	s.end(func(dst []byte) []byte { return frame.AppendResult(dst, result) })
	return nil
}

// dispatched names the row in the answer, whatever the answer will be.
func (c *call) dispatched(execID string, req execRequest) {
	c.execID = execID
	h := c.w.Header()
	h.Set(sallyport.HeaderExecID, execID)
	h.Set(sallyport.HeaderTimeoutS, strconv.Itoa(req.TimeoutS))
}
