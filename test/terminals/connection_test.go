package terminals

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/test/stack"
)

// again comes again to a terminal.
func (m *machine) again(t testing.TB, id, rest string) *screen {
	t.Helper()
	s := m.dial(t, m.Token, fmt.Sprintf(`{"type":"resume","id":%q%s}`, id, rest))
	s.begin(t, sallyport.FrameResumed)
	return s
}

// typeAll types keys, as many as the connection takes, until typing is closed.
func typeAll(ctx context.Context, conn *websocket.Conn, keys []byte) (typing <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(keys) > 0 && conn.Write(ctx, websocket.MessageBinary, keys[:min(len(keys), 5000)]) == nil {
			keys = keys[min(len(keys), 5000):]
		}
	}()
	return done
}

// A connection that is cut at random, many times, loses and repeats nothing, neither of what
// was typed nor of what was printed, for a client that acks.
func TestCutConnections(t *testing.T) {
	each(t, stack.Options{}, func(t *testing.T, m *machine) {
		const lines = 100_000
		s := m.dial(t, m.Token, fmt.Sprintf(`{"type":"start","cmd":["sh","-c","stty raw -echo; echo go; head -c 200000 | sha256sum; seq %d; exit 9"]}`, lines))
		s.begin(t, sallyport.FrameStarted)
		id := s.first.ID
		keys := make([]byte, 200_000)
		for i := range keys {
			keys[i] = byte('a' + rand.IntN(26))
		}
		var shown []byte
		// The window holds from the first ack on, which the first keys are behind: an ack that is
		// lost with its connection promises nothing.
		s.says(t, `{"type":"ack","received":0}`)
		for string(shown) != "go\n" { // no key is echoed any more
			_, message, err := s.conn.Read(t.Context())
			must(t, err)
			shown = append(shown, message...)
		}
		typed, resumes := 0, 0
		for cuts := 0; ; cuts++ {
			ctx, stop := context.WithCancel(t.Context())
			typing := typeAll(ctx, s.conn, keys[typed:])
			left, exit := 2000+rand.IntN(30_000), ""
			for left > 0 || cuts > 25 {
				kind, message, err := s.conn.Read(t.Context())
				must(t, err)
				if kind == websocket.MessageText {
					exit = string(message)
					break
				}
				shown, left = append(shown, message...), left-len(message)
				s.says(t, fmt.Sprintf(`{"type":"ack","received":%d}`, len(shown)))
				if cuts < 10 {
					break
				}
			}
			if exit != "" {
				var e sallyport.TerminalExit
				if err := json.Unmarshal([]byte(exit), &e); err != nil || e.ExitCode != 9 {
					t.Errorf("last %s", exit)
				}
				_ = s.conn.Close(websocket.StatusNormalClosure, "")
				stop()
				<-typing
				break
			}
			_ = s.conn.CloseNow()
			stop()
			<-typing
			s = m.again(t, id, fmt.Sprintf(`,"received":%d`, len(shown)))
			resumes++
			if s.first.From != int64(len(shown)) {
				t.Fatalf("it goes on at %d, want %d", s.first.From, len(shown))
			}
			typed = int(s.first.InputReceived)
		}
		if want := hashAndLines(keys, lines); string(shown) != want {
			t.Errorf("after %d cuts %d bytes are shown, want %d", resumes, len(shown), len(want))
		}
		// A client that comes for the exit alone comes when the row is complete.
		if row := m.endedRow(t, id); *row.Resumes > resumes || *row.Resumes == 0 || *row.InputBytes != int64(len(keys)) || *row.OutputBytes != int64(len(shown)) || resumes < 5 {
			t.Errorf("%d cuts, row %+v", resumes, row)
		}
	})
}

