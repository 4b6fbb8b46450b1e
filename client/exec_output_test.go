package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/client"
	"sallyport/client/frame"
	"sallyport/client/sallyport"
)

// outputServer answers readings of one output, each as the next of parts says, from where the
// reading asks.
type outputServer struct {
	t              *testing.T
	stdout, stderr string
	asked          atomic.Int32
	// cuts are how each answer ends: "cut", a code, or "" for the whole of it.
	cuts []string
}

func (s *outputServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(s.asked.Add(1)) - 1
	var out, err int
	if _, e := fmt.Sscanf(r.URL.Query().Get("since"), "%d,%d", &out, &err); e != nil {
		s.t.Errorf("since %q: %v", r.URL.Query().Get("since"), e)
	}
	how := s.cuts[min(n, len(s.cuts)-1)]
	if strings.HasPrefix(how, "refuse ") {
		answerJSON(w, http.StatusGone, sallyport.Errorf(sallyport.Code(strings.TrimPrefix(how, "refuse ")), "no"))
		return
	}
	if out < 0 {
		out += len(s.stdout)
	}
	if err < 0 {
		err += len(s.stderr)
	}
	outEnd, errEnd := len(s.stdout), len(s.stderr)
	if how != "" { // a part alone
		outEnd, errEnd = min(outEnd, out+3), min(errEnd, err+1)
	}
	w.Header().Set("Content-Type", sallyport.MediaNDJSON)
	outAt, errAt := int64(out), int64(err)
	w.Header().Set(sallyport.HeaderOutputOffset, frame.OutputOffsets(sallyport.OutputNext{Stdout: &outAt, Stderr: &errAt}))
	stdout, stderr := frame.NewOutput(frame.NDJSON, sallyport.Stdout, outAt), frame.NewOutput(frame.NDJSON, sallyport.Stderr, errAt)
	body := stdout.Finish(stdout.Append(nil, []byte(s.stdout[out:outEnd])))
	body = append(body, stderr.Finish(stderr.Append(nil, []byte(s.stderr[err:errEnd])))...)
	switch how {
	case "cut":
		body = append(body, `{"stream":"stdout","offset":`...)
	case "":
		body = append(body, fmt.Sprintf(`{"status":"error","exit_code":3,"duration_ms":12,"next":{"stdout":%d,"stderr":%d}}`+"\n", outEnd, errEnd)...)
	default:
		body = append(body, fmt.Sprintf(`{"error":"no","code":%q,"next":{"stdout":%d,"stderr":%d}}`+"\n", how, outEnd, errEnd)...)
	}
	_, _ = w.Write(body)
}

// read is what a reading gives, and its last frame.
func (s *outputServer) read(ctx context.Context, o client.OutputOptions) (got map[string]string, last client.Frame, err error) {
	frames, err := serve(s.t, s.ServeHTTP).ExecOutput(ctx, "w", "0198-exec", o)
	if err != nil {
		return nil, last, err
	}
	defer frames.Close()
	got = map[string]string{}
	for {
		f, err := frames.Next()
		if err != nil || f.End != nil {
			return got, f, err
		}
		got[f.Stream] += string(f.Data)
	}
}

// An output that is cut anywhere, or ends with its server, goes on where it was: each byte
// comes once.
func TestExecOutputGoesOn(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]client.OutputOptions{
		"from the beginning":  {Follow: true},
		"from offsets":        {SinceStdout: 2, SinceStderr: 1},
		"from the newest few": {SinceStdout: -9, SinceStderr: -2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &outputServer{t: t, stdout: "abcdefghijkl", stderr: "123456", cuts: []string{"cut", "draining", "cut", "exec_transport", ""}}
			cuts := 0
			o.Cut = func(error) { cuts++ }
			got, last, err := s.read(t.Context(), o)
			at := func(text string, since int64) string {
				if since < 0 {
					since += int64(len(text))
				}
				return text[since:]
			}
			if err != nil || got[sallyport.Stdout] != at(s.stdout, o.SinceStdout) || got[sallyport.Stderr] != at(s.stderr, o.SinceStderr) {
				t.Errorf("got %q, %v", got, err)
			}
			if last.Result == nil || last.Result.ExitCode != 3 || *last.End.Next.Stdout != int64(len(s.stdout)) {
				t.Errorf("the last frame is %+v", last)
			}
			if cuts != 4 {
				t.Errorf("%d cuts were told, want 4", cuts)
			}
		})
	}
}

