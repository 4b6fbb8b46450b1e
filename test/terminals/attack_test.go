package terminals

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/test/stack"
)

// neighbour makes another organisation, with a workspace and a token of its own.
func (m *machine) neighbour(t *testing.T) (*machine, string) {
	t.Helper()
	var org sallyport.Org
	m.Do(t, http.MethodPost, "/orgs", m.AdminToken, `{"name":"neighbour"}`).Decode(t, &org)
	var ws sallyport.Workspace
	m.Do(t, http.MethodPost, "/workspaces", m.AdminToken, `{"name":"theirs","tier":4,"org_id":"`+org.ID+`","connector":{"type":"local"}}`).Decode(t, &ws)
	var token sallyport.Token
	m.Do(t, http.MethodPost, "/orgs/"+org.ID+"/tokens", m.AdminToken, `{"name":"theirs","scopes":["terminal","terminal:read"]}`).Decode(t, &token)
	if ws.ID == "" || token.Secret == "" {
		t.Fatal("no neighbour")
	}
	return &machine{Stack: m.Stack, workspace: ws.ID}, token.Secret
}

// Who isn't at a terminal gets nothing of it, whatever is asked for, and in whatever order: all
// that is told is that it isn't there, and it goes on.
func TestStrangers(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	second := &machine{Stack: m.Stack, workspace: "second"}
	second.create(t, sallyport.Connector{Type: sallyport.ConnectorLocal})
	theirs, neighbour := m.neighbour(t)
	colleague, _ := m.token(t, sallyport.ScopeTerminal)
	watcher, _ := m.token(t, sallyport.ScopeTerminalRead)
	s := m.sit(t, `{"type":"start","cmd":["cat"]}`)
	resume, watch := fmt.Sprintf(`{"type":"resume","id":%q}`, s.first.ID), fmt.Sprintf(`{"type":"watch","id":%q}`, s.first.ID)
	unknown := id.New()
	for name, tt := range map[string]struct {
		at    *machine
		token string
		first string
		code  sallyport.Code
	}{
		"another token's":          {m, colleague, resume, sallyport.CodeTerminalNotFound},
		"by who may watch":         {m, watcher, resume, sallyport.CodeScopeForbidden},
		"start by who may watch":   {m, watcher, `{"type":"start"}`, sallyport.CodeScopeForbidden},
		"watch by who may start":   {m, colleague, watch, sallyport.CodeScopeForbidden},
		"in another workspace":     {second, m.Token, resume, sallyport.CodeTerminalNotFound},
		"watched in another":       {second, m.Token, watch, sallyport.CodeTerminalNotFound},
		"another tenant's":         {theirs, neighbour, resume, sallyport.CodeTerminalNotFound},
		"another tenant's watched": {theirs, neighbour, watch, sallyport.CodeTerminalNotFound},
		"of nothing":               {m, m.Token, `{"type":"resume","id":"` + unknown + `"}`, sallyport.CodeTerminalNotFound},
		"watch of nothing":         {m, m.Token, `{"type":"watch","id":"` + unknown + `"}`, sallyport.CodeTerminalNotFound},
		"no id":                    {m, m.Token, `{"type":"resume"}`, sallyport.CodeTerminalNotFound},
		"an id that is a path":     {m, m.Token, `{"type":"resume","id":"../../x"}`, sallyport.CodeTerminalNotFound},
		"more than was printed":    {m, m.Token, strings.TrimSuffix(resume, "}") + fmt.Sprintf(`,"received":%d}`, int64(math.MaxInt64)), sallyport.CodeInvalidFrame},
		"no whole number":          {m, m.Token, strings.TrimSuffix(resume, "}") + `,"received":1e999}`, sallyport.CodeInvalidFrame},
		"a size below 0":           {m, m.Token, strings.TrimSuffix(resume, "}") + `,"cols":-1}`, sallyport.CodeInvalidFrame},
	} {
		w := tt.at.dial(t, tt.token, tt.first)
		go w.read(0)
		if w.wantError(t, websocket.StatusPolicyViolation, tt.code); len(w.frames) != 1 || w.text() != "" {
			t.Errorf("%s: told %q, shown %q", name, w.frames, w.text())
		}
	}
	early, err := m.dialAs(t, http.Header{"Authorization": {"Bearer " + m.Token}}, "")
	must(t, err)
	go early.read(0)
	early.types(t, "echo early\r")
	early.wantError(t, websocket.StatusPolicyViolation, sallyport.CodeInvalidFrame)
	if rows := m.rows(t, sallyport.ActivityTerminal); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
	if rows := m.rows(t, sallyport.ActivityTerminalWatched); len(rows) != 0 {
		t.Errorf("%d rows of who watched", len(rows))
	}
	s.types(t, "still here\r\x04")
	s.wantExit(t, 0, "")
}

