package contract

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/httpapi"
	"sallyport/test/stack"
)

// streamExec sends an exec whose stdin is streamed, in the default framing.
func streamExec(t testing.TB, s *stack.Stack, line string, stdin io.Reader) stack.Answer {
	t.Helper()
	req := s.Request(t, http.MethodPost, "/workspaces/local/exec", s.Token, "")
	req.Header.Set("Content-Type", sallyport.MediaExecStream)
	req.Body, req.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(line), stdin)), -1
	return s.Send(t, req)
}

// Stdin of any size reaches the command byte for byte, buffered and streamed, and its row
// tells how much it was.
func TestStreamedStdin(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	const size = 20<<20 + 7
	random := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }
	sum := sha256.New()
	_, _ = io.Copy(sum, random()) // it never fails
	want := fmt.Sprintf("%x  -\n", sum.Sum(nil))
	for _, line := range []string{`{"cmd":["sha256sum"]}` + "\n", `{"cmd":["sha256sum"],"stream":true}` + "\n"} {
		if p := parse(t, streamExec(t, s, line, random())); p.stdout != want || *p.exit != 0 {
			t.Errorf("%s: %q %v", line, p.stdout, p.last)
		}
	}
	c := client.New(s.URL, s.Token)
	defer c.Close()
	var out bytes.Buffer
	if _, err := c.Exec(t.Context(), client.Exec{Workspace: "local", Cmd: []string{"sha256sum"}, Stdin: random(), Stdout: &out}); err != nil || out.String() != want {
		t.Errorf("%q %v", out.String(), err)
	}
	for _, row := range s.Execs(t) {
		if *row.StdinBytes != size {
			t.Errorf("%d bytes of stdin: row %+v", *row.StdinBytes, row)
		}
	}
	for _, line := range []string{`{"cmd":["cat"]}`, `{"cmd":["cat"]}` + "\n"} { // without any, it is empty
		if p := parse(t, streamExec(t, s, line, strings.NewReader(""))); p.stdout != "" || *p.exit != 0 {
			t.Errorf("%q: %+v", line, p)
		}
	}
	// What stands behind the line isn't looked at.
	if p := parse(t, streamExec(t, s, `{"cmd":["cat"]}`+"\n", strings.NewReader("\n{\"cmd\":[\"id\"]}\n"))); p.stdout != "\n{\"cmd\":[\"id\"]}\n" {
		t.Errorf("%q", p.stdout)
	}
}

// What is wrong with the line is told, and nothing runs; the time-out may be longer.
func TestStreamedStdinLine(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	endless := func() io.Reader { return iotest.OneByteReader(rand.NewChaCha8([32]byte{})) }
	for line, want := range map[string]string{
		`{"cmd":["true"],"stdin":""}` + "\n": "invalid_stdin", `{"cmd":["true"],"stdin_base64":""}` + "\n": "invalid_stdin", `{"cmd":["true"]` + "\n": "invalid_json",
		"\n": "invalid_json", `{"cmd":[]}` + "\n": "invalid_argv", strings.Repeat(" ", 2<<20+1): "body_too_large",
	} {
		if a := streamExec(t, s, line, endless()); a.Code() != want {
			t.Errorf("%.40q: %d %s", line, a.Status, a.Body)
		}
	}
	req := s.Request(t, http.MethodPost, "/workspaces/absent/exec", s.Token, `{"cmd":["true"]}`+"\n")
	req.Header.Set("Content-Type", sallyport.MediaExecStream)
	if a := s.Send(t, req); a.Code() != "workspace_not_found" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if rows := s.Execs(t); len(rows) != 0 {
		t.Errorf("%d rows", len(rows))
	}
	if a := streamExec(t, s, `{"cmd":["true"],"timeout_s":100000}`+"\n", endless()); a.Header.Get(sallyport.HeaderTimeoutS) != "3600" || a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Header)
	}
}

