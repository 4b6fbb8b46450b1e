package cli

import (
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// waitTold is after how long a person is told what is waited for.
const waitTold = 1500 * time.Millisecond

// waitTransport tells a person at a terminal what a call waits for, when its answer
// doesn't begin soon.
type waitTransport struct {
	*http.Transport
	app *app
}

// RoundTrip sends a request, and returns when its answer begins.
func (t *waitTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	isUpload := r.Method == http.MethodPut && r.Body != nil // it shows how far it is
	isWait := r.URL.Query().Has("wait_s")                   // as asked
	if !t.app.isPerson() || isUpload || isWait {
		return t.Transport.RoundTrip(r)
	}
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent.Store(true) }}
	traced := r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
	answered := make(chan struct{})
	var telling sync.WaitGroup
	tell := func() { t.tell(r, &sent, answered) }
	if local := t.app.local; local != nil {
		tell = local.guard(tell)
	}
	telling.Go(tell)
	defer telling.Wait()
	defer close(answered)
	return t.Transport.RoundTrip(traced)
}

// tell says what is waited for, and once more when that has changed.
func (t *waitTransport) tell(r *http.Request, sent *atomic.Bool, answered <-chan struct{}) {
	tick := time.NewTicker(waitTold)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-answered:
			return
		case <-tick.C:
		}
		if now := t.waitingFor(r, sent.Load()); now != told {
			t.app.note("waiting for %s", now)
			told = now
		}
	}
}

func (t *waitTransport) waitingFor(r *http.Request, sent bool) string {
	switch {
	case !sent:
		return "the server at " + r.URL.Host
	case strings.HasSuffix(r.URL.Path, "/exec"), strings.HasSuffix(r.URL.Path, "/output"), strings.HasSuffix(r.URL.Path, "/forward"), strings.Contains(r.URL.Path, "/files"):
		return "the machine of workspace " + t.app.workspace
	case strings.HasSuffix(r.URL.Path, "/diagnose"):
		return "the server, which tries the way to the machine"
	}
	return "an answer of the server at " + r.URL.Host
}