// What would be refused again isn't tried again.
func TestExecOutputRefused(t *testing.T) {
	t.Parallel()
	s := &outputServer{t: t, stdout: "abcdef", cuts: []string{"refuse output_gone"}}
	if _, _, err := s.read(t.Context(), client.OutputOptions{}); sallyport.CodeOf(err) != sallyport.CodeOutputGone {
		t.Errorf("at first: %v", err)
	}
	s = &outputServer{t: t, stdout: "abcdef", cuts: []string{"cut", "refuse output_gone"}}
	got, _, err := s.read(t.Context(), client.OutputOptions{})
	if sallyport.CodeOf(err) != sallyport.CodeOutputGone || errors.Is(err, client.ErrCut) || got[sallyport.Stdout] != "abc" {
		t.Errorf("behind a cut: %q, %v", got, err)
	}
	s = &outputServer{t: t, stdout: "abcdef", cuts: []string{"output_gone"}}
	if _, last, err := s.read(t.Context(), client.OutputOptions{}); err != nil || last.Err == nil || last.Err.Code != sallyport.CodeOutputGone || s.asked.Load() != 1 {
		t.Errorf("in the last frame: %+v, %v", last, err)
	}
}

// A caller who leaves while an output is taken up again is told that.
func TestExecOutputEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &outputServer{t: t, stdout: "abcdef", cuts: []string{"cut"}}
	if _, _, err := s.read(ctx, client.OutputOptions{Cut: func(error) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A frame that isn't what follows what came before is an error, not output.
func TestExecOutputGap(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answerFrames(w, `{"stream":"stdout","offset":0,"data":"abc","truncated":false}`, `{"stream":"stdout","offset":3,"skipped":5}`,
			`{"stream":"stdout","offset":9,"data":"x","truncated":false}`)
	})
	frames, err := c.ExecOutput(t.Context(), "w", "0198-exec", client.OutputOptions{Stream: sallyport.Stdout})
	if err != nil {
		t.Fatal(err)
	}
	defer frames.Close()
	if f, err := frames.Next(); err != nil || string(f.Data) != "abc" {
		t.Fatalf("the first is %+v, %v", f, err)
	}
	if f, err := frames.Next(); err != nil || f.Offset != 3 || f.Skipped != 5 {
		t.Fatalf("the gap is %+v, %v", f, err)
	}
	if f, err := frames.Next(); err == nil {
		t.Errorf("what is not next is %+v", f)
	}
}

// A detached exec's request, and its row.
func TestStartExec(t *testing.T) {
	t.Parallel()
	var got sallyport.ExecRequest
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		readBody(t, r, &got)
		if key := r.Header.Get(sallyport.HeaderIdempotencyKey); key != "k" {
			t.Errorf("the key is %q", key)
		}
		answerJSON(w, http.StatusAccepted, sallyport.Activity{ID: "0198-exec", Status: sallyport.StatusRunning})
	})
	row, err := c.StartExec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}, Stdin: strings.NewReader("in"), Keep: 1500e6, IdempotencyKey: "k"})
	if err != nil || row.ID != "0198-exec" {
		t.Errorf("got %+v, %v", row, err)
	}
	if !got.Detach || got.Stream || got.KeepS != 2 || string(got.StdinBase64) != "in" {
		t.Errorf("asked for %+v", got)
	}
	tooMuch := io.LimitReader(strings.NewReader(strings.Repeat("x", 1<<20+1)), 1<<20+1)
	if _, err := c.StartExec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}, Stdin: tooMuch}); sallyport.CodeOf(err) != sallyport.CodeInvalidStdin {
		t.Errorf("of too much stdin: %v", err)
	}
}

// A wait goes on while the exec runs, and behind a server that drains.
func TestWaitExec(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait_s") != "60" {
			t.Errorf("asked %s", r.URL)
		}
		row := sallyport.Activity{ID: "0198-exec", Status: sallyport.StatusRunning}
		switch asked.Add(1) {
		case 1:
			answerJSON(w, http.StatusServiceUnavailable, sallyport.Errorf(sallyport.CodeDraining, "no"))
			return
		case 3:
			row.Status = sallyport.StatusOK
		}
		answerJSON(w, http.StatusOK, row)
	})
	if row, err := c.WaitExec(t.Context(), "w", "0198-exec"); err != nil || row.Status != sallyport.StatusOK {
		t.Errorf("got %+v, %v", row, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.WaitExec(ctx, "w", "0198-exec"); !errors.Is(err, context.Canceled) {
		t.Errorf("of who leaves: %v", err)
	}
}
