// Package stack runs a whole Sallyport in the test's own process, as `sallyport
// dev` does, and speaks HTTP to it.
package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/config"
	"sallyport/internal/httpapi"
	"sallyport/internal/server"
	_ "sallyport/test/apart"
	"sallyport/test/scratch"
	"sallyport/test/spec"
)

// Stack is a running server. It ends with its test.
type Stack struct {
	server.Ready
	// DataDir is its data directory.
	DataDir string
	// Log is everything that it logged so far.
	Log *Log

	stop func() error
	// web keeps connections for the next request: it is this server's alone. Nil, as where a
	// server comes and goes, keeps none.
	web *http.Transport
}

// Options change a stack from what dev is by default.
type Options struct {
	// DataDir is made when it is empty, as by MakeDataDir.
	DataDir string
	// Flags are configuration keys to set.
	Flags map[string]string
	// Env is the environment, for keys that have no flag.
	Env map[string]string
	// Times are those of callers, where limits' are too long for a test.
	Times httpapi.Times
	// EndTime is how long an answer waits for the end of a command, where a test wants to know
	// what is left of it on a machine that is slow to tell.
	EndTime time.Duration
	// ForwardOpenTime is how long a forward's target is waited for, where limits' is too long
	// for a test.
	ForwardOpenTime time.Duration
	// Home and LoginShell are those of the server's own machine, where they aren't the account's.
	Home, LoginShell string
}

// Start starts a stack and waits until it can serve.
func Start(t testing.TB, o Options) *Stack {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = MakeDataDir(t)
	}
	flags := map[string]string{"listen": "127.0.0.1:0", "data_dir": o.DataDir, "drain_timeout": "1s"}
	for key, value := range o.Flags {
		flags[key] = value
	}
	loaded, err := config.Load(config.LoadOptions{
		Mode: config.ModeDev, Flags: flags, Env: func(name string) (string, bool) { v, ok := o.Env[name]; return v, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &Stack{DataDir: o.DataDir, Log: &Log{}, web: http.DefaultTransport.(*http.Transport).Clone()}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan server.Ready, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, loaded.Config, server.RunOptions{
			LogWriter: s.Log, Times: o.Times, EndTime: o.EndTime, ForwardOpenTime: o.ForwardOpenTime, Home: o.Home, LoginShell: o.LoginShell,
			Ready: func(r server.Ready) { ready <- r },
		})
	}()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	select {
	case s.Ready = <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		defer s.web.CloseIdleConnections()
		if err := s.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

// MakeDataDir makes a data directory that goes with its test, where scratch.Dir says. A test
// that measures how long a disk takes has a directory of its own.
func MakeDataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch.Dir(), "sallyport-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the data directory: %v", err)
		}
	})
	return dir
}

// Stop drains the server and waits for its end.
func (s *Stack) Stop() error { return s.stop() }

// Log collects what a server logs. It is safe for concurrent use.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Answer is what the server answered.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request with token as Bearer, unless it is empty, and reads the
// whole answer.
func (s *Stack) Do(t testing.TB, method, path, token, body string) Answer {
	t.Helper()
	return s.Send(t, s.Request(t, method, path, token, body))
}

// Request makes a request to change before it is sent.
func (s *Stack) Request(t testing.TB, method, path, token, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req
}

// Send sends req and reads the whole answer, which must be one that the document of
// the API describes.
func (s *Stack) Send(t testing.TB, req *http.Request) Answer {
	t.Helper()
	web := s.web
	if web == nil {
		web = http.DefaultTransport.(*http.Transport).Clone()
		defer web.CloseIdleConnections()
	}
	client := &http.Client{Transport: spec.Watch(t, web), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(answer)}
}

// Exec runs a body on workspace local with the organisation's token.
func (s *Stack) Exec(t testing.TB, body string) Answer {
	t.Helper()
	return s.Do(t, http.MethodPost, "/workspaces/local/exec", s.Token, body)
}

// Code is the code of an error answer.
func (a Answer) Code() string {
	var e struct{ Code string }
	if json.Unmarshal([]byte(a.Body), &e) != nil {
		return "not JSON: " + a.Body
	}
	return e.Code
}

// Decode reads a JSON answer into v.
func (a Answer) Decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		t.Fatalf("answer %d %q: %v", a.Status, a.Body, err)
	}
}

// Rows reads the activity of workspace local, newest first, by a query such as
// "type=workspace_exec".
func (s *Stack) Rows(t testing.TB, query string) []sallyport.Activity {
	t.Helper()
	var rows []sallyport.Activity
	cursor := ""
	for {
		var page sallyport.List[sallyport.Activity]
		s.Do(t, http.MethodGet, "/workspaces/local/activity?limit=500&"+query+"&cursor="+cursor, s.Token, "").Decode(t, &page)
		rows = append(rows, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			return rows
		}
	}
}

// Execs is the rows of execs, newest first.
func (s *Stack) Execs(t testing.TB) []sallyport.Activity {
	t.Helper()
	return s.Rows(t, "type="+sallyport.ActivityExec)
}
