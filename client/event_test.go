package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// eventLog serves the events 1 to last of organisation o, and cuts each answer at a
// random byte, or ends it with a reason.
type eventLog struct {
	t      *testing.T
	last   int
	begin  int // where a reader begins that names no event
	asked  atomic.Int64
	reason string // the end's code, when all has been sent
}

func (l *eventLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/orgs/o/events" || r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("Accept") != sallyport.MediaSSE {
		l.t.Errorf("%s %v", r.URL, r.Header)
	}
	at := l.begin
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		var err error
		if at, err = strconv.Atoi(id); err != nil {
			l.t.Errorf("Last-Event-ID %q", id)
		}
	}
	w.Header().Set("Content-Type", sallyport.MediaSSE+"; charset=utf-8")
	w.Header().Set(sallyport.HeaderEventID, strconv.Itoa(at))
	w.WriteHeader(http.StatusOK)
	n := l.asked.Add(1)
	var out strings.Builder
	for seq := at + 1; seq <= l.last; seq++ {
		newline := []string{"\n", "\r\n"}[seq%2]
		fmt.Fprintf(&out, ":%sid: %d%sdata: {\"id\":\"r\",%sdata:\"seq\":%d}%s%s", newline, seq, newline, newline, seq, newline, newline)
	}
	if n%4 != 3 && out.Len() > 0 {
		fmt.Fprint(w, out.String()[:rand.IntN(out.Len())])
		return
	}
	if n == 3 {
		fmt.Fprint(w, "event: news\ndata: of a later version\n\nevent: end\ndata: {\"error\":\"the server is ending\",\"code\":\"draining\"}\n\n")
		return
	}
	fmt.Fprintf(w, "%sevent: end\ndata: {\"error\":\"no more\",\"code\":%q}\n\n", out.String(), l.reason)
}

// Whatever cuts the answers, every event comes once and in order, and what the
// server says at last is the error.
func TestEvents(t *testing.T) {
	for range 3 {
		l := &eventLog{t: t, last: 60, begin: 10, reason: "revoked"}
		c := serve(t, l.ServeHTTP)
		cuts, at := 0, int64(10)
		var end error
		for row, err := range c.Events(t.Context(), client.EventOptions{Owner: client.Owner{Org: "o"}, Cut: func(error) { cuts++ }}) {
			if err != nil {
				end = err
				continue
			}
			if at++; row.Seq != at || row.ID != "r" {
				t.Fatalf("event %+v, want %d", row, at)
			}
		}
		if at != 60 || sallyport.CodeOf(end) != sallyport.CodeRevoked || cuts != int(l.asked.Load())-1 {
			t.Errorf("at %d, %d cuts, %d connections, %v", at, cuts, l.asked.Load(), end)
		}
	}
}

func TestEventsAfter(t *testing.T) {
	for after, want := range map[int64]int64{0: 1, 7: 8} {
		c := serve(t, (&eventLog{t: t, last: 9, begin: 9, reason: "revoked"}).ServeHTTP)
		for row, err := range c.Events(t.Context(), client.EventOptions{Owner: client.Owner{Org: "o"}, After: &after}) {
			if err != nil || row.Seq != want {
				t.Errorf("behind %d: %+v, %v", after, row, err)
			}
			break
		}
	}
}

// What refuses the first connection is told, and not tried again.
func TestEventsRefused(t *testing.T) {
	asked := 0
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		answerJSON(w, http.StatusServiceUnavailable, sallyport.Errorf(sallyport.CodeDraining, "the server is ending"))
	})
	for row, err := range c.Events(t.Context(), client.EventOptions{Owner: client.Owner{Org: "o"}}) {
		if sallyport.CodeOf(err) != sallyport.CodeDraining {
			t.Errorf("%+v, %v", row, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// A context ends the events, also while a connection is waited for.
func TestEventsEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sallyport.MediaSSE)
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	var end error
	for _, err := range c.Events(ctx, client.EventOptions{Owner: client.Owner{Org: "o"}}) {
		end = err
	}
	if !errors.Is(end, context.DeadlineExceeded) {
		t.Errorf("got %v", end)
	}
}
