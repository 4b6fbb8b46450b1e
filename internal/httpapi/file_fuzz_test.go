package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/internal/gateway"
)

// FuzzFilePath: what is taken as a path stays below where it begins.
func FuzzFilePath(f *testing.F) {
	for _, s := range []string{"", "a/b/", "/a", "a//b", "..", "a/../b", "a\x00", ".sallyport", strings.Repeat("n", 256)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := filePath(text)
		if err != nil || path == "" {
			return
		}
		for name := range strings.SplitSeq(path, "/") {
			if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsRune(name, 0) || gateway.IsOwnFile(name) {
				t.Errorf("%q is taken", text)
			}
		}
	})
}

// FuzzRange: a range is within its file, whatever is asked for.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=-1", "bytes=5-", "bytes=9-1", "bytes=99999999999999999999-", "bytes=0-1,2-3"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, text string, size int64) {
		if size < 0 {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Range"] = []string{text}
		c := &call{r: r}
		span, partial, err := c.span(gateway.FileEntry{Size: size}, c.rangeHeader())
		if err == nil && (span.Offset < 0 || span.Length < 0 || span.Offset+span.Length > size || span.Offset+span.Length < 0 || partial && span.Length == 0) {
			t.Errorf("%q of %d: %+v", text, size, span)
		}
	})
}

// FuzzConditions: no list of tags matches what it doesn't name.
func FuzzConditions(f *testing.F) {
	for _, s := range []string{`"a"`, `W/"a"`, `*`, `"x", "a"`, `"a`, `,,"a",`, `W/`, `"a,b"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := conditionsOf(http.Header{"If-Match": {text}})
		e := &gateway.FileEntry{ETag: `"a"`}
		if c.judge(e, false) == proceed && !strings.Contains(text, `"a"`) && !strings.Contains(text, "*") {
			t.Errorf("%q matches", text)
		}
		if c.judge(nil, false) == proceed {
			t.Errorf("%q matches nothing", text)
		}
	})
}