// hashAndLines is what the program of TestCutConnections prints.
func hashAndLines(typed []byte, lines int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "go\n%x  -\n", sha256.Sum256(typed))
	for i := range lines {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

// A reader that stops stops the program, and takes all in the end; who has forgotten what came
// gets the latest 256 KiB; one who comes again takes over.
func TestSlowReaderAndTakeOver(t *testing.T) {
	each(t, stack.Options{}, func(t *testing.T, m *machine) {
		const size = 30_000_000
		s := m.dial(t, m.Token, fmt.Sprintf(`{"type":"start","cmd":["sh","-c","stty -opost; head -c %d /dev/zero; echo end; read -r x"]}`, size))
		s.begin(t, sallyport.FrameStarted)
		s.says(t, `{"type":"ack","received":0}`)
		n := 0
		for n < sallyport.TerminalWindowBytes {
			_, message, err := s.conn.Read(t.Context())
			must(t, err)
			n += len(message)
		}
		if n != sallyport.TerminalWindowBytes { // nothing comes beyond the window
			t.Errorf("%d bytes came without an ack", n)
		}
		back := m.again(t, s.first.ID, "")
		go s.read(0)
		if s.wantError(t, websocket.StatusPolicyViolation, sallyport.CodeTakenOver); back.first.From != 0 {
			t.Errorf("it goes on at %d", back.first.From)
		}
		go back.read(0)
		back.shows(t, "end")
		if got := len(back.text()); got < size+len("end") {
			t.Errorf("%d bytes", got)
		}
		third := m.again(t, s.first.ID, "")
		if kept := int64(size) + int64(len("end\n")) - third.first.From; kept != sallyport.TerminalWindowBytes {
			t.Errorf("%d bytes are kept", kept)
		}
		go third.read(0)
		third.types(t, "\n")
		third.wantExit(t, 0, "")
		stranger, _ := m.token(t, sallyport.ScopeTerminal)
		for _, token := range []string{m.Token, stranger} { // it is over, or another's
			gone := m.dial(t, token, fmt.Sprintf(`{"type":"resume","id":%q}`, s.first.ID))
			go gone.read(0)
			gone.wantError(t, websocket.StatusPolicyViolation, sallyport.CodeTerminalNotFound)
		}
	})
}

// An exit that nobody was there for is told to who comes again, behind all that was printed.
func TestExitWhileLost(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	s := m.sit(t, `{"type":"start","cmd":["sh","-c","read -r x; echo got $x; exit 4"]}`)
	s.types(t, "it\r")
	_ = s.conn.CloseNow()
	if row := m.endedRow(t, s.first.ID); row.Status != sallyport.StatusError || *row.ExitCode != 4 {
		t.Errorf("row %+v", row)
	}
	back := m.again(t, s.first.ID, `,"received":0`)
	go back.read(0)
	back.wantExit(t, 4, "")
	if !strings.HasSuffix(back.text(), "got it\r\n") {
		t.Errorf("shown %q", back.text())
	}
}

// Who watches sees what was shown, what comes and each new size, and is seen; not more may
// than may, without the scope nobody, and a row is there before.
func TestWatch(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	s := m.sit(t, `{"type":"start","cols":90,"rows":20,"cmd":["cat"]}`)
	s.types(t, "one\r")
	s.shows(t, "one\r\none\r\n")
	token, _ := m.token(t, sallyport.ScopeTerminalRead)
	watch := fmt.Sprintf(`{"type":"watch","id":%q}`, s.first.ID)
	var all []*screen
	for i := range 16 {
		w := m.dial(t, token, watch)
		w.begin(t, sallyport.FrameWatching)
		if w.first.Cols != 90 || w.first.Rows != 20 || w.first.From != 0 {
			t.Errorf("watching %+v", w.first)
		}
		go w.read(0)
		all = append(all, w)
		s.told(t, fmt.Sprintf(`{"type":"watchers","count":%d}`, i+1))
	}
	if rows := m.rows(t, sallyport.ActivityTerminalWatched); len(rows) != 16 || !strings.HasPrefix(rows[0].Actor, "workspace-token:") {
		t.Errorf("%d rows", len(rows))
	}
	more := m.dial(t, token, watch)
	go more.read(0)
	more.wantError(t, websocket.StatusTryAgainLater, sallyport.CodeTooManyWatchers)
	s.says(t, `{"type":"resize","rows":21}`)
	s.types(t, "two\r")
	for _, w := range all {
		w.told(t, `{"type":"resize","cols":90,"rows":21}`)
		w.shows(t, "one\r\none\r\ntwo\r\ntwo\r\n")
	}
	all[0].types(t, "x")
	all[0].wantError(t, websocket.StatusPolicyViolation, sallyport.CodeInvalidFrame)
	must(t, all[1].conn.Close(websocket.StatusNormalClosure, ""))
	s.told(t, `{"type":"watchers","count":14}`)
	s.types(t, "\x04")
	s.wantExit(t, 0, "")
	all[2].wantExit(t, 0, "")
}

// A watcher who reads nothing is cut, and never holds the terminal up.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	s := m.sit(t, `{"type":"start","cmd":["sh","-c","read -r x; head -c 30000000 /dev/zero; read -r x"]}`)
	w := m.dial(t, m.Token, fmt.Sprintf(`{"type":"watch","id":%q}`, s.first.ID))
	w.begin(t, sallyport.FrameWatching)
	s.types(t, "\r")
	until(t, "all is shown", func() bool { return len(s.text()) > 30_000_000 }, func() any { return len(s.text()) })
	go w.read(0)
	w.wantError(t, websocket.StatusTryAgainLater, sallyport.CodeSlowReader)
	s.types(t, "\r")
	s.wantExit(t, 0, "")
}

