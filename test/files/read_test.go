package files

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		m.put(t, "d/ten", "0123456789")
		m.put(t, "empty", "")
		a := m.want(t, 200, "", "GET", "/d/ten", "")
		for name, want := range map[string]string{
			"Content-Length": "10", "Accept-Ranges": "bytes", "Content-Type": "text/plain; charset=utf-8",
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'", "Content-Disposition": "",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if row := m.row(t, a); row.Op != "read" || row.Path != "d/ten" || row.Bytes == nil || *row.Bytes != 10 || row.Summary != "read d/ten" || row.Offset != nil {
			t.Errorf("row %+v", row)
		}
		if _, err := http.ParseTime(a.Header.Get("Last-Modified")); err != nil {
			t.Error(err)
		}
		head := m.want(t, 200, "", "HEAD", "/d/ten", "")
		for _, name := range []string{"Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"} {
			if head.Header.Get(name) != a.Header.Get(name) {
				t.Errorf("HEAD: %s is %q", name, head.Header.Get(name))
			}
		}
		if got := m.want(t, 200, "", "GET", "/d/ten?download=true", "").Header.Get("Content-Disposition"); got != `attachment; filename="ten"; filename*=UTF-8''ten` {
			t.Errorf("disposition %q", got)
		}
		ranges(t, m, a.Header.Get("ETag"))
		conditions(t, m, a.Header)
		m.want(t, 404, "file_not_found", "GET", "/none", "")
		m.want(t, 404, "file_not_found", "GET", "/none/x", "")
		m.want(t, 409, "is_a_directory", "GET", "/d", "")
		m.want(t, 409, "is_a_directory", "GET", "/", "")
		m.want(t, 409, "not_a_directory", "GET", "/empty/x", "")
		m.want(t, 409, "not_a_directory", "GET", "?path=empty", "")
		fifo(t, m, "fifo")
		m.want(t, 409, "not_a_file", "GET", "/fifo", "")
		if m.user {
			m.put(t, "shut", "x")
			chmod(t, m, "shut", 0)
			m.want(t, 403, "permission_denied", "GET", "/shut", "")
			m.mkdir(t, "closed")
			chmod(t, m, "closed", 0)
			m.want(t, 403, "permission_denied", "GET", "/closed/x", "")
			m.want(t, 403, "permission_denied", "GET", "?path=closed", "")
			chmod(t, m, "closed", 0o755)
		}
	})
}

func ranges(t *testing.T, m *machine, tag string) {
	for _, c := range []struct{ ask, want, of string }{
		{"bytes=0-0", "0", "0-0"}, {"bytes=2-4", "234", "2-4"}, {"bytes=7-", "789", "7-9"}, {"bytes=-3", "789", "7-9"}, {"bytes=-99", "0123456789", "0-9"},
		{"bytes=5-99999999999999999999", "56789", "5-9"}, {"bytes=9-9", "9", "9-9"},
	} {
		a := m.want(t, 206, "", "GET", "/d/ten", "", "Range: "+c.ask)
		if a.Body != c.want || a.Header.Get("Content-Range") != "bytes "+c.of+"/10" || a.Header.Get("Content-Length") != strconv.Itoa(len(c.want)) {
			t.Errorf("%s: %q %v", c.ask, a.Body, a.Header)
		}
		if row := m.row(t, a); row.Bytes == nil || *row.Bytes != int64(len(c.want)) || row.Offset == nil && !strings.HasPrefix(c.ask, "bytes=-") {
			t.Errorf("%s: row %+v", c.ask, row)
		}
	}
	for _, ask := range []string{"bytes=10-", "bytes=99-100", "bytes=-0"} {
		if a := m.want(t, 416, "range_not_satisfiable", "GET", "/d/ten", "", "Range: "+ask); a.Header.Get("Content-Range") != "bytes */10" {
			t.Errorf("%s: %v", ask, a.Header)
		}
	}
	for _, ask := range []string{"bytes=0-", "bytes=-1", "bytes=0-0"} {
		m.want(t, 416, "range_not_satisfiable", "GET", "/empty", "", "Range: "+ask)
	}
	for _, ask := range []string{"bytes=0-1,3-4", "bytes=4-2", "lines=1-2", "bytes=a-b", "bytes=-", "bytes", "bytes=1-2x"} {
		m.want(t, 200, "", "GET", "/d/ten", "", "Range: "+ask)
	}
	m.want(t, 206, "", "GET", "/d/ten", "", "Range: bytes=0-1", "If-Range: "+tag)
	m.want(t, 206, "", "GET", "/d/ten", "", "Range: Bytes=0-1")
	for _, other := range []string{`"other"`, "W/" + tag, "Mon, 02 Jan 2006 15:04:05 GMT"} {
		m.want(t, 200, "", "GET", "/d/ten", "", "Range: bytes=0-1", "If-Range: "+other)
	}
}

