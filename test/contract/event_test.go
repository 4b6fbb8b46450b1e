package contract

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tmaxmax/go-sse"

	"sallyport/client/sallyport"
	"sallyport/test/spec"
	"sallyport/test/stack"
)

// events are events that somebody reads.
type events struct {
	rows chan sallyport.Activity
	end  chan error // why there are no more, once
}

// next waits for one event.
func (e *events) next(t testing.TB) sallyport.Activity {
	t.Helper()
	select {
	case row, ok := <-e.rows:
		if !ok {
			t.Fatalf("no more events: %v", <-e.end)
		}
		return row
	case <-time.After(30 * time.Second):
		t.Fatal("no event")
		panic("not reached")
	}
}

// wantEnd waits for the end, which is an *Error with code, or another one if code is "".
func (e *events) wantEnd(t testing.TB, code sallyport.Code) {
	t.Helper()
	for row := range e.rows {
		t.Errorf("one more event: %s", quote(row))
	}
	var known *sallyport.Error
	if err := <-e.end; errors.As(err, &known) != (code != "") || known != nil && known.Code != code {
		t.Errorf("ended with %v, want %q", err, code)
	}
}

// seqsOf reads n events and checks that they are rows of the log as it shows them.
func (e *events) seqsOf(t testing.TB, n int) (seqs []int64) {
	t.Helper()
	for range n {
		seqs = append(seqs, e.next(t).Seq)
	}
	return seqs
}

// transport reads events at path, behind lastID, until the test's end.
type transport func(t testing.TB, s *stack.Stack, path, token, lastID string) *events

// transports are the two ways to events.
var transports = map[string]transport{"SSE": overSSE, "WebSocket": overSocket}

// overSSE reads with an EventSource client that knows nothing of Sallyport.
func overSSE(t testing.TB, s *stack.Stack, path, token, lastID string) *events {
	t.Helper()
	e := &events{rows: make(chan sallyport.Activity, 100), end: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	req := s.Request(t, http.MethodGet, path, token, "").WithContext(ctx)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	opened := make(chan struct{}, 1)
	web := &http.Transport{}
	client := &sse.Client{
		HTTPClient: &http.Client{Transport: spec.Watch(t, web)}, Backoff: sse.Backoff{MaxRetries: -1},
		ResponseValidator: func(r *http.Response) error {
			defer func() { opened <- struct{}{} }()
			return sse.DefaultValidator(r)
		},
	}
	conn := client.NewConnection(req)
	conn.Buffer(nil, 1<<20)
	var last error
	conn.SubscribeMessages(func(m sse.Event) {
		if row := decodeRow(t, m.Data); m.LastEventID != quote(row.Seq) {
			t.Errorf("event %q is of seq %d", m.LastEventID, row.Seq)
		} else {
			e.rows <- row
		}
	})
	conn.SubscribeEvent("end", func(m sse.Event) { last = decodeEnd(t, m.Data) })
	read := make(chan struct{})
	go func() {
		defer close(read)
		err := conn.Connect()
		if last != nil {
			err = last
		}
		e.end <- err
		close(e.rows)
	}()
	t.Cleanup(func() {
		cancel()
		for range e.rows { // a reader that is held up doesn't end
		}
		<-read
		web.CloseIdleConnections()
	})
	<-opened
	return e
}

func overSocket(t testing.TB, s *stack.Stack, path, token, lastID string) *events {
	t.Helper()
	e := &events{rows: make(chan sallyport.Activity, 100), end: make(chan error, 1)}
	header := http.Header{"Authorization": {"Bearer " + token}}
	if lastID != "" {
		path += "?last_event_id=" + url.QueryEscape(lastID)
	}
	ctx, cancel := context.WithCancel(t.Context())
	conn, _, err := websocket.Dial(ctx, s.URL+path, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(e.rows)
		var last error
		for {
			_, message, err := conn.Read(ctx)
			if err != nil {
				e.end <- errors.Join(last, err)
				return
			}
			if strings.HasPrefix(string(message), `{"error"`) {
				last = decodeEnd(t, string(message))
				continue
			}
			e.rows <- decodeRow(t, string(message))
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range e.rows { // a reader that is held up doesn't end
		}
		<-read
	})
	return e
}

func decodeRow(t testing.TB, text string) (row sallyport.Activity) {
	if err := json.Unmarshal([]byte(text), &row); err != nil || row.Seq == 0 {
		t.Errorf("event %q: %v", text, err)
	}
	if err := spec.CheckValue("Activity", []byte(text)); err != nil {
		t.Error(err)
	}
	return row
}

func decodeEnd(t testing.TB, text string) error {
	var e sallyport.Error
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Code == "" || e.Message == "" {
		t.Errorf("end %q: %v", text, err)
	}
	if err := spec.CheckValue("StreamEnd", []byte(text)); err != nil {
		t.Error(err)
	}
	return &e
}

func eachTransport(t *testing.T, test func(t *testing.T, s *stack.Stack, h home, read transport)) {
	s := stack.Start(t, stack.Options{})
	for name, read := range transports {
		t.Run(name, func(t *testing.T) { test(t, s, newHome(t, s, strings.ToLower(name)), read) })
	}
}

// An event is a row as it was written and as it was completed: what the log shows.
func TestEventsOfAnExec(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, s *stack.Stack, h home, read transport) {
		workspace := read(t, s, "/workspaces/"+h.ws.ID+"/events", h.token, "")
		org := read(t, s, "/orgs/"+h.ID+"/events", h.token, "")
		g := newGate(t)
		exec := openStream(t, s, h.ws.ID, h.token, sh("echo '<&>'; "+g.wait()+"; exit 3"))
		running := rowsAt(t, s, h.token, "/workspaces/"+h.ws.ID+"/activity?type=workspace_exec")[0]
		for _, e := range []*events{workspace, org} {
			if got := e.next(t); quote(got) != quote(running) || got.Status != "running" {
				t.Errorf("got %s, want %s", quote(got), quote(running))
			}
		}
		g.open(t)
		exec.rest(t)
		done := rowsAt(t, s, h.token, "/workspaces/"+h.ws.ID+"/activity?type=workspace_exec")[0]
		for _, e := range []*events{workspace, org} {
			if got := e.next(t); quote(got) != quote(done) || got.ExitCode == nil || *got.ExitCode != 3 || got.Seq != running.Seq+1 {
				t.Errorf("got %s, want %s", quote(got), quote(done))
			}
		}
	})
}

