package contract

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"sallyport/test/spec"
	"sallyport/test/stack"
)

const (
	mediaDocker = "application/vnd.docker.multiplexed-stream"
	mediaFrames = "application/vnd.sallyport.frames"
	mediaSSE    = "text/event-stream"
)

// piece is one piece of a raw framing.
type piece struct {
	kind byte
	data string
}

// pieces reads a raw framing to its end.
func pieces(t *testing.T, body string) (all []piece) {
	t.Helper()
	r := strings.NewReader(body)
	for {
		var header [8]byte
		if _, err := io.ReadFull(r, header[:]); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatalf("header: %v", err)
		}
		if header[1]|header[2]|header[3] != 0 {
			t.Fatalf("header %v", header)
		}
		data := make([]byte, binary.BigEndian.Uint32(header[4:]))
		if _, err := io.ReadFull(r, data); err != nil {
			t.Fatalf("piece: %v", err)
		}
		all = append(all, piece{header[0], string(data)})
	}
}

func (p pieceList) of(kind byte) (text string) {
	for _, piece := range p {
		if piece.kind == kind {
			text += piece.data
		}
	}
	return text
}

type pieceList []piece

// execAs runs body with an Accept header and reads the answer with its trailers.
func execAs(t *testing.T, s *stack.Stack, accept, body string) (stack.Answer, http.Header) {
	t.Helper()
	req := s.Request(t, "POST", "/workspaces/local/exec", s.Token, body)
	req.Header.Set("Accept", accept)
	client := &http.Client{Transport: spec.Watch(t, http.DefaultTransport)}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return stack.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(answer)}, resp.Trailer
}

const bothStreams = `{"cmd":["sh","-c","printf 'a\\377b'; echo err >&2; exit 3"],"stream":%t}`

func TestDockerFraming(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, stream := range []bool{false, true} {
		a, trailer := execAs(t, s, mediaDocker, fmt.Sprintf(bothStreams, stream))
		got := pieceList(pieces(t, a.Body))
		if a.Status != 200 || a.Header.Get("Content-Type") != mediaDocker || got.of(1) != "a\xffb" || got.of(2) != "err\n" {
			t.Errorf("got %d %q", a.Status, a.Body)
		}
		if trailer.Get("Sallyport-Exit-Code") != "3" || trailer.Get("Sallyport-Error-Code") != "" ||
			!strings.HasPrefix(trailer.Get("Sallyport-Result"), `{"exit_code":3,"duration_ms":`) {
			t.Errorf("trailers %v", trailer)
		}
	}
	a, trailer := execAs(t, s, mediaDocker, `{"cmd":["sleep","600"],"timeout_s":1,"stream":true}`)
	if a.Status != 200 || trailer.Get("Sallyport-Error-Code") != "exec_timeout" || trailer.Get("Sallyport-Exit-Code") != "" {
		t.Errorf("time-out: %d, trailers %v", a.Status, trailer)
	}
	a, _ = execAs(t, s, mediaDocker, `{"cmd":["printf","aé"],"max_output_bytes":2}`)
	if got := pieceList(pieces(t, a.Body)).of(1); got != "a\n[output truncated at 2 bytes]" {
		t.Errorf("cut: %q", got)
	}
}

// HTTP/1.0 has no trailers: the result would be lost.
func TestDockerFramingTakesHTTP11(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"cmd":["true"]}`
	fmt.Fprintf(conn, "POST /workspaces/local/exec HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer %s\r\nAccept: %s\r\nContent-Length: %d\r\n\r\n%s",
		s.Token, mediaDocker, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if err := spec.CheckRead("POST", "/workspaces/local/exec", resp, answer); err != nil {
		t.Error(err)
	}
	if resp.StatusCode != http.StatusHTTPVersionNotSupported || !strings.Contains(string(answer), "http_version_not_supported") {
		t.Errorf("got %d %s", resp.StatusCode, answer)
	}
	if rows := s.Execs(t); len(rows) != 0 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestOurFraming(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, stream := range []bool{false, true} {
		a, _ := execAs(t, s, mediaFrames, fmt.Sprintf(bothStreams, stream))
		got := pieceList(pieces(t, a.Body))
		last := got[len(got)-1]
		if a.Header.Get("Content-Type") != mediaFrames || got.of(1) != "a\xffb" || got.of(2) != "err\n" ||
			last.kind != 4 || !strings.HasPrefix(last.data, `{"exit_code":3,"duration_ms":`) {
			t.Errorf("got %d %q", a.Status, a.Body)
		}
	}
	a, _ := execAs(t, s, mediaFrames, `{"cmd":["sleep","600"],"timeout_s":1,"stream":true}`)
	if got := pieces(t, a.Body); len(got) != 1 || !strings.Contains(got[0].data, `"code":"exec_timeout"`) {
		t.Errorf("time-out: %q", a.Body)
	}
}

func TestSSEFraming(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, stream := range []bool{false, true} {
		a, _ := execAs(t, s, mediaSSE, fmt.Sprintf(`{"cmd":["echo","hi"],"stream":%t}`, stream))
		want := "event: frame\ndata: {\"stream\":\"stdout\",\"data\":\"hi\\n\",\"truncated\":false}\n\nevent: end\ndata: {\"exit_code\":0,\"duration_ms\":N}\n\n"
		if got := withoutDuration(a.Body); a.Header.Get("Content-Type") != mediaSSE || got != want {
			t.Errorf("got %q", got)
		}
	}
}

// An unknown Accept, or none, is NDJSON; the best liked of the known ones wins.
func TestAccept(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for accept, want := range map[string]string{
		"":                                  "application/x-ndjson",
		"*/*":                               "application/x-ndjson",
		"text/html, image/png":              "application/x-ndjson",
		"garbage;;;":                        "application/x-ndjson",
		mediaFrames:                         mediaFrames,
		mediaSSE + ";q=0.5, " + mediaFrames: mediaFrames,
		mediaSSE + ", */*;q=0.1":            mediaSSE,
		"application/json, " + mediaDocker:  mediaDocker,
		mediaDocker + ";q=0":                "application/x-ndjson",
		"TEXT/EVENT-STREAM":                 mediaSSE,
	} {
		a, _ := execAs(t, s, accept, `{"cmd":["true"]}`)
		if got := a.Header.Get("Content-Type"); got != want {
			t.Errorf("%q: got %s, want %s", accept, got, want)
		}
	}
}