func conditions(t *testing.T, m *machine, h http.Header) {
	tag, modified := h.Get("ETag"), h.Get("Last-Modified")
	const old = "Mon, 02 Jan 2006 15:04:05 GMT"
	later := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		status  int
		headers string
	}{
		{200, "If-Match: " + tag}, {200, "If-Match: *"}, {200, `If-Match: "x", ` + tag}, {412, `If-Match: "x"`}, {412, "If-Match: W/" + tag},
		{304, "If-None-Match: " + tag}, {304, "If-None-Match: W/" + tag}, {304, "If-None-Match: *"}, {200, `If-None-Match: "x"`},
		{304, "If-Modified-Since: " + modified}, {304, "If-Modified-Since: " + later}, {200, "If-Modified-Since: " + old}, {200, "If-Modified-Since: nonsense"},
		{200, "If-Unmodified-Since: " + modified}, {412, "If-Unmodified-Since: " + old}, {200, "If-Unmodified-Since: nonsense"},
		{200, "If-Match: " + tag + "\nIf-Unmodified-Since: " + old}, {200, "If-None-Match: \"x\"\nIf-Modified-Since: " + later},
		{412, "If-Match: \"x\"\nIf-None-Match: " + tag}, {304, "If-Match: " + tag + "\nIf-None-Match: " + tag}, {412, "If-Match: \"x\"\nRange: bytes=99-"},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			if method == "HEAD" && strings.Contains(c.headers, "Range") {
				continue
			}
			a := m.do(t, method, "/d/ten", "", strings.Split(c.headers, "\n")...)
			if a.Status != c.status || a.Status == 412 && method == "GET" && a.Code() != "precondition_failed" || a.Status == 304 && (a.Body != "" || a.Header.Get("ETag") != tag) {
				t.Errorf("%s with %q: %d %s, want %d", method, c.headers, a.Status, a.Body, c.status)
			}
		}
	}
}

// The type is that of the content, and never of a name.
func TestSniff(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		for content, want := range map[string]string{
			"<html><script>alert(1)</script>": "text/html; charset=utf-8", "%PDF-1.4": "application/pdf", "\x00\x01\x02": "application/octet-stream",
			"": "text/plain; charset=utf-8", "\x89PNG\r\n\x1a\n": "image/png",
		} {
			m.put(t, "x.txt", content)
			if a := m.want(t, 200, "", "GET", "/x.txt", ""); a.Header.Get("Content-Type") != want || a.Body != content {
				t.Errorf("%q is %s", content, a.Header.Get("Content-Type"))
			}
		}
	})
}

// Two contents never have one tag, also of one length within one second.
func TestETag(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		seen := map[string]bool{}
		for i := range 20 {
			tag := m.do(t, "PUT", "/f", strconv.Itoa(10+i)).Header.Get("ETag")
			got := m.do(t, "GET", "/f", "")
			if seen[tag] || tag == "" || got.Header.Get("ETag") != tag {
				t.Fatalf("tag %s, then %s", tag, got.Header.Get("ETag"))
			}
			seen[tag] = true
		}
	})
}
