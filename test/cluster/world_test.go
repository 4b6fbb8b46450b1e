//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client"
	"sallyport/client/sallyport"
	_ "sallyport/test/apart"
	"sallyport/test/pg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(cleaned{pg.Main(m)}) }

// cleaned removes what was built after the tests.
type cleaned struct{ tests interface{ Run() int } }

func (c cleaned) Run() int {
	code := c.tests.Run()
	if err := Clean(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// world is a cluster with an organisation that has a machine, and a token with every
// scope.
type world struct {
	*Cluster
	admin *client.Client // by way of the balancer
	org   sallyport.Org
	ws    sallyport.Workspace
	token sallyport.Token
}

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	w := &world{Cluster: Start(t, o)}
	w.admin = w.Client(t, "", w.AdminToken)
	var err error
	if w.org, err = w.admin.CreateOrg(t.Context(), sallyport.OrgCreate{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	w.ws = w.Machine(t, w.org.ID, "build")
	w.token = w.newToken(t)
	return w
}

func (w *world) newToken(t *testing.T) sallyport.Token {
	t.Helper()
	// Scopes that the version before knows, too.
	scopes := []sallyport.Scope{sallyport.ScopeExec, sallyport.ScopeAuditRead, sallyport.ScopeWorkspaces, sallyport.ScopeTokens}
	token, err := w.admin.CreateToken(t.Context(), client.Owner{Org: w.org.ID}, sallyport.TokenCreate{Name: "test", Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// at is a client of one replica, with a token.
func (w *world) at(t *testing.T, replica int, token string) *client.Client {
	return w.Client(t, w.Replicas[replica].URL(), token)
}

// stream is an exec on its way.
type stream struct {
	frames *client.Frames
	end    chan error // what ended it; nil for a result
	// hangUp is what a caller does who has no more patience.
	hangUp func()
}

// start starts a command that runs until it is ended.
func (w *world) start(t *testing.T, api *client.Client) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	frames, err := api.ExecFrames(ctx, client.Exec{Workspace: w.ws.ID, Cmd: []string{"sh", "-c", "echo up; exec sleep 100"}, Timeout: 110 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := frames.Next(); err != nil || string(f.Data) != "up\n" {
		t.Fatalf("first frame %q, %v", f.Data, err)
	}
	s := &stream{frames: frames, end: make(chan error, 1), hangUp: cancel}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			f, err := frames.Next()
			switch {
			case err != nil:
				s.end <- err
				return
			case f.Err != nil:
				s.end <- f.Err
				return
			case f.Result != nil:
				s.end <- nil
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		frames.Close()
	})
	return s
}

// await is how the stream ended.
func (s *stream) await(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.end:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the stream goes on")
	}
	return nil
}

func codeOf(err error) sallyport.Code {
	var known *sallyport.Error
	if errors.As(err, &known) {
		return known.Code
	}
	if err == nil {
		return ""
	}
	return sallyport.Code(err.Error())
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// row is an exec's row.
func (w *world) row(t *testing.T, id string) sallyport.Activity {
	t.Helper()
	row, err := w.admin.GetExec(context.WithoutCancel(t.Context()), w.ws.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// lines keeps what a command wrote.
type lines struct{ b []byte }

func (l *lines) Write(p []byte) (int, error) {
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *lines) String() string { return string(l.b) }
