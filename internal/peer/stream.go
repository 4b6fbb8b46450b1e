package peer

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"sallyport/client/sallyport"
)

// Stream is bytes both ways between two servers. One goroutine may read while another
// writes.
type Stream struct {
	reader     io.Reader
	writer     io.Writer
	accept     func()
	closeWrite func() error
	close      func()
}

// Read returns io.EOF where the other has ended in order, an error of the other's own where
// it failed, and any other error where the stream was cut.
func (s *Stream) Read(p []byte) (int, error) { return s.reader.Read(p) }

// Write returns when the other server has room for what is written.
func (s *Stream) Write(p []byte) (int, error) { return s.writer.Write(p) }

// Accept tells the other server that its question is taken, and the stream open: its Open
// returns. A Handler accepts before it reads, or by its first Write; what it returns before
// is a refusal.
func (s *Stream) Accept() { s.accept() }

// CloseWrite tells the other that nothing more will be written. A Handler writes all by
// returning, and needs no CloseWrite.
func (s *Stream) CloseWrite() error { return s.closeWrite() }

// Close gives up what is left, on both sides. It may be called twice, and while others read
// and write. A Handler needs no Close.
func (s *Stream) Close() error {
	s.close()
	return nil
}

// trailerEnd is how an answer ended: endInOrder, or the error, as JSON in base64. An answer
// without it was cut.
const (
	trailerEnd = "Sallyport-End"
	endInOrder = "ok"
)

// answerReader reads an answer, and how it ended.
type answerReader struct {
	resp    *http.Response
	replica string
}

func (r *answerReader) Read(p []byte) (int, error) {
	n, err := r.resp.Body.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		return n, r.end()
	case err != nil:
		return n, unreachable(r.replica, err)
	}
	return n, nil
}

func (r *answerReader) end() error {
	switch end := r.resp.Trailer.Get(trailerEnd); end {
	case endInOrder:
		return io.EOF
	case "":
		return unreachable(r.replica, io.ErrUnexpectedEOF)
	default:
		var failed sallyport.Error
		text, err := base64.StdEncoding.DecodeString(end)
		if err == nil {
			err = json.Unmarshal(text, &failed)
		}
		if err != nil {
			return fmt.Errorf("the answer of replica %s ends with what is none of ours: %w", r.replica, err)
		}
		return &failed
	}
}

// answering is the side of a Stream that was asked.
type answering struct {
	w    http.ResponseWriter
	once sync.Once
	// begun is set when the other knows that it is answered.
	begun bool
}

// begin tells the other that it is answered.
func (a *answering) begin() {
	a.once.Do(func() {
		a.begun = true
		a.w.Header().Set("Trailer", trailerEnd)
		a.w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(a.w).Flush() // the next write fails too
	})
}

func (a *answering) Write(p []byte) (int, error) {
	a.begin()
	n, err := a.w.Write(p)
	if err == nil {
		err = http.NewResponseController(a.w).Flush()
	}
	return n, err
}

// end tells the other how it ended.
func (a *answering) end(failed *sallyport.Error) error {
	text, err := json.Marshal(failed)
	switch {
	case err != nil:
		return err
	case failed == nil:
		a.begin()
		a.w.Header().Set(trailerEnd, endInOrder)
	case a.begun:
		a.w.Header().Set(trailerEnd, base64.StdEncoding.EncodeToString(text))
	default:
		a.w.Header().Set("Content-Type", "application/json")
		a.w.WriteHeader(http.StatusConflict)
		_, err = a.w.Write(text)
	}
	return err
}
