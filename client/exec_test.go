package client_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"sallyport/client"
	"sallyport/client/frame"
	"sallyport/client/sallyport"
)

func TestExecRequest(t *testing.T) {
	var got sallyport.ExecRequest
	var method, address, accept, contentType, authorization string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		method, address, authorization = r.Method, r.URL.String(), r.Header.Get("Authorization")
		accept, contentType = r.Header.Get("Accept"), r.Header.Get("Content-Type")
		readBody(t, r, &got)
		answerFrames(w, `{"exit_code":0,"duration_ms":1}`)
	})
	c.Org = "acme"
	_, err := c.Exec(t.Context(), client.Exec{
		Workspace: "build", Cmd: []string{"printf", "a\nb", "<&>\u2028", ""}, Timeout: 1500 * time.Millisecond,
		Env: map[string]string{"K": "v"}, Cwd: "/tmp", MaxOutputBytes: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := sallyport.ExecRequest{
		Cmd: []string{"printf", "a\nb", "<&>\u2028", ""}, TimeoutS: 2, Stream: true,
		Env: map[string]string{"K": "v"}, Cwd: "/tmp", MaxOutputBytes: 5,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("body: got %+v, want %+v", got, want)
	}
	if method != "POST" || address != "/workspaces/build/exec?org=acme" || authorization != "Bearer "+token ||
		!strings.HasPrefix(accept, sallyport.MediaFrames+", ") || contentType != sallyport.MediaJSON {
		t.Error(method, address, authorization, accept, contentType)
	}
}

func TestExecOrgOfItsOwn(t *testing.T) {
	var org string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		org = r.URL.Query().Get("org")
		answerFrames(w, `{"exit_code":0,"duration_ms":1}`)
	})
	c.Org = "acme"
	if _, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Org: "other", Cmd: []string{"true"}}); err != nil || org != "other" {
		t.Errorf("org %q, %v", org, err)
	}
}

func TestExecTimeoutIsRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]int{
		0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Second: 90, -time.Second: -1, 1<<63 - 1: 1 << 30,
	} {
		var got sallyport.ExecRequest
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			readBody(t, r, &got)
			answerFrames(w, `{"exit_code":0,"duration_ms":1}`)
		})
		_, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"true"}, Timeout: d})
		if err != nil || got.TimeoutS != want {
			t.Errorf("%v: timeout_s %d, want %d (%v)", d, got.TimeoutS, want, err)
		}
	}
}

func TestExecResult(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answerFrames(w,
			`{"stream":"stdout","data":"out\n","truncated":false}`,
			``,
			`{"stream":"stderr","data":"/w==","truncated":true,"encoding":"base64"}`,
			`{"stream":"stdout","data":"more","truncated":false}`,
			`{"exit_code":137,"duration_ms":12,"signal":"KILL","output_open":true}`)
	})
	var stdout, stderr bytes.Buffer
	done, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	want := client.ExecDone{
		ExecResult: sallyport.ExecResult{ExitCode: 137, DurationMS: 12, Signal: "KILL", OutputOpen: true},
		ExecID:     "0198-exec", TimeoutS: 30, StderrTruncated: true,
	}
	if *done != want {
		t.Errorf("got %+v, want %+v", *done, want)
	}
	if stdout.String() != "out\nmore" || stderr.String() != "\xff" {
		t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
	}
}