// What may be sent may be sent without end: thousands of small messages are taken in order, and
// a size is at most what a size may be.
func TestManySmallMessages(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	s := m.sit(t, `{"type":"start","cols":4000000000,"rows":1,"cmd":["sh","-c","stty raw -echo; echo ready; head -c 2000; stty size"]}`)
	s.shows(t, "ready\n")
	if s.first.Cols != sallyport.TerminalSideMax {
		t.Errorf("started %+v", s.first)
	}
	var want strings.Builder
	for i := range 2000 {
		key := string(rune('a' + i%26))
		want.WriteString(key)
		s.says(t, fmt.Sprintf(`{"type":"resize","cols":%d,"rows":%d}`, i, 4_000_000_000-i))
		s.says(t, `{"type":"ack","received":0}`)
		s.types(t, key)
		s.types(t, "") // none is one, too
	}
	s.wantExit(t, 0, "")
	if got, want := strings.ReplaceAll(s.text(), "\r", ""), "ready\n"+want.String()+"1000 1000\n"; got != want {
		t.Errorf("shown %q", got)
	}
}

var inFlight = regexp.MustCompile(`(?m)^sallyport_http_requests_in_flight (\d+)$`)

// A client that takes over again and again, typing each time to a program that reads nothing,
// leaves nothing behind but the connection whose keys are on their way.
func TestTakenOverAgainAndAgain(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	s := m.dial(t, m.Token, `{"type":"start","cmd":["sh","-c","stty raw -echo; echo ready; exec sleep 600"]}`)
	s.begin(t, sallyport.FrameStarted)
	go s.read(0)
	s.shows(t, "ready")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var taken atomic.Int64
	first := make(chan struct{})
	go func() { // until it is held back
		defer close(first)
		for s.conn.Write(ctx, websocket.MessageBinary, make([]byte, 5000)) == nil {
			taken.Add(1)
		}
	}()
	before, still := int64(-1), 0
	until(t, "no more keys are taken", func() bool {
		if now := taken.Load(); now != before {
			before, still = now, 0
		}
		still++
		return still > 50
	}, func() any { return taken.Load() })
	all := []*screen{s}
	for range 50 {
		again := m.again(t, s.first.ID, "")
		go again.read(0)
		again.types(t, strings.Repeat("x", 1000))
		all = append(all, again)
	}
	for _, old := range all[:len(all)-1] {
		// One that is behind its keys may be broken off before it reads why.
		if _, end := old.last(t); end.Code != websocket.StatusPolicyViolation && end.Code != 0 {
			t.Errorf("closed with %d %q", end.Code, end.Reason)
		}
	}
	<-first
	until(t, "those that were taken over from are gone", func() bool {
		page := m.Do(t, http.MethodGet, "/metrics", "", "").Body
		found := inFlight.FindStringSubmatch(page)
		return found != nil && len(found[1]) == 1 && found[1] <= "3" // this scrape, the client, and the one whose keys are on their way
	}, func() any { return inFlight.FindString(m.Do(t, http.MethodGet, "/metrics", "", "").Body) })
	want(t, m.Do(t, http.MethodDelete, m.path("/terminals/"+s.first.ID), m.Token, ""), http.StatusNoContent)
	all[len(all)-1].wantError(t, websocket.StatusPolicyViolation, sallyport.CodeKilled)
	if row := m.row(t, s.first.ID); *row.Resumes != 50 {
		t.Errorf("row %+v", row)
	}
}
