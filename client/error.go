package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"sallyport/client/sallyport"
)

// ErrCut is the error of an exec that was sent and whose answer has no last frame: the
// command's end is not known. The call's error is a *CutError, for which errors.Is(err,
// ErrCut) is true; so it is for the error of a forward that ended without a last frame.
var ErrCut = errors.New("the answer was cut off")

// CutError is an exec whose answer has no last frame.
type CutError struct {
	// ExecID names the exec's row in the activity log, which knows how it ended.
	// It is empty when not even the beginning of an answer came.
	ExecID string
	// Err is why the answer ended.
	Err error

	silent bool // not even the beginning came
}

func (e *CutError) Error() string {
	if e.silent {
		return fmt.Sprintf("no answer came, and whether the command ran is not known: %v", e.Err)
	}
	return fmt.Sprintf("the answer was cut off, and how the command ended is not known: %v", e.Err)
}

// Is reports whether target is ErrCut.
func (e *CutError) Is(target error) bool { return target == ErrCut }

func (e *CutError) Unwrap() error { return e.Err }

// WriteError is an exec that was canceled because its output could not be
// written: Exec's Stdout or Stderr failed.
type WriteError struct {
	// Stream is sallyport.Stdout or sallyport.Stderr.
	Stream string
	Err    error
}

func (e *WriteError) Error() string { return fmt.Sprintf("write %s: %v", e.Stream, e.Err) }

func (e *WriteError) Unwrap() error { return e.Err }

// StatusError is an answer that is not one of Sallyport's: as a rule a proxy's,
// or that of another server which URL leads to.
type StatusError struct {
	StatusCode  int
	ContentType string
	// Location is where a redirect wanted the client to go. It does not go: its
	// token is for URL alone.
	Location string
	// WantsTLS: the server at an http:// URL speaks TLS.
	WantsTLS bool
}

func (e *StatusError) Error() string {
	if e.WantsTLS {
		return "the server speaks TLS, and was asked in plain HTTP"
	}
	status := fmt.Sprintf("%d %s", e.StatusCode, http.StatusText(e.StatusCode))
	switch {
	case e.Location != "":
		return fmt.Sprintf("the server answered %s to %s, and redirects are not followed", status, e.Location)
	case e.StatusCode < 300:
		return fmt.Sprintf("the answer is of type %q, not one of Sallyport's", e.ContentType)
	}
	return fmt.Sprintf("the server answered %s, not in Sallyport's words", status)
}

// errorBytesMax bounds the answer in which an error is looked for.
const errorBytesMax = 1 << 20

// readError reads an answer that is a failure: a *sallyport.Error if its body is one.
func readError(answer *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, errorBytesMax))
	var e sallyport.Error
	if err == nil && answer.StatusCode >= 400 && json.Unmarshal(body, &e) == nil && e.Code != "" {
		return &e
	}
	other := notOurs(answer)
	// What Go's servers say to plain HTTP where they speak TLS, and nginx.
	other.WantsTLS = answer.StatusCode == http.StatusBadRequest &&
		(bytes.Contains(body, []byte("HTTP request to an HTTPS server")) || bytes.Contains(body, []byte("plain HTTP request was sent to HTTPS port")))
	return other
}

func notOurs(answer *http.Response) *StatusError {
	e := &StatusError{StatusCode: answer.StatusCode, ContentType: answer.Header.Get("Content-Type")}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		e.Location = answer.Header.Get("Location")
	}
	return e
}

// ended says why ctx is over: errors.Is finds both its error and its cause.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
