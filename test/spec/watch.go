package spec

import (
	"errors"
	"io"
	"net/http"
	"sallyport/client/sallyport"
	"sync"
	"testing"
)

// keptBytesMax bounds what is kept of a body to be judged. Of a longer one the
// beginning is.
const keptBytesMax = 256 << 10

// Watch returns a transport that holds every answer which comes through to the
// document, as far as it is read: t fails for one that isn't described. All bodies
// are closed before t ends.
func Watch(t testing.TB, through http.RoundTripper) http.RoundTripper {
	return &watcher{t, through}
}

type watcher struct {
	t       testing.TB
	through http.RoundTripper
}

// CloseIdleConnections serves http.Client.
func (w *watcher) CloseIdleConnections() {
	if c, ok := w.through.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (w *watcher) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.through.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	e := Exchange{Method: req.Method, URL: req.URL, Asked: asked(req), Status: resp.StatusCode, Header: resp.Header.Clone()}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		w.check(e) // its body is the connection
		return resp, nil
	}
	length := resp.ContentLength // who decodes JSON may not read on to the end
	resp.Body = &watchedBody{ReadCloser: resp.Body, check: func(body []byte, whole bool) {
		e.Body, e.Whole, e.Trailer = body, whole || int64(len(body)) == length, resp.Trailer
		w.check(e)
	}}
	return resp, nil
}

func (w *watcher) check(e Exchange) {
	if err := Check(e); err != nil {
		w.t.Errorf("openapi.json: %v", err)
	}
}

func asked(req *http.Request) []byte {
	if req.GetBody == nil || req.Header.Get("Content-Type") == sallyport.MediaExecStream { // what stands behind its line is no JSON
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return nil
	}
	return text
}

// watchedBody keeps what is read, and has it judged at the end.
type watchedBody struct {
	io.ReadCloser
	check func(body []byte, whole bool)

	mu   sync.Mutex // guards the fields below: Close may come while a Read waits
	kept []byte
	cut  bool
	done bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	room := min(n, keptBytesMax-len(b.kept))
	b.kept = append(b.kept, p[:room]...)
	b.cut = b.cut || room < n
	if err != nil {
		b.judge(errors.Is(err, io.EOF))
	}
	return n, err
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.judge(false)
	return err
}

// judge judges once. b.mu is held.
func (b *watchedBody) judge(ended bool) {
	if !b.done {
		b.done = true
		b.check(b.kept, ended && !b.cut)
	}
}