func TestExecWritesAsFramesArrive(t *testing.T) {
	next := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answerFrames(w, `{"stream":"stdout","data":"first","truncated":false}`)
		<-next
		answerFrames(w, `{"exit_code":0,"duration_ms":1}`)
	})
	// The command ends only after its output has been seen.
	seen := writerFunc(func(p []byte) (int, error) {
		close(next)
		return len(p), nil
	})
	if _, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}, Stdout: seen}); err != nil {
		t.Fatal(err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestExecErrors(t *testing.T) {
	no := false
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   sallyport.Error
	}{
		{"refused", func(w http.ResponseWriter, r *http.Request) {
			answerJSON(w, 403, sallyport.Errorf(sallyport.CodeExecTierForbidden, "tier 2"))
		}, sallyport.Error{Code: sallyport.CodeExecTierForbidden, Message: "tier 2"}},
		{"not reached", func(w http.ResponseWriter, r *http.Request) {
			answerJSON(w, 502, sallyport.Errorf(sallyport.CodeConnectFailed, "no route").WithStarted(no))
		}, sallyport.Error{Code: sallyport.CodeConnectFailed, Message: "no route", Started: &no}},
		{"timed out", func(w http.ResponseWriter, r *http.Request) {
			answerFrames(w, `{"stream":"stdout","data":"x","truncated":false}`,
				`{"error":"the deadline passed","code":"exec_timeout","timeout_s":7}`)
		}, sallyport.Error{Code: sallyport.CodeExecTimeout, Message: "the deadline passed", TimeoutS: 7, ExecID: "0198-exec"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			done, err := serve(t, tt.answer).Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}})
			var got *sallyport.Error
			if done != nil || !errors.As(err, &got) || !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("got %+v, %v", done, err)
			}
			if errors.Is(err, client.ErrCut) {
				t.Errorf("%v counts as cut", err)
			}
		})
	}
}

func TestExecRefusesBeforeSending(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Error("a request was sent") })
	tests := []struct {
		name string
		exec client.Exec
		code sallyport.Code
	}{
		{"argv that is not UTF-8", client.Exec{Workspace: "w", Cmd: []string{"a", "\xff"}}, sallyport.CodeInvalidArgv},
		{"env that is not UTF-8", client.Exec{Workspace: "w", Env: map[string]string{"A": "\xff"}}, sallyport.CodeInvalidEnv},
		{"cwd that is not UTF-8", client.Exec{Workspace: "w", Cwd: "\xff"}, sallyport.CodeInvalidCwd},
		{"no workspace", client.Exec{}, sallyport.CodeInternal},
		{"a workspace that is a path", client.Exec{Workspace: ".."}, sallyport.CodeInternal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if done, err := c.Exec(t.Context(), tt.exec); done != nil || sallyport.CodeOf(err) != tt.code {
				t.Errorf("%+v, %v", done, err)
			}
		})
	}
}

// Stdin is streamed behind a line of JSON, to its end.
func TestExecStdin(t *testing.T) {
	const size = 3 << 20
	var got sallyport.ExecRequest
	var contentType string
	var stdin int64
	var bodyErr error
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		contentType = r.Header.Get("Content-Type")
		body := bufio.NewReader(r.Body)
		line, err := body.ReadBytes('\n')
		if bodyErr = errors.Join(err, json.Unmarshal(line, &got)); bodyErr == nil {
			stdin, bodyErr = io.Copy(io.Discard, body)
		}
		answerFrames(w, `{"exit_code":0,"duration_ms":1}`)
	})
	exec := client.Exec{Workspace: "w", Cmd: []string{"cat"}, Stdin: bytes.NewReader(make([]byte, size))}
	if _, err := c.Exec(t.Context(), exec); err != nil || bodyErr != nil || stdin != size || !slices.Equal(got.Cmd, exec.Cmd) || contentType != sallyport.MediaExecStream {
		t.Errorf("%d bytes of %s, %+v, %v, %v", stdin, contentType, got, bodyErr, err)
	}
	failed := errors.New("it is broken")
	exec.Stdin = io.MultiReader(strings.NewReader("x"), iotest.ErrReader(failed))
	if done, err := c.Exec(t.Context(), exec); done != nil || !errors.Is(err, failed) {
		t.Errorf("%+v, %v", done, err)
	}
}

// A canceled context closes the connection, which is how the server learns of it.
func TestExecCancel(t *testing.T) {
	gone := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		answerFrames(w, `{"stream":"stdout","data":"x","truncated":false}`)
		<-r.Context().Done()
		close(gone)
	})
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	stdout := writerFunc(func(p []byte) (int, error) {
		cancel(cause)
		return len(p), nil
	})
	done, err := c.Exec(ctx, client.Exec{Workspace: "w", Cmd: []string{"x"}, Stdout: stdout})
	if done != nil || !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || errors.Is(err, client.ErrCut) {
		t.Errorf("%+v, %v", done, err)
	}
	<-gone
}