// A reader that comes again with the id of its last event gets what came since, as
// it was then; one with an id that there isn't, or none, gets what comes next.
func TestEventsResume(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, s *stack.Stack, h home, read transport) {
		for range 3 {
			wantAnswer(t, "exec", s.Do(t, "POST", "/workspaces/"+h.ws.ID+"/exec", h.token, `{"cmd":["true"]}`), 200, "")
		}
		path := "/orgs/" + h.ID + "/events" // org, token and workspace, then six of execs
		all, some, end := read(t, s, path, h.token, "0"), read(t, s, path, h.token, "4"), read(t, s, path, h.token, "9")
		var live []*events
		for _, id := range []string{"", "10", "999999999999999999", "99999999999999999999", "-1", "nonsense", "4x", "0x4", "１"} {
			live = append(live, read(t, s, path, h.token, id))
		}
		wantAnswer(t, "exec", s.Do(t, "POST", "/workspaces/"+h.ws.ID+"/exec", h.token, `{"cmd":["false"]}`), 200, "")
		statuses := ""
		for i := range 11 {
			row := all.next(t)
			statuses += row.Status + " "
			if row.Seq != int64(i+1) {
				t.Errorf("event %d is %s", i, quote(row))
			}
		}
		if want := "ok ok ok running ok running ok running ok running error "; statuses != want {
			t.Errorf("got %q, want %q", statuses, want)
		}
		if got := some.seqsOf(t, 7); !slices.Equal(got, []int64{5, 6, 7, 8, 9, 10, 11}) {
			t.Errorf("behind 4: %v", got)
		}
		for i, e := range append(live, end) {
			if got := e.seqsOf(t, 2); !slices.Equal(got, []int64{10, 11}) {
				t.Errorf("live %d: %v", i, got)
			}
		}
	})
}

// A workspace's events are those that its activity shows, and another's are not.
func TestEventsOfAWorkspaceAlone(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, s *stack.Stack, h home, read transport) {
		sibling := newWorkspace(t, s, h.ID, "sibling", 4, true)
		stranger := newHome(t, s, h.Name+"-stranger")
		token := newToken(t, s, "/workspaces/"+h.ws.ID, "audit:read").Secret
		e := read(t, s, "/workspaces/build/events", token, "0")
		for _, ws := range []struct{ id, token string }{{sibling.ID, h.token}, {stranger.ws.ID, stranger.token}, {h.ws.ID, h.token}} {
			wantAnswer(t, "exec", s.Do(t, "POST", "/workspaces/"+ws.id+"/exec", ws.token, `{"cmd":["true"]}`), 200, "")
		}
		wantAnswer(t, "a refusal", s.Do(t, "POST", "/workspaces/build/exec", token, `{"cmd":["true"]}`), 403, "scope_forbidden")
		var kinds []string
		for range 5 {
			row := e.next(t)
			kinds = append(kinds, row.Type)
			if row.WorkspaceID != h.ws.ID || row.OrgID != h.ID {
				t.Errorf("event %s", quote(row))
			}
		}
		want := []string{"workspace_created", "token_created", "workspace_exec", "workspace_exec", "access_denied"}
		if !slices.Equal(kinds, want) {
			t.Errorf("got %v, want %v", kinds, want)
		}
	})
}

