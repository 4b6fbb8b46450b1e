package contract

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/tmaxmax/go-sse"

	"sallyport/test/spec"
	"sallyport/test/stack"
)

// foreignExec runs a command that writes 1 MiB to each stream, in turns, some of it
// not UTF-8, and returns its answer unread.
func foreignExec(t *testing.T, s *stack.Stack, accept string, stream bool) *http.Response {
	t.Helper()
	e := sh(`i=0; while [ $i -lt 64 ]; do head -c 16384 /dev/zero | tr '\000' '\377'; head -c 16384 /dev/zero | tr '\000' e >&2; i=$((i+1)); done; exit 3`)
	e.Stream = stream
	req := s.Request(t, "POST", "/workspaces/local/exec", s.Token, quote(e))
	req.Header.Set("Accept", accept)
	web := &http.Transport{}
	t.Cleanup(web.CloseIdleConnections)
	resp, err := (&http.Client{Transport: spec.Watch(t, web)}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// Docker's own reader reads Docker's framing.
func TestDockerReadsIt(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, stream := range []bool{false, true} {
		resp := foreignExec(t, s, mediaDocker, stream)
		var stdout, stderr bytes.Buffer
		n, err := stdcopy.StdCopy(&stdout, &stderr, resp.Body)
		if err != nil || n != 2<<20 || bytes.Count(stdout.Bytes(), []byte{0xff}) != 1<<20 || bytes.Count(stderr.Bytes(), []byte("e")) != 1<<20 {
			t.Errorf("stream %t: %d bytes, %d and %d: %v", stream, n, stdout.Len(), stderr.Len(), err)
		}
		if got := resp.Trailer.Get("Sallyport-Exit-Code"); got != "3" {
			t.Errorf("trailers %v", resp.Trailer)
		}
	}
}

// A reader of server-sent events that knows nothing of Sallyport reads SSE.
func TestEventSourceReadsIt(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, stream := range []bool{false, true} {
		resp := foreignExec(t, s, mediaSSE, stream)
		frames, last := 0, ""
		for event, err := range sse.Read(resp.Body, &sse.ReadConfig{MaxEventSize: 4 << 20}) {
			switch {
			case err == io.EOF:
			case err != nil:
				t.Fatal(err)
			case event.Type == "end":
				last = event.Data
			case event.Type == "frame" && last == "" && strings.HasPrefix(event.Data, `{"stream":"std`):
				frames++
			default:
				t.Errorf("event %q %.100q", event.Type, event.Data)
			}
		}
		if frames < 2 || !strings.HasPrefix(last, `{"exit_code":3,`) {
			t.Errorf("stream %t: %d frames, end %q", stream, frames, last)
		}
	}
}
