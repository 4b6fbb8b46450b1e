package httpapi_test

import (
	"net/http"
	"testing"

	"sallyport/client/sallyport"
)

// Of the framings that there are the best liked is given (RFC 9110, section
// 12.5.1), and NDJSON to who asks for none of them or can't be understood. The
// plain cases are the contract's.
func TestAccept(t *testing.T) {
	a := newAPI(t)
	const ndjson, sse, frames, docker = sallyport.MediaNDJSON, sallyport.MediaSSE, sallyport.MediaFrames, sallyport.MediaDocker
	tests := []struct {
		accept []string
		want   string
	}{
		{nil, ndjson},
		{[]string{""}, ndjson},
		{[]string{","}, ndjson},
		{[]string{"text/html", sse}, sse}, // two headers are one list
		{[]string{sse + ";q=0.1", docker + ";q=0.2"}, docker},
		{[]string{sse + "," + frames}, sse}, // as much liked: the first
		{[]string{frames + "," + sse}, frames},
		{[]string{frames + ";q=0.9," + sse + ";q=0.95"}, sse},
		{[]string{sse + ";q=0.001"}, sse},
		{[]string{sse + ";q=0.000, " + docker + ";q=0"}, ndjson},
		{[]string{ndjson + ", " + sse}, ndjson},
		{[]string{"application/*;q=0.5, " + sse + ";q=0.4"}, ndjson},
		{[]string{"application/*;q=0.4, " + sse + ";q=0.5"}, sse},
		{[]string{"*/*, " + docker + ";q=0.9"}, ndjson},
		{[]string{"*/*;q=0.1, " + docker}, docker},
		{[]string{sse + "; charset=utf-8"}, sse},
		{[]string{"Text/Event-Stream ; Q=0.5"}, sse},
		{[]string{" \t" + sse + "\t "}, sse},
		{[]string{sse + ";q=high, " + frames + ";q=0.1"}, frames},
		{[]string{sse + ";q=, " + frames + ";q=0.1"}, frames},
		{[]string{sse + ";q=-1"}, ndjson},
		{[]string{sse + ";q=NaN"}, ndjson},
		{[]string{"text/event-stream/x"}, ndjson},
		{[]string{"/, ;, q=1, " + frames}, frames},
		{[]string{"text/event-streams"}, ndjson},
		{[]string{"\x00\xff, " + sse}, sse},
	}
	for _, tt := range tests {
		r := a.request(http.MethodPost, "/workspaces/w/exec?org=o", `{"cmd":["true"]}`)
		r.Header["Accept"] = tt.accept
		w := a.answer(r)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != tt.want {
			t.Errorf("%q: got %d %s, want %s", tt.accept, w.Code, got, tt.want)
		}
	}
}

// An error is JSON, whatever framing the answer would have had.
func TestErrorsAreJSON(t *testing.T) {
	a := newAPI(t)
	for _, accept := range []string{sallyport.MediaSSE, sallyport.MediaDocker, sallyport.MediaFrames, "text/html", ""} {
		for _, body := range []string{`{"cmd":["true"],"stream":true,"cwd":"/no/such/dir"}`, `{"cmd":["true"],"cwd":"/no/such/dir"}`} {
			r := a.request(http.MethodPost, "/workspaces/w/exec?org=o", body)
			r.Header.Set("Accept", accept)
			w := a.answer(r)
			if code := codeOf(t, w); code != sallyport.CodeInvalidCwd || w.Header().Get("Trailer") != "" {
				t.Errorf("%s: %d %s %s", accept, w.Code, w.Body, w.Header())
			}
		}
	}
}