// Over a quota, the workspace's or the organisation's, a terminal is refused, and leaves no row;
// one that ends makes room.
func TestQuota(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_RUNNING_TERMINALS_PER_WORKSPACE": "1"}})
	second := &machine{Stack: m.Stack, workspace: "second"}
	second.create(t, sallyport.Connector{Type: sallyport.ConnectorLocal})
	refused := func(m *machine) {
		t.Helper()
		before := len(m.rows(t, sallyport.ActivityTerminal))
		more := m.dial(t, m.Token, `{"type":"start","cmd":["cat"]}`)
		go more.read(0)
		if e := more.wantError(t, websocket.StatusTryAgainLater, sallyport.CodeTooManyTerminals); e.Reason != "" {
			t.Errorf("%+v", e)
		}
		if n := len(m.rows(t, sallyport.ActivityTerminal)); n != before {
			t.Errorf("%d rows", n)
		}
	}
	s := m.sit(t, `{"type":"start","cmd":["cat"]}`)
	_ = s.conn.CloseNow() // one that is lost counts
	refused(m)
	want(t, m.Do(t, http.MethodPatch, "/orgs/"+m.OrgID, m.AdminToken, `{"limits":{"running_terminals":2,"running_terminals_per_workspace":2}}`), http.StatusOK)
	other := second.sit(t, `{"type":"start","cmd":["cat"]}`)
	refused(m)
	refused(second)
	want(t, m.Do(t, http.MethodDelete, m.path("/terminals/"+s.first.ID), m.Token, ""), http.StatusNoContent)
	next := m.sit(t, `{"type":"start","cmd":["true"]}`)
	next.wantExit(t, 0, "")
	other.types(t, "\x04")
	other.wantExit(t, 0, "")
}

// As many terminals as a workspace may have by default run at once on one machine, each in a
// session of its own, and each comes to its end.
func TestManyTerminals(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Options{})
	many := make([]*screen, limits.RunningTerminalsPerWorkspace)
	var all sync.WaitGroup
	for i := range many {
		many[i] = m.dial(t, m.Token, `{"type":"start","cmd":["cat"]}`) // the next doesn't wait for it
	}
	for _, s := range many {
		s.begin(t, sallyport.FrameStarted)
		all.Go(func() { s.read(0) })
	}
	more := m.dial(t, m.Token, `{"type":"start"}`)
	all.Go(func() { more.read(0) })
	more.wantError(t, websocket.StatusTryAgainLater, sallyport.CodeTooManyTerminals)
	for i, s := range many {
		s.types(t, fmt.Sprintf("I am %d\r\x04", i))
	}
	for i, s := range many {
		if s.wantExit(t, 0, ""); !strings.Contains(s.text(), fmt.Sprintf("I am %d\r\nI am %d\r\n", i, i)) {
			t.Errorf("%d: shown %q", i, s.text())
		}
	}
	all.Wait()
}
