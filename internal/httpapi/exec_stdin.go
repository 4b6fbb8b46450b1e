package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"sync"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// streamsStdin tells whether the body is a line of JSON with a stdin behind it. A form of
// another site's page can't say so.
func (c *call) streamsStdin() bool {
	types := c.r.Header["Content-Type"]
	if len(types) != 1 {
		return false
	}
	media, _, err := mime.ParseMediaType(types[0])
	return err == nil && media == sallyport.MediaExecStream
}

// execStdin is an exec whose stdin is the body behind its first line. The answer may flow
// while the body does, and leaves before the rest of a body that nobody wants is thrown away:
// a connection that is closed with unread input is reset, which may eat the answer.
func (c *call) execStdin(as frame.Encoding) error {
	err := http.NewResponseController(c.w).EnableFullDuplex()
	if err != nil && !errors.Is(err, http.ErrNotSupported) { // HTTP/2 is never anything else
		return err
	}
	stdin := &streamedStdin{body: bufio.NewReaderSize(c.r.Body, limits.StdinPieceBytes)}
	defer func() {
		c.limitBody(limits.BodyUnreadTime)
		stdin.drain()
	}()
	req, err := c.readExecLine(stdin.body)
	if err == nil {
		req.StreamedStdin = stdin.begin()
		err = c.execAs(req, as)
	}
	if err != nil {
		c.fail(err)
	}
	return nil
}

// readExecLine reads the first line of the body.
func (c *call) readExecLine(body *bufio.Reader) (gateway.Exec, error) {
	if err := c.checkBodyHeader(); err != nil {
		return gateway.Exec{}, err
	}
	c.bodyTaken = true
	c.limitBody(c.api.Times.orLimits().BodyRead)
	var b execBody
	if err := c.readWith(&line{r: body}, func(r *bodyReader) error { return parse(r, &b) }); err != nil {
		return gateway.Exec{}, err
	}
	return b.streamed()
}

// streamed is exec for a body that another stdin comes behind.
func (b execBody) streamed() (gateway.Exec, error) {
	if b.Stdin.is() || b.StdinBase64.is() {
		return gateway.Exec{}, sallyport.Errorf(sallyport.CodeInvalidStdin, "stdin is what comes behind; stdin and stdin_base64 can't be given, too")
	}
	if b.Detach {
		return gateway.Exec{}, invalidDetach()
	}
	return b.exec(sallyport.MaxTimeoutStreamed)
}

// line reads up to the end of a line, which it takes, of limits.BodyBytesMax at most: more is
// an *http.MaxBytesError, as of a body.
type line struct {
	r    *bufio.Reader
	read int
	over bool
}

func (l *line) Read(p []byte) (int, error) {
	if l.over {
		return 0, io.EOF
	}
	if _, err := l.r.Peek(1); err != nil {
		return 0, err
	}
	piece, _ := l.r.Peek(min(l.r.Buffered(), len(p))) // it is there
	taken := len(piece)
	if end := bytes.IndexByte(piece, '\n'); end >= 0 {
		piece, taken, l.over = piece[:end], end+1, true
	}
	n := copy(p, piece)
	_, _ = l.r.Discard(taken) // of what is there
	if l.read += n; l.read > limits.BodyBytesMax {
		return 0, &http.MaxBytesError{Limit: limits.BodyBytesMax}
	}
	return n, nil
}

// streamedStdin is the rest of a body, behind its first line. It is read by a goroutine, no
// faster than it is taken; what nobody takes any more is thrown away.
type streamedStdin struct {
	body    *bufio.Reader
	taken   *io.PipeReader // nil until begin
	reading sync.WaitGroup
}

// begin begins to read. The caller closes what it returns when no more is wanted.
func (s *streamedStdin) begin() io.ReadCloser {
	taken, given := io.Pipe()
	s.taken = taken
	s.reading.Go(func() {
		_, err := s.body.WriteTo(given)
		if err == nil {
			err = io.EOF
		}
		_ = given.CloseWithError(err) // it never fails
		s.throwAway()
	})
	return taken
}

// drain reads on until the body ends or its time is over. The answer has left.
func (s *streamedStdin) drain() {
	if s.taken == nil {
		s.throwAway()
		return
	}
	_ = s.taken.Close() // it never fails
	s.reading.Wait()
}

// throwAway reads the rest, which is no use to anybody. Where it fails the connection is lost.
func (s *streamedStdin) throwAway() { _, _ = io.Copy(io.Discard, s.body) }
