package contract

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/spec"
	"sallyport/test/stack"
)

// live is a streamed exec whose frames are read as they come.
type live struct {
	execID string
	resp   *http.Response
	lines  *bufio.Scanner
}

// openStream starts a command as a stream; its fields are those of an exec's body.
func openStream(t testing.TB, s *stack.Stack, workspace, token string, e sallyport.ExecRequest) *live {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	transport := &http.Transport{}
	t.Cleanup(func() {
		cancel()
		transport.CloseIdleConnections()
	})
	e.Stream = true
	req := s.Request(t, http.MethodPost, "/workspaces/"+workspace+"/exec", token, quote(e)).WithContext(ctx)
	resp, err := (&http.Client{Transport: spec.Watch(t, transport)}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("stream: %s", resp.Status)
	}
	l := &live{execID: resp.Header.Get(sallyport.HeaderExecID), resp: resp, lines: bufio.NewScanner(resp.Body)}
	l.lines.Buffer(nil, 1<<20)
	return l
}

// next waits for the next frame; nil is the stream's end.
func (l *live) next(t testing.TB) map[string]any {
	t.Helper()
	for l.lines.Scan() {
		if len(l.lines.Bytes()) == 0 {
			continue // keeps the stream alive
		}
		frame := map[string]any{}
		if err := json.Unmarshal(l.lines.Bytes(), &frame); err != nil {
			t.Fatalf("frame %.200q: %v", l.lines.Text(), err)
		}
		return frame
	}
	if err := l.lines.Err(); err != nil {
		t.Fatalf("stream: %v", err)
	}
	return nil
}

// wantData waits for the next frame and checks it.
func (l *live) wantData(t testing.TB, stream, data string) {
	t.Helper()
	if f := l.next(t); f["stream"] != stream || f["data"] != data {
		t.Fatalf("got frame %v, want %q on %s", f, data, stream)
	}
}

// rest reads to the end: what each stream still brought, and the last frame.
func (l *live) rest(t testing.TB) (stdout, stderr string, last map[string]any) {
	t.Helper()
	out := map[any]*strings.Builder{sallyport.Stdout: {}, sallyport.Stderr: {}}
	for f := l.next(t); f != nil; f = l.next(t) {
		if last != nil && last["stream"] == nil {
			t.Fatalf("frame %v behind the last frame %v", f, last)
		}
		last = f
		if to := out[f["stream"]]; to != nil {
			to.Write(frameData(t, f))
		}
	}
	return out[sallyport.Stdout].String(), out[sallyport.Stderr].String(), last
}

func frameData(t testing.TB, f map[string]any) []byte {
	t.Helper()
	data, _ := f["data"].(string)
	if f["encoding"] != "base64" {
		return []byte(data)
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// later sends a request whose answer is a long time coming.
func later(t testing.TB, req *http.Request) <-chan stack.Answer {
	t.Helper()
	answer := make(chan stack.Answer, 1)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	go func() {
		resp, err := (&http.Client{Transport: spec.Watch(t, transport)}).Do(req)
		if err != nil {
			t.Error(err)
			answer <- stack.Answer{}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		answer <- stack.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	}()
	return answer
}

// gate holds a command back until it is opened.
type gate struct {
	path string
	pipe *os.File
}

func newGate(t testing.TB) *gate {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Open for both: neither side waits for the other to open it.
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	return &gate{path: path, pipe: pipe}
}

// wait is what a shell runs to wait for one opening.
func (g *gate) wait() string { return "read gate <" + g.path }

func (g *gate) open(t testing.TB) {
	t.Helper()
	if _, err := g.pipe.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
}

// sh is a script to run.
func sh(script string) sallyport.ExecRequest {
	return sallyport.ExecRequest{Cmd: []string{"sh", "-c", script}}
}
