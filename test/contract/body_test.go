package contract

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/limits"
	"sallyport/test/stack"
)

// bodied is a route that reads a body.
type bodied struct {
	method, path, token string
	// good is a body that it would take.
	good string
}

// bodiedRoutes are all routes of the table of who may that read a body.
func bodiedRoutes(t *testing.T, s *stack.Stack, h home) (routes []bodied) {
	t.Helper()
	real := strings.NewReplacer("{org}", h.ID, "{workspace}", h.ws.ID, "{name}", "made", "{as-admin}", "")
	for _, r := range accesses {
		if r.body == "" || r.method == http.MethodPut { // which takes content, whatever it is
			continue
		}
		token := h.token
		if r.scope == "none" {
			token = s.AdminToken
		}
		routes = append(routes, bodied{r.method, real.Replace(r.path), token, real.Replace(r.jsonBody())})
	}
	if len(routes) < 7 {
		t.Fatalf("%d routes with a body", len(routes))
	}
	return routes
}

// unclean are texts that are no JSON, or not one object of it, or not in UTF-8;
// GOOD is an object without its braces.
func unclean() map[string]string {
	utf16 := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			b.WriteString(string([]byte{c, 0}))
		}
		return "\xff\xfe" + b.String()
	}
	deep := func(open, shut string, n int) string {
		return `{GOOD,"x":` + strings.Repeat(open, n) + strings.Repeat(shut, n) + `}`
	}
	return map[string]string{
		"nothing": "", "blanks": " \n\t ", "null": "null", "a number": "1", "a string": `"GOOD"`, "an array": "[{GOOD}]", "cut": "{GOOD", "cut in a key": `{GOOD,"x`, "cut in an escape": `{GOOD,"x":"\u00`,
		"a BOM": "\xef\xbb\xbf{GOOD}", "a BOM inside": "{\xef\xbb\xbfGOOD}", "UTF-16": utf16("{GOOD}"), "invalid UTF-8 in a value": "{GOOD,\"x\":\"\xff\"}", "invalid UTF-8 in a key": "{GOOD,\"\xc3\":1}",
		"overlong UTF-8": "{GOOD,\"x\":\"\xc0\xaf\"}", "a surrogate in UTF-8": "{GOOD,\"x\":\"\xed\xa0\x80\"}", "a lone surrogate": `{GOOD,"x":"\ud800"}`, "a lone low surrogate": `{GOOD,"x":"\udc00"}`,
		"surrogates in the wrong order": `{GOOD,"x":"\udc00\ud800"}`, "a lone surrogate in a key": `{GOOD,"\ud800":1}`, "half a pair": `{GOOD,"x":"\ud83dx"}`,
		"a key twice": "{GOOD,GOOD}", "a key twice, escaped": `{GOOD,"x":1,"\u0078":2}`, "a key twice, deeper": `{GOOD,"x":{"a":1,"a":2}}`, "a key twice, with null": `{GOOD,"x":null,"x":null}`,
		"data behind": "{GOOD}x", "another object behind": "{GOOD}{GOOD}", "a bracket behind": "{GOOD}]", "NUL behind": "{GOOD}\x00", "a line behind": "{GOOD}\n{}",
		"a comment": "{GOOD /* x */}", "a comment behind": "{GOOD} // x", "a hash": "# x\n{GOOD}", "a trailing comma": "{GOOD,}", "single quotes": "{GOOD,'x':1}", "a bare key": "{GOOD,x:1}", "no colon": `{GOOD,"x" 1}`,
		"NaN": `{GOOD,"x":NaN}`, "Infinity": `{GOOD,"x":-Infinity}`, "hex": `{GOOD,"x":0x10}`, "a leading zero": `{GOOD,"x":01}`, "a plus": `{GOOD,"x":+1}`, "no digit": `{GOOD,"x":.5}`, "a dot alone": `{GOOD,"x":1.}`,
		"no exponent": `{GOOD,"x":1e}`, "True": `{GOOD,"x":True}`, "undefined": `{GOOD,"x":undefined}`, "a raw newline": "{GOOD,\"x\":\"a\nb\"}", "a raw NUL": "{GOOD,\"x\":\"\x00\"}", "an unknown escape": `{GOOD,"x":"\x41"}`,
		"a no-break space": "{GOOD,\u00a0\"x\":1}", "a form": "cmd=true&name=made", "XML": "<cmd>true</cmd>", "YAML": "cmd: [\"true\"]", "MessagePack": "\x81\xa3cmd\x91\xa4true",
		"deep arrays": deep("[", "]", 20_000), "deep arrays without an end": `{GOOD,"x":` + strings.Repeat("[", 1<<20), "deep objects": deep(`{"a":`, "}", 100_000),
	}
}