// Events end when what gave the right to them does, and say so; the deletion of a
// workspace is the last that its readers see.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, s *stack.Stack, h home, read transport) {
		revoked := newToken(t, s, "/orgs/"+h.ID)
		var short sallyport.Token
		create(t, s, s.AdminToken, "/orgs/"+h.ID+"/tokens", sallyport.TokenCreate{Name: "short", ExpiresInS: 1}, &short)
		expiring := read(t, s, "/orgs/"+h.ID+"/events", short.Secret, "")
		ending := read(t, s, "/orgs/"+h.ID+"/events", revoked.Secret, "")
		deleted := read(t, s, "/workspaces/build/events", h.token, "")
		spared := read(t, s, "/orgs/"+h.ID+"/events", h.token, "")
		expiring.wantEnd(t, "revoked")
		wantAnswer(t, "revoke", s.Do(t, "DELETE", "/orgs/"+h.ID+"/tokens/"+revoked.ID, h.token, ""), 204, "")
		ending.wantEnd(t, "revoked")
		wantAnswer(t, "delete", s.Do(t, "DELETE", "/workspaces/build", h.token, ""), 204, "")
		if row := deleted.next(t); row.Type != "workspace_deleted" {
			t.Errorf("got %s", quote(row))
		}
		deleted.wantEnd(t, "workspace_deleted")
		for _, want := range []string{"token_revoked", "workspace_deleted"} {
			if row := spared.next(t); row.Type != want {
				t.Errorf("got %s, want %s", quote(row), want)
			}
		}
		wantAnswer(t, "delete", s.Do(t, "DELETE", "/orgs/"+h.ID, s.AdminToken, ""), 204, "")
		for row := range spared.rows { // it may come before the end
			if row.Type != "org_deleted" {
				t.Errorf("got %s", quote(row))
			}
		}
		spared.wantEnd(t, "revoked")
	})
}

// A server that ends tells its readers so at once, and doesn't wait for them.
func TestEventsWhileDraining(t *testing.T) {
	t.Parallel()
	for name, read := range transports {
		t.Run(name, func(t *testing.T) {
			s := stack.Start(t, stack.Options{Flags: map[string]string{"drain_timeout": "5m"}})
			e := read(t, s, "/orgs/dev/events", s.Token, "")
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			e.wantEnd(t, "draining")
		})
	}
}

// A browser's page of another site can't open a WebSocket here; our own can.
func TestEventsOfAnotherSite(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for origin, want := range map[string]int{
		"https://evil.example": 403, "null": 403, s.URL + ".evil.example": 403, "http://localhost:1": 403, s.URL: 101,
	} {
		header := http.Header{"Authorization": {"Bearer " + s.Token}, "Origin": {origin}}
		client := &http.Client{Transport: spec.Watch(t, http.DefaultTransport)}
		conn, resp, err := websocket.Dial(t.Context(), s.URL+"/orgs/dev/events", &websocket.DialOptions{HTTPHeader: header, HTTPClient: client})
		if resp.StatusCode != want || (err == nil) != (want == 101) {
			t.Errorf("%s: %s, %v", origin, resp.Status, err)
		}
		if err == nil {
			conn.CloseNow()
		}
	}
}

// The beginning of a stream tells where it stands, so that who is cut off before the
// first event misses none either.
func TestEventsTellWhereTheyBegin(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: spec.Watch(t, http.DefaultTransport)}
	resp, err := client.Do(s.Request(t, "GET", "/orgs/dev/events", s.Token, "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	defer resp.Body.Close()
	if got := resp.Header; got.Get("Sallyport-Event-Id") != "3" || got.Get("Content-Type") != "text/event-stream" {
		t.Errorf("SSE: %v", got)
	}
	header := http.Header{"Authorization": {"Bearer " + s.Token}, "Last-Event-Id": {"1"}}
	conn, resp, err := websocket.Dial(ctx, s.URL+"/orgs/dev/events", &websocket.DialOptions{HTTPHeader: header, HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if got := resp.Header; got.Get("Sallyport-Event-Id") != "1" {
		t.Errorf("WebSocket: %v", got)
	}
}
