package client_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"sallyport/client"
	"sallyport/client/frame"
	"sallyport/client/sallyport"
)

// BenchmarkExecStream is 64 MiB of a log through HTTP, frames and back. Compare
// it with BenchmarkBytes, the same bytes without frames.
func BenchmarkExecStream(b *testing.B) {
	line := "2026-11-24T08:00:00Z INFO \"GET /index.html\" 200 1534 - some words of a log line\n"
	chunk := []byte(strings.Repeat(line, 32<<10/len(line)))
	pieces := frame.NewStream(frame.Raw, sallyport.Stdout, 1<<30).Append(nil, chunk)
	const chunks = 2048
	c := serve(b, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sallyport.MediaFrames)
		for range chunks {
			w.Write(pieces)
		}
		w.Write(frame.Raw.AppendLast(nil, sallyport.ExecResult{}))
	})
	b.SetBytes(int64(chunks * len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		var n int
		stdout := writerFunc(func(p []byte) (int, error) { n += len(p); return len(p), nil })
		if _, err := c.Exec(b.Context(), client.Exec{Workspace: "w", Cmd: []string{"x"}, Stdout: stdout}); err != nil {
			b.Fatal(err)
		}
		if n != chunks*len(chunk) {
			b.Fatal(n)
		}
	}
}

func BenchmarkBytes(b *testing.B) {
	chunk := make([]byte, 32<<10)
	const chunks = 2048
	c := serve(b, func(w http.ResponseWriter, r *http.Request) {
		for range chunks {
			w.Write(chunk)
		}
	})
	b.SetBytes(int64(chunks * len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		answer, err := c.HTTPClient.Get(c.URL)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}
