package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"

	"sallyport/client/sallyport"
)

// decodeEvents lets the client read an answer of events.
func decodeEvents(wire io.Reader) (rows []sallyport.Activity, lastID string, err error) {
	s := &eventStream{yield: func(row sallyport.Activity, _ error) bool {
		rows = append(rows, row)
		return true
	}}
	err = s.read(wire, func() {})
	return rows, s.lastID, err
}

// FuzzEvents: whatever a server sends as events, the client reads of it what an
// EventSource does, up to what it can't understand.
func FuzzEvents(f *testing.F) {
	for _, s := range []string{
		"id: 1\ndata: {\"id\":\"a\",\"seq\":1}\n\n", ":\n\nid: 2\ndata: {\"seq\":2}\n\nid: 3\n", "data: {\ndata: \"seq\":7}\n\n", "event: end\ndata: {\"error\":\"x\",\"code\":\"revoked\"}\n\n",
		"event: later\ndata: x\n\ndata: {\"seq\":1}\n\n", "data\n\n", "data:\n\n", "data:{}\n\n", "data:  {}\n\n", "id\n\n", "id: 4\n\n", "event: message\ndata: {}\n\n", "retry: 1\n\n", "unknown: 1\n\n",
		"id: a\x00b\ndata: {}\n\n", "data: {}\r\n\r\n", "data: null\n\n", "data: []\n\n", "data: {\"seq\":1e99}\n\n", "\n\n\n", "data: \xff\n\n", ": comment\ndata: {}\n\n", "data: {}", "id: \x1b[2J\ndata: {}\n\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, wire string) {
		rows, lastID, err := decodeEvents(strings.NewReader(wire))
		if err == nil {
			t.Fatalf("%q: no events have an end", wire)
		}
		if strings.ContainsRune(lastID, 0) || len(lastID) > len(wire) || len(rows) > len(wire) {
			t.Errorf("%q: %d rows, the last with id %q", wire, len(rows), lastID)
		}
		// The other reader knows more ends of lines, and what a last line without one is.
		whole := wire[:strings.LastIndex("\n\n"+wire, "\n\n")]
		if strings.ContainsAny(whole, "\r\x00") || strings.HasPrefix(whole, "\ufeff") {
			return
		}
		want, wantErr := decodeAsEventSource(whole)
		got, _, gotErr := decodeEvents(strings.NewReader(whole))
		if len(got) != len(want) || (gotErr == io.ErrUnexpectedEOF) != (wantErr == nil) {
			t.Fatalf("%q: %d rows, %v; want %d, %v", whole, len(got), gotErr, len(want), wantErr)
		}
		for i := range got {
			if got[i].Seq != want[i].Seq || got[i].ID != want[i].ID {
				t.Errorf("%q: row %d is %+v, want %+v", whole, i, got[i], want[i])
			}
		}
	})
}