// A command that ends first, and a context, leave a Read of stdin behind.
func TestExecLeavesStdin(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		body := bufio.NewReader(r.Body)
		line, err := body.ReadString('\n')
		if err != nil {
			t.Error(err)
		}
		if !strings.Contains(line, "waits") {
			answerFrames(w, `{"exit_code":3,"duration_ms":1}`)
			return
		}
		cancel()
		_, _ = io.Copy(io.Discard, body) // until the caller has gone
	})
	r, w := io.Pipe()
	defer w.Close()
	done, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}, Stdin: r})
	if err != nil || done.ExitCode != 3 {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := c.Exec(ctx, client.Exec{Workspace: "w", Cmd: []string{"waits"}, Stdin: r}); done != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestExecWriteError(t *testing.T) {
	gone := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		answerFrames(w, `{"stream":"stderr","data":"x","truncated":false}`)
		<-r.Context().Done()
		close(gone)
	})
	full := writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe })
	done, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}, Stderr: full})
	var write *client.WriteError
	if done != nil || !errors.As(err, &write) || write.Stream != sallyport.Stderr || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%+v, %v", done, err)
	}
	<-gone
}

func TestExecShortWrite(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answerFrames(w, `{"stream":"stdout","data":"abc","truncated":false}`, `{"exit_code":0,"duration_ms":1}`)
	})
	short := writerFunc(func(p []byte) (int, error) { return len(p) - 1, nil })
	if _, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}, Stdout: short}); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

func TestExecFrames(t *testing.T) {
	lines := []string{
		`{"stream":"stdout","data":"` + strings.Repeat("long ", 100_000) + `","truncated":false}`,
		`{"truncated":false,  "data":"odd", "stream":"stderr", "new":1}`,
		`{"exit_code":3,"duration_ms":12,"new":true}`,
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answerFrames(w, lines[0], "", lines[1], "", "", lines[2])
	})
	frames, err := c.ExecFrames(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	defer frames.Close()
	var got []string
	var last client.Frame
	for {
		f, err := frames.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = f
		got = append(got, string(frames.Line()))
	}
	if !slices.Equal(got, lines) {
		t.Errorf("the lines differ: %.200q", got)
	}
	if last.Result == nil || last.Result.ExitCode != 3 || frames.ExecID != "0198-exec" || frames.TimeoutS != 30 {
		t.Errorf("%+v, %+v", last, frames)
	}
	if _, err := frames.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v", err)
	}
}

func TestExecFramesCloseCancels(t *testing.T) {
	gone := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		answerFrames(w, `{"stream":"stdout","data":"x","truncated":false}`)
		<-r.Context().Done()
		close(gone)
	})
	frames, err := c.ExecFrames(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := frames.Next(); err != nil {
		t.Fatal(err)
	}
	frames.Close()
	frames.Close()
	<-gone
}

// One connection carries exec after exec.
func TestExecReusesItsConnection(t *testing.T) {
	addrs := map[string]bool{}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		addrs[r.RemoteAddr] = true
		if len(r.URL.Path) > len("/workspaces/a/exec") {
			answerJSON(w, 404, sallyport.Errorf(sallyport.CodeWorkspaceNotFound, "no such workspace"))
			return
		}
		answerFrames(w, `{"exit_code":0,"duration_ms":1}`)
	})
	for _, ws := range []string{"a", "gone", "b", "c"} {
		if _, err := c.Exec(t.Context(), client.Exec{Workspace: ws, Cmd: []string{"true"}}); err != nil && ws != "gone" {
			t.Fatal(err)
		}
	}
	if len(addrs) != 1 {
		t.Errorf("%d connections for four execs", len(addrs))
	}
}

// A raw answer doesn't say that it was cut: more than the cap does.
func TestTruncatedRaw(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sallyport.MediaFrames)
		out := frame.NewStream(frame.Raw, sallyport.Stdout, 5)
		errs := frame.NewStream(frame.Raw, sallyport.Stderr, 5)
		w.Write(frame.Raw.AppendLast(errs.Append(out.Append(nil, []byte("123456")), []byte("12345")), sallyport.ExecResult{}))
	})
	var stdout strings.Builder
	done, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}, MaxOutputBytes: 5, Stdout: &stdout})
	if err != nil || !done.StdoutTruncated || done.StderrTruncated || stdout.String() != "12345\n[output truncated at 5 bytes]" {
		t.Errorf("got %+v, %q, %v", done, stdout.String(), err)
	}
}
