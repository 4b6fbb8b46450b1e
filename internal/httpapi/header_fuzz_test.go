package httpapi

import (
	"math/big"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/internal/feed"
)

// FuzzAccept: whatever a caller accepts, it gets an encoding that it has named, or
// NDJSON; it makes no difference in how many lines it says so.
func FuzzAccept(f *testing.F) {
	for _, s := range []string{
		"", "*/*", "application/x-ndjson", "text/event-stream", "application/vnd.sallyport.frames;q=0.5, text/event-stream;q=0.4",
		"application/vnd.docker.multiplexed-stream", "TEXT/Event-Stream", "text/event-stream;q=0", "text/event-stream;q=NaN", "text/event-stream;q=1e400",
		"text/event-stream;q=-1", "text/event-stream;q", ",,,", "text/html, */*;q=0.8", `text/event-stream;a="b,c"`, ";q=1", "a/b;q=1;q=0.1", "text/*", "\xff", "a\x00/b",
		"text/event-stream;x*=utf-8''%e2%82", "text/event-stream;x*0=a;x*1=b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := acceptedEncoding([]string{accept})
		if again := acceptedEncoding(strings.Split(accept, ",")); again != got {
			t.Errorf("%q: %v in one line, %v in many", accept, got, again)
		}
		if got != frame.NDJSON && !strings.Contains(strings.ToLower(accept), mediaType(got)) {
			t.Errorf("%q: %v, which it doesn't name", accept, got)
		}
		for _, part := range strings.Split(accept, ",") {
			if name, params, err := mime.ParseMediaType(part); got != frame.NDJSON && err == nil && name == mediaType(got) && params["q"] != "0" {
				return
			}
		}
		if got != frame.NDJSON {
			t.Errorf("%q: %v, which it refuses", accept, got)
		}
	})
}

var decimal = regexp.MustCompile(`^[0-9]+$`)

// FuzzLastEventID: a reader begins behind the number that it names, and live with
// whatever is none.
func FuzzLastEventID(f *testing.F) {
	for _, s := range []string{
		"", "0", "1", "-1", "+1", "007", "9223372036854775807", "9223372036854775808", "99999999999999999999999", "1e3", "0x10", "1_000", " 1", "1 ", "１", "١", "1\x00", "null",
		"00000000-0000-7000-8000-000000000000", strings.Repeat("9", 200), strings.Repeat("0", 200) + "1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		want := int64(feed.Live)
		if n, ok := new(big.Int).SetString(id, 10); ok && decimal.MatchString(id) && n.IsInt64() {
			want = n.Int64()
		}
		r := httptest.NewRequest(http.MethodGet, "/orgs/o/events", nil)
		r.Header.Set("Last-Event-ID", id)
		if got := lastEventID(r); got != want && id != "" {
			t.Errorf("header %q: %d, want %d", id, got, want)
		}
		r = httptest.NewRequest(http.MethodGet, "/orgs/o/events", nil)
		r.URL.RawQuery = url.Values{"last_event_id": {id}}.Encode()
		if got := lastEventID(r); got != want {
			t.Errorf("query %q: %d, want %d", id, got, want)
		}
	})
}

// FuzzOrigin: a page of another host is never taken for one of ours.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"http://localhost", "null", "", "http://localhost:1", "http://LOCALHOST", "http://localhost@evil", "//localhost", "http://evil#localhost", "http://[::1]", "http://evil/localhost", "localhost", "\x00"} {
		f.Add(s, "localhost")
		f.Add(s, "evil")
	}
	f.Fuzz(func(t *testing.T, origin, host string) {
		r := httptest.NewRequest(http.MethodGet, "/orgs/o/events", nil)
		r.Host = host
		r.Header["Origin"] = []string{origin}
		if isSameOrigin(r) && host != "" && !strings.Contains(strings.ToLower(unescaped(origin)), strings.ToLower(host)) {
			t.Errorf("%q is taken for a page of %q", origin, host)
		}
		if r.Header.Add("Origin", "http://evil.example"); isSameOrigin(r) {
			t.Errorf("two origins are taken for one of ours: %q", r.Header["Origin"])
		}
	})
}

// unescaped is s with its percent escapes undone, where they can be.
func unescaped(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// FuzzLoopbackHost: a name that a page was served under is none of loopback's unless
// it says so itself.
func FuzzLoopbackHost(f *testing.F) {
	for _, s := range []string{
		"localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:1", "[::1]:1", "::1", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]",
		"127.1", "0x7f000001", "2130706433", "[[::1]]", "[localhost", "localhost:", ":", "", "::1%lo", "[fe80::1%25lo]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !isLoopbackHost(host) {
			return
		}
		lower := strings.ToLower(host)
		if !strings.Contains(lower, "localhost") && !strings.Contains(lower, "127.") && !strings.Contains(lower, ":") {
			t.Errorf("%q is taken for this machine", host)
		}
		if rest := strings.Replace(lower, "localhost", "", 1); strings.ContainsAny(rest, "ghijklmnopqrstuvwyz") && !strings.Contains(rest, ":") {
			t.Errorf("%q is taken for this machine, and holds another name", host)
		}
	})
}

// Whatever stands in the media types that are ours is one of them.
func TestMediaTypes(t *testing.T) {
	for _, media := range []string{sallyport.MediaNDJSON, sallyport.MediaSSE, sallyport.MediaFrames, sallyport.MediaDocker} {
		if as, known := encodingOf(media); !known || mediaType(as) != media {
			t.Errorf("%s: %v %t", media, as, known)
		}
	}
}

// FuzzIdempotencyKey: a key is taken as it is, or refused.
func FuzzIdempotencyKey(f *testing.F) {
	for _, s := range []string{"", "k", "deploy-42", strings.Repeat("k", 255), strings.Repeat("k", 256), " k", "k ", "a b", "\x7f", "\x00", "é", "\xff", `"k"`, "~!"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	visible := regexp.MustCompile(`^[!-~]{1,255}$`)
	f.Fuzz(func(t *testing.T, s string, twice bool) {
		values := []string{s}
		if twice {
			values = append(values, s)
		}
		key, err := idempotencyKey(values)
		switch good := !twice && visible.MatchString(s); {
		case good && (err != nil || key != s):
			t.Errorf("%q: %q, %v", s, key, err)
		case !good && (sallyport.CodeOf(err) != sallyport.CodeInvalidIdempotencyKey || key != ""):
			t.Errorf("%q: %q, %v", values, key, err)
		case err != nil && len(s) > 8 && strings.Contains(err.Error(), s):
			t.Errorf("the error repeats %q", s)
		}
	})
}
