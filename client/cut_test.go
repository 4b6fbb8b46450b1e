package client_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/client"
)

const cutBody = `{"stream":"stdout","data":"hello\n","truncated":false}
{"stream":"stderr","data":"/w==","truncated":false,"encoding":"base64"}

{"exit_code":0,"duration_ms":12}
`

const cutHeader = "Content-Type: application/x-ndjson\r\nSallyport-Exec-Id: 0198-exec\r\n"

const rawHeader = "Content-Type: application/vnd.sallyport.frames\r\nSallyport-Exec-Id: 0198-exec\r\n"

// rawBody is the same in our own framing.
func rawBody() string {
	const last = `{"exit_code":0,"duration_ms":12}`
	return "\x01\x00\x00\x00\x00\x00\x00\x06hello\n" + "\x02\x00\x00\x00\x00\x00\x00\x01\xff" +
		"\x01\x00\x00\x00\x00\x00\x00\x00" + "\x04\x00\x00\x00\x00\x00\x00" + string(rune(len(last))) + last
}

// chunked is cutBody with a chunk for each line, as a server that flushes sends it.
func chunked() string {
	var b strings.Builder
	for line := range strings.Lines(cutBody) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(line), line)
	}
	return b.String() + "0\r\n\r\n"
}

// Whatever the protocol version and the framing below, an answer that ends before
// its last frame is whole is cut: never a result, and never an exit code.
func TestCutAtEveryByte(t *testing.T) {
	for name, answer := range map[string]string{
		"HTTP/1.1 in chunks":     "HTTP/1.1 200 OK\r\n" + cutHeader + "Transfer-Encoding: chunked\r\n\r\n" + chunked(),
		"HTTP/1.1 with a length": "HTTP/1.1 200 OK\r\n" + cutHeader + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(cutBody)) + cutBody,
		"HTTP/1.1 until close":   "HTTP/1.1 200 OK\r\n" + cutHeader + "Connection: close\r\n\r\n" + cutBody,
		"HTTP/1.0 until close":   "HTTP/1.0 200 OK\r\n" + cutHeader + "\r\n" + cutBody,
		"raw with a length":      "HTTP/1.1 200 OK\r\n" + rawHeader + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(rawBody())) + rawBody(),
		"raw until close":        "HTTP/1.1 200 OK\r\n" + rawHeader + "Connection: close\r\n\r\n" + rawBody(),
	} {
		t.Run(name, func(t *testing.T) {
			lastFrame := `{"exit_code":0,"duration_ms":12}`
			if !strings.HasPrefix(name, "raw") {
				lastFrame += "\n"
			}
			whole := strings.Index(answer, lastFrame) + len(lastFrame)
			c := client.New(serveCut(t, answer), token)
			defer c.Close()
			for n := range len(answer) + 1 {
				var stdout bytes.Buffer
				done, err := c.Exec(t.Context(), client.Exec{Workspace: fmt.Sprint(n), Cmd: []string{"x"}, Stdout: &stdout})
				switch {
				case n >= whole && (err != nil || done.ExitCode != 0 || stdout.String() != "hello\n"):
					t.Fatalf("%d bytes: %+v, %v", n, done, err)
				case n < whole && (done != nil || !errors.Is(err, client.ErrCut)):
					t.Fatalf("%d bytes, %q…: %+v, %v", n, answer[:n], done, err)
				}
			}
		})
	}
}

// serveCut answers the exec on workspace N with the first N bytes of answer, and
// closes. It returns its URL.
func serveCut(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answerCut(t, conn, answer)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-served
	})
	return "http://" + l.Addr().String()
}

func answerCut(t *testing.T, conn net.Conn, answer string) {
	defer conn.Close()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		t.Errorf("read the request: %v", err)
		return
	}
	var n int
	if _, err := fmt.Sscanf(req.URL.Path, "/workspaces/%d/exec", &n); err != nil {
		t.Errorf("%s: %v", req.URL, err)
	}
	io.Copy(io.Discard, req.Body)
	io.WriteString(conn, answer[:n])
}

func TestCutOverHTTP2(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answerFrames(w, `{"stream":"stdout","data":"x","truncated":false}`)
		if r.ProtoMajor != 2 {
			t.Errorf("the request came by %s", r.Proto)
		}
		if r.URL.Path == "/workspaces/cut/exec" {
			panic(http.ErrAbortHandler)
		}
		answerFrames(w, `{"exit_code":0,"duration_ms":12}`)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	c := client.New(srv.URL, token)
	c.HTTPClient = srv.Client()
	defer c.Close()
	if done, err := c.Exec(t.Context(), client.Exec{Workspace: "cut", Cmd: []string{"x"}}); done != nil || !errors.Is(err, client.ErrCut) {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := c.Exec(t.Context(), client.Exec{Workspace: "whole", Cmd: []string{"x"}}); err != nil || done.ExitCode != 0 {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestCutTellsWhere(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answerFrames(w, `{"stream":"stdout","data":"x","truncated":false}`)
	})
	_, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}})
	var cut *client.CutError
	if !errors.As(err, &cut) || cut.ExecID != "0198-exec" {
		t.Errorf("%#v", err)
	}
	const want = "exec on workspace w: the answer was cut off, and how the command ended is not known: unexpected EOF"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A frame that can't be read leaves the end as unknown as a missing one does.
func TestGarbledIsCut(t *testing.T) {
	for _, line := range []string{
		`{"stream":"stdout","data":"x","truncated":fal`, `{"exit_code":"0"}`, `{}`, `[0]`, `exit_code 0`,
		`{"EXIT":0}`, `{"stream":"stdin","data":"x"}`, `{"error":"no code"}`,
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { answerFrames(w, line) })
		done, err := c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}})
		if done != nil || !errors.Is(err, client.ErrCut) {
			t.Errorf("%s: %+v, %v", line, done, err)
		}
	}
}

// A server that is not there ran nothing, which is not the same as not knowing.
func TestUnreachableIsNotCut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := client.New("http://"+l.Addr().String(), token)
	_, err = c.Exec(t.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}})
	if err == nil || errors.Is(err, client.ErrCut) || !strings.HasPrefix(err.Error(), "exec on workspace w: reach http://127.0.0.1:") {
		t.Error(err)
	}
}
