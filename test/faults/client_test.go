//go:build linux

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/test/spec"
	"sallyport/test/stack"
)

// caller speaks to a server from any goroutine: where a Stack's methods end the
// test, its own return errors.
type caller struct {
	s    *stack.Stack
	http *http.Client
}

func newCaller(t testing.TB, s *stack.Stack) *caller {
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{s: s, http: &http.Client{Transport: spec.Watch(t, transport)}}
}

// answer is what came back for an exec.
type answer struct {
	status int
	header http.Header
	// execID is known of a streamed exec as soon as it has started.
	execID string
	stdout []byte
	stderr []byte
	// One of the two is set, unless the answer was cut.
	result *sallyport.ExecResult
	err    *sallyport.Error
}

// code is that of an error, in a body or in a last frame.
func (a answer) code() sallyport.Code {
	if a.err == nil {
		return ""
	}
	return a.err.Code
}

func (a answer) String() string {
	end := fmt.Sprintf("%+v", a.err)
	if a.result != nil {
		end = fmt.Sprintf("%+v", *a.result)
	}
	return fmt.Sprintf("%d exec %s stdout %.100q stderr %.100q end %s", a.status, a.execID, a.stdout, a.stderr, end)
}

// exec runs a command on workspace local. The error is for an answer that didn't
// come, or not whole; what is known of the answer is returned beside it.
func (c *caller) exec(ctx context.Context, e sallyport.ExecRequest) (answer, error) {
	return c.execNoting(ctx, e, func(string) {})
}

// execNoting is exec for who wants the exec's id as soon as it is told.
func (c *caller) execNoting(ctx context.Context, e sallyport.ExecRequest, note func(execID string)) (answer, error) {
	resp, err := c.open(ctx, e)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header, execID: resp.Header.Get(sallyport.HeaderExecID)}
	if a.execID != "" {
		note(a.execID)
	}
	if a.status != http.StatusOK {
		a.err = &sallyport.Error{}
		return a, json.NewDecoder(resp.Body).Decode(a.err)
	}
	return a, a.readFrames(resp.Body)
}

// open sends an exec and returns its answer, of which no frame was read.
func (c *caller) open(ctx context.Context, e sallyport.ExecRequest) (*http.Response, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return c.post(ctx, "/workspaces/local/exec", c.s.Token, body)
}

func (c *caller) post(ctx context.Context, path, token string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return c.http.Do(req)
}

// getJSON reads a resource.
func (c *caller) getJSON(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.s.URL+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.s.Token)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

func (a *answer) readFrames(body io.Reader) error {
	frames := frame.NewReader(body)
	for {
		f, err := frames.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case f.Stream == sallyport.Stdout:
			a.stdout = append(a.stdout, f.Data...)
		case f.Stream == sallyport.Stderr:
			a.stderr = append(a.stderr, f.Data...)
		default:
			a.result, a.err = f.Result, f.Err
		}
	}
}

// mustExec is exec where nothing may go wrong.
func (c *caller) mustExec(t testing.TB, e sallyport.ExecRequest) answer {
	t.Helper()
	// Not the test's context, which has ended when its clean-up begins.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := c.exec(ctx, e)
	if err != nil {
		t.Fatalf("%q: %v", e.Cmd, err)
	}
	return a
}

// mustServe checks that the server runs commands.
func (c *caller) mustServe(t testing.TB) {
	t.Helper()
	if a := c.mustExec(t, shell("echo served")); a.result == nil || string(a.stdout) != "served\n" {
		t.Fatalf("the server doesn't serve: %s", a)
	}
}

// shell is a command line as a request.
func shell(line string) sallyport.ExecRequest {
	return sallyport.ExecRequest{Cmd: []string{"sh", "-c", line}}
}

// streamed is a command line as a request for a stream.
func streamed(line string) sallyport.ExecRequest {
	return sallyport.ExecRequest{Cmd: []string{"sh", "-c", line}, Stream: true}
}

// dial opens a plain connection to a server, for what no HTTP client would send.
func dial(t testing.TB, s *stack.Stack) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// rawExec is a request for an exec, byte for byte.
func rawExec(t testing.TB, s *stack.Stack, e sallyport.ExecRequest) []byte {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", rawHead(s, "HTTP/1.1"), len(body), body)
}

// rawHead is the head of a request for an exec, as far as all have it.
func rawHead(s *stack.Stack, version string) string {
	return "POST /workspaces/local/exec " + version + "\r\nHost: localhost\r\nAuthorization: Bearer " + s.Token + "\r\n"
}