// strange are texts that are JSON, with a field that there isn't, in which a reader
// may lose its time or its memory.
func strange() map[string]string {
	var keys strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&keys, `,"%x":0`, i)
	}
	const most = 1 << 20
	return map[string]string{
		"1e400": `{GOOD,"x":1e400}`, "1e-400": `{GOOD,"x":1e-400}`, "a huge exponent": `{GOOD,"x":1e99999999999999999999}`, "a number of a megabyte": `{GOOD,"x":` + strings.Repeat("9", most) + `}`,
		"a fraction of a megabyte": `{GOOD,"x":0.` + strings.Repeat("1", most) + `}`, "an exponent of a megabyte": `{GOOD,"x":1e` + strings.Repeat("9", most) + `}`,
		"a string of a megabyte": `{GOOD,"x":"` + strings.Repeat("x", most) + `"}`, "escapes": `{GOOD,"x":"` + strings.Repeat(`\u0000`, most/6) + `"}`, "a key of a megabyte": `{GOOD,"` + strings.Repeat("k", most) + `":0}`,
		"many elements": `{GOOD,"x":[` + strings.Repeat("0,", most/2) + `0]}`, "many empty objects": `{GOOD,"x":[` + strings.Repeat("{},", most/3) + `{}]}`, "many keys": "{GOOD" + keys.String() + "}",
		"many keys, deeper": `{GOOD,"x":{` + keys.String()[1:] + "}}", "blanks": "{GOOD," + strings.Repeat(" ", most) + `"x":0}`, "__proto__": `{GOOD,"__proto__":{"scopes":["tokens"]}}`, "an empty key": `{GOOD,"":0}`,
		"deep": `{GOOD,"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, "upper case": `{GOOD,"CMD":["true"],"NAME":"x"}`, "a look-alike": `{GOOD,"nаme":"x"}`, "an escaped look": `{GOOD,"\u0063md ":0}`,
	}
}

// What a body costs a server at most, with much room: nobody makes it think for
// long, or keep many times what was sent.
const (
	bodyTimeMax  = 10 * time.Second
	bodyBytesMax = 40 * limits.BodyBytesMax
)

// Every route that reads a body refuses what is no JSON object, in bounded time and
// memory, and makes nothing of it.
func TestUncleanBodies(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	before := s.Do(t, "GET", "/activity", s.AdminToken, "").Body
	for _, r := range bodiedRoutes(t, s, h) {
		good := strings.TrimSuffix(strings.TrimPrefix(r.good, "{"), "}")
		if good == "" {
			good = `"name":"made"`
		}
		check := func(bodies map[string]string, code string) {
			for name, body := range bodies {
				if body == "" && strings.HasSuffix(r.path, "/ca/rotate") {
					continue // takes none, too
				}
				what := fmt.Sprintf("%s %s with %s", r.method, r.path, name)
				var was, is runtime.MemStats
				runtime.ReadMemStats(&was)
				began := time.Now()
				a := s.Do(t, r.method, r.path, r.token, strings.ReplaceAll(body, "GOOD", good))
				took := time.Since(began)
				runtime.ReadMemStats(&is)
				wantAnswer(t, what, a, 400, code)
				wantMarks(t, what, a)
				if cost := is.TotalAlloc - was.TotalAlloc; took > bodyTimeMax || cost > bodyBytesMax || len(a.Body) > 1000 {
					t.Errorf("%s: %s, %d bytes, an answer of %d", what, took, cost, len(a.Body))
				}
			}
		}
		check(unclean(), "invalid_json")
		check(strange(), "unknown_field")
	}
	if after := s.Do(t, "GET", "/activity", s.AdminToken, "").Body; after != before {
		t.Errorf("rows %s\nwere %s", after, before)
	}
}

// bomb is a body of nothing but blanks that is small as gzip has it, and large when
// it is unpacked.
func bomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range 16 {
		if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A body in an encoding is refused, whichever it is, and is not unpacked to see.
func TestEncodedBodies(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	packed := bomb(t)
	for _, r := range bodiedRoutes(t, s, newHome(t, s, "a")) {
		for _, encoding := range [][]string{{"gzip"}, {"GZIP"}, {"x-gzip"}, {"deflate"}, {"br"}, {"zstd"}, {"compress"}, {"aws-chunked"}, {"gzip, gzip"}, {"identity, gzip"}, {"identity"}, {"", "gzip"}, {"x"}} {
			req := s.Request(t, r.method, r.path, r.token, packed)
			req.Header["Content-Encoding"] = encoding
			var was, is runtime.MemStats
			runtime.ReadMemStats(&was)
			a := s.Send(t, req)
			runtime.ReadMemStats(&is)
			wantAnswer(t, fmt.Sprintf("%s %s in %q", r.method, r.path, encoding), a, 415, "unsupported_media_type")
			if cost := is.TotalAlloc - was.TotalAlloc; cost > 8<<20 {
				t.Errorf("%s %s in %q: %d bytes", r.method, r.path, encoding, cost)
			}
		}
		// Without the header it is a text like any other.
		wantAnswer(t, r.path, s.Do(t, r.method, r.path, r.token, packed), 400, "invalid_json")
	}
}

// A body that never ends is refused when it is too large, and not listened to any
// longer, whether or not it had said how large it would be.
func TestBodyWithoutEnd(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, r := range bodiedRoutes(t, s, newHome(t, s, "a")) {
		for name, framing := range map[string]struct{ head, piece string }{
			"in chunks":             {"Transfer-Encoding: chunked", "10000\r\n" + strings.Repeat(" ", 1<<16) + "\r\n"},
			"of a petabyte":         {"Content-Length: 1125899906842624", strings.Repeat(" ", 1<<16)},
			"one chunk without end": {"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff", strings.Repeat(" ", 1<<16)},
		} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(time.Minute))
			sent := make(chan int, 1)
			go func() {
				total, head := 0, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n", r.method, r.path, r.token, framing.head)
				if !strings.Contains(framing.head, "\r\n\r\n") {
					head += "\r\n"
				}
				_, err := io.WriteString(conn, head)
				for err == nil {
					var n int
					n, err = io.WriteString(conn, framing.piece)
					total += n
				}
				sent <- total
			}()
			what := fmt.Sprintf("%s %s, a body %s", r.method, r.path, name)
			// What the server didn't read may make the end of its connection a reset.
			answer, _ := io.ReadAll(conn)
			conn.Close()
			if status, _, _ := strings.Cut(string(answer), "\r\n"); !strings.HasPrefix(status, "HTTP/1.1 413 ") || !bytes.Contains(answer, []byte("body_too_large")) {
				t.Errorf("%s: %.300q", what, answer)
			}
			// What is beyond the limit are the system's buffers on the way, which grow with
			// what comes: where net.ipv4.tcp_rmem lets them, to 32 MiB.
			if total := <-sent; total > limits.BodyBytesMax+64<<20 {
				t.Errorf("%s: %d bytes were taken", what, total)
			}
		}
	}
	wantAnswer(t, "others", s.Exec(t, `{"cmd":["true"]}`), 200, "")
}

// What a page of another site can send without asking, a form above all, is refused
// on every route that changes something, also with a token at hand; a page is told
// nothing that would let it send more.
func TestFormsOfOtherSites(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	before := s.Do(t, "GET", "/activity", s.AdminToken, "").Body
	for _, r := range accesses {
		path := strings.NewReplacer("{org}", h.ID, "{workspace}", h.ws.ID, "{free-org}", h.ID, "{free-workspace}", h.ws.ID,
			"{free-org-token}", nobody(), "{free-workspace-token}", nobody()).Replace(r.path)
		what := r.method + " " + path
		preflight := s.Request(t, "OPTIONS", path, "", "")
		preflight.Header = http.Header{"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {r.method}, "Access-Control-Request-Headers": {"authorization, content-type, last-event-id"}}
		a := s.Send(t, preflight)
		wantMarks(t, "preflight of "+what, a)
		if a.Status < 400 {
			t.Errorf("preflight of %s: %d %v", what, a.Status, a.Header)
		}
		if slices.Contains([]string{"GET", "HEAD"}, r.method) {
			continue
		}
		for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/json", ""} {
			req := s.Request(t, r.method, path, h.token, r.body)
			req.Header.Set("Content-Type", kind)
			req.Header.Set("Origin", "https://evil.example")
			req.Header.Set("Sec-Fetch-Site", "cross-site")
			wantAnswer(t, what+" as "+kind, s.Send(t, req), 403, "cross_origin_forbidden")
		}
	}
	if after := s.Do(t, "GET", "/activity", s.AdminToken, "").Body; after != before {
		t.Errorf("rows %s\nwere %s", after, before)
	}
}
