package client

import (
	"errors"
	"io"
	"sync"
)

// execBody is the body of an exec whose stdin is streamed: the request on one line, and stdin
// behind it. Its Close unblocks a Read, which may leave one of stdin behind: a Read of a
// terminal or a pipe can't be interrupted.
type execBody struct {
	*io.PipeReader

	mu     sync.Mutex
	failed error // of the caller's stdin
}

// newExecBody returns the body of a request, which the caller closes.
func newExecBody(req any, stdin io.Reader) (*execBody, error) {
	line, err := encodeLine(req)
	if err != nil {
		return nil, err
	}
	read, written := io.Pipe()
	b := &execBody{PipeReader: read}
	go func() {
		_, err := io.Copy(written, line)
		if err == nil {
			_, err = io.Copy(written, stdin)
		}
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			b.mu.Lock()
			b.failed = err
			b.mu.Unlock()
		}
		_ = written.CloseWithError(err) // it never fails; nil is io.EOF
	}()
	return b, nil
}

// stdinError is the error that the caller's stdin has returned; nil is none.
func (b *execBody) stdinError() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}