// decodeAsEventSource reads rows with a reader that knows nothing of Sallyport.
func decodeAsEventSource(wire string) (rows []sallyport.Activity, err error) {
	for event := range strings.SplitSeq(wire, "\n\n") {
		name, data, ok := eventSource(event)
		switch {
		case !ok: // an id alone
		case name == "end":
			var e sallyport.Error
			return rows, errors.Join(io.EOF, json.Unmarshal([]byte(data), &e))
		case name == "" || name == "message":
			var row sallyport.Activity
			if err := json.Unmarshal([]byte(data), &row); err != nil {
				return rows, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// eventSource reads the lines of one event as the standard of HTML says; ok tells
// whether it has data.
func eventSource(event string) (name, data string, ok bool) {
	for line := range strings.SplitSeq(event, "\n") {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data, ok = data+"\n"+value, true
		}
	}
	return name, strings.TrimPrefix(data, "\n"), ok
}

// endless is a line, again and again.
type endless string

func (e endless) Read(b []byte) (n int, err error) {
	for n+len(e) <= len(b) {
		n += copy(b[n:], e)
	}
	return n, nil
}

// An event or a line without an end is given up, whoever sends it.
func TestEventWithoutEnd(t *testing.T) {
	for _, line := range []endless{"data: x\n", "x", "data: xxxxxxx"} {
		if rows, _, err := decodeEvents(line); err == nil || errors.Is(err, io.ErrUnexpectedEOF) || len(rows) > 0 {
			t.Errorf("%q for ever: %d rows, %v", line, len(rows), err)
		}
	}
}

// FuzzFrames: whatever a server sends as the answer to an exec, in either framing,
// the client never reads more out of it than is in it, takes nothing for an end but
// a last frame, and says of all else that it was cut.
func FuzzFrames(f *testing.F) {
	const output = `{"stream":"stdout","data":"a\n\u00e9","truncated":false}` + "\n"
	for _, s := range []string{
		"", "\n", output + `{"exit_code":0,"duration_ms":12}` + "\n", output + `{"error":"x","code":"exec_timeout","timeout_s":1}` + "\n", `{"exit_code":0}` + "\n" + output, output, output[:20],
		`{"exit_code":0}`, `{"stream":"stderr","data":"/w==","truncated":true,"encoding":"base64"}` + "\n", `{"stream":"stdin","data":""}` + "\n", `{"stream":"stdout","data":"x","exit_code":0}` + "\n",
		`{"exit_code":1e400}` + "\n", `{"exit_code":"0"}` + "\n", `{"exit_code":null,"code":null}` + "\n", "null\n", "[]\n", `{"EXIT_CODE":0}` + "\n", `{"exit_code":0,"exit_code":1}` + "\n", `{"stream":"stdout","encoding":"gzip"}` + "\n",
		"\x01\x00\x00\x00\x00\x00\x00\x01a\x04\x00\x00\x00\x00\x00\x00\x0f{\"exit_code\":0}", "\x01\x00\x00\x00\xff\xff\xff\xff", "\x04\x00\x00\x00\x00\x00\x00\x02{}", "\x03\x00\x00\x00\x00\x00\x00\x00",
		"\x01\x00\x00\x00\x00\x00\x00\x00\x02\x01\x01\x01\x00\x00\x00\x01x",
	} {
		f.Add(false, []byte(s))
		f.Add(true, []byte(s))
	}
	f.Fuzz(func(t *testing.T, raw bool, wire []byte) {
		answer := &http.Response{Header: http.Header{"Content-Type": {sallyport.MediaNDJSON}}, Body: io.NopCloser(bytes.NewReader(wire))}
		if raw {
			answer.Header.Set("Content-Type", sallyport.MediaFrames)
		}
		frames := newFrames(answer, !raw)
		frames.ctx, frames.cancel = context.WithCancel(t.Context())
		defer frames.Close()
		total, ended := 0, false
		for next, err := range every(frames) {
			switch {
			case err == io.EOF:
				if !ended {
					t.Fatalf("%q: an end without a last frame", wire)
				}
				return
			case err != nil:
				if !errors.Is(err, ErrCut) || ended {
					t.Fatalf("%q: %v behind a last frame: %t", wire, err, ended)
				}
				return
			}
			if ended || (next.Stream == "") == (next.Result == nil && next.Err == nil) || next.Result != nil && next.Err != nil {
				t.Fatalf("%q: frame %+v behind a last frame: %t", wire, next, ended)
			}
			if line := frames.Line(); !raw && !json.Valid(line) {
				t.Fatalf("%q: frame %+v of line %q", wire, next, line)
			}
			ended = next.Stream == ""
			if total += len(next.Data); total > 3*len(wire) { // a byte that is no text is a character of three
				t.Fatalf("%q: %d bytes of output", wire, total)
			}
		}
	})
}

// every yields what Next returns, until it fails.
func every(frames *Frames) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		for {
			next, err := frames.Next()
			if !yield(next, err) || err != nil {
				return
			}
		}
	}
}