// The answer flows while stdin does, and a command that ends first has its answer at once.
func TestStreamedStdinFlows(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	c := client.New(s.URL, s.Token)
	defer c.Close()
	typed, typing := io.Pipe()
	shown, showing := io.Pipe()
	lines := bufio.NewReader(shown)
	done := make(chan error, 1)
	go func() {
		result, err := c.Exec(t.Context(), client.Exec{Workspace: "local", Cmd: []string{"sh", "-c", "while read -r x; do echo got $x; if [ $x = 3 ]; then exit 5; fi; done"}, Stdin: typed, Stdout: showing})
		if err == nil && result.ExitCode != 5 {
			err = fmt.Errorf("exit code %d", result.ExitCode)
		}
		done <- err
	}()
	for i := range 3 {
		if _, err := fmt.Fprintln(typing, i+1); err != nil {
			t.Fatal(err)
		}
		if got, err := lines.ReadString('\n'); err != nil || got != fmt.Sprintf("got %d\n", i+1) {
			t.Fatalf("%q %v", got, err)
		}
	}
	if err := <-done; err != nil { // stdin is open still
		t.Error(err)
	}
	typing.Close()
	a := streamExec(t, s, `{"cmd":["head","-c","3"]}`+"\n", rand.NewChaCha8([32]byte{})) // without end
	if p := parse(t, a); len(p.stdout) != 3 || *p.exit != 0 {
		t.Errorf("%+v", p)
	}
}

// A body that breaks off is no end of file: the command is ended, and its row says so.
func TestStreamedStdinBreaksOff(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	ended := filepath.Join(t.TempDir(), "ended")
	line := fmt.Sprintf(`{"cmd":["sh","-c","echo ready; cat >/dev/null; touch %s"],"stream":true,"timeout_s":3600}`, ended) + "\n"
	head := fmt.Sprintf("POST /workspaces/local/exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n", s.Token, sallyport.MediaExecStream)
	for name, begin := range map[string]string{
		"a chunk is missing": fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n3\r\nabc\r\n", head, len(line), line),
		"it is too short":    fmt.Sprintf("%sContent-Length: %d\r\n\r\n%sabc", head, len(line)+9, line),
	} {
		before := len(s.Execs(t))
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, begin); err != nil {
			t.Fatal(err)
		}
		for answer := bufio.NewReader(conn); ; {
			got, err := answer.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(got, "ready") {
				break
			}
		}
		conn.Close()
		row := waitForExec(t, s, before)
		if row.Status != sallyport.StatusCanceled || leavesSome(row) || *row.StdinBytes != 3 {
			t.Errorf("%s: row %+v", name, row)
		}
	}
	c := client.New(s.URL, s.Token)
	defer c.Close()
	failed := errors.New("the disk is broken")
	before := len(s.Execs(t))
	_, err := c.Exec(t.Context(), client.Exec{
		Workspace: "local", Cmd: []string{"sh", "-c", "cat >/dev/null; touch " + ended}, Timeout: time.Hour, Stdin: io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(failed)),
	})
	if !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	if len(s.Execs(t)) > before { // the command may not have begun
		if row := waitForExec(t, s, before); row.Status != sallyport.StatusCanceled {
			t.Errorf("row %+v", row)
		}
	}
	if _, err := os.Stat(ended); err == nil {
		t.Error("a command has seen an end of file")
	}
}

// A caller who goes while the command reads nothing of his is missed.
func TestStreamedStdinOfOneWhoHasGone(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Times: httpapi.Times{Keepalive: 50 * time.Millisecond}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := fmt.Sprintf("POST /workspaces/local/exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s\n",
		s.Token, sallyport.MediaExecStream, int64(1)<<40, `{"cmd":["sleep","300"],"stream":true,"timeout_s":3600}`)
	if _, err := io.WriteString(conn, begin); err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; { // until nothing more of it is taken
		err = conn.SetWriteDeadline(time.Now().Add(time.Second))
		if err == nil {
			_, err = conn.Write(make([]byte, 1<<20))
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	conn.Close()
	if row := waitForExec(t, s, 0); row.Status != sallyport.StatusCanceled || leavesSome(row) {
		t.Errorf("row %+v", row)
	}
}

// waitForExec waits until the exec that came after so many has ended.
func waitForExec(t *testing.T, s *stack.Stack, before int) sallyport.Activity {
	t.Helper()
	var row sallyport.Activity
	await(t, "the exec's end", func() bool {
		rows := s.Execs(t)
		if len(rows) > before {
			row = rows[0]
		}
		return len(rows) > before && row.Status != sallyport.StatusRunning
	})
	return row
}
