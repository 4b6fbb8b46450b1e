package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// readFile answers with a file's content, or with what the request's conditions and its
// range leave of it. Its row is complete before the last byte leaves.
func (c *call) readFile(path string, download bool) error {
	file := gateway.File{Op: sallyport.FileOpRead, Path: path, Reads: true}
	return c.sendContent(file, func(ctx context.Context, tree *gateway.FileTree, mayStop bool, want wanting) (int64, error) {
		return tree.Read(ctx, path, mayStop, func(e gateway.FileEntry, head []byte) (gateway.FileSpan, io.Writer, error) {
			return want(e, http.DetectContentType(head), download)
		})
	})
}

// wanting decides what is answered of a content, and where it goes.
type wanting func(e gateway.FileEntry, mediaType string, download bool) (gateway.FileSpan, io.Writer, error)

// sendContent answers with the content that read reads; see readFile.
func (c *call) sendContent(file gateway.File, read func(ctx context.Context, tree *gateway.FileTree, mayStop bool, want wanting) (int64, error)) error {
	conditions, ranges := conditionsOf(c.r.Header), c.rangeHeader()
	mayStop := conditions.any() || ranges != "" || c.r.Method == http.MethodHead
	out := &contentWriter{c: c}
	file.Slow, file.Offset = true, rangeOffset(ranges)
	err := c.file(file, func(ctx context.Context, tree *gateway.FileTree, outcome *gateway.FileOutcome) error {
		defer out.within(ctx)()
		n, err := read(ctx, tree, mayStop, func(e gateway.FileEntry, mediaType string, download bool) (gateway.FileSpan, io.Writer, error) {
			span, err := c.readHeaders(e, mediaType, conditions, ranges, download, out)
			return span, tree.ToCaller(out), err
		})
		outcome.Bytes = &n
		if err == errAnswered {
			return nil
		}
		return err
	})
	if err != nil && c.w.status != 0 {
		c.cut(err) // a whole answer is a true one
	}
	if err != nil {
		for _, name := range []string{"Content-Type", "Content-Length", "Content-Security-Policy", "Content-Disposition", "Accept-Ranges", "Last-Modified", "Cross-Origin-Resource-Policy"} {
			c.w.Header().Del(name) // the answer is an error, and no content
		}
		return err
	}
	return out.finish()
}

// errAnswered ends a reading whose answer has no content.
var errAnswered = fmt.Errorf("answered without content")

// readHeaders decides what is answered, and sets the headers for it.
func (c *call) readHeaders(e gateway.FileEntry, mediaType string, conds conditions, ranges string, download bool, out *contentWriter) (gateway.FileSpan, error) {
	h := c.w.Header()
	h.Set("ETag", e.ETag)
	h.Set("Last-Modified", e.ModTime.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	switch conds.judge(&e, true) {
	case failed:
		return gateway.FileSpan{}, preconditionFailed()
	case notModified:
		out.status = http.StatusNotModified
		return gateway.FileSpan{}, errAnswered
	}
	h.Set("Content-Type", mediaType)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if download {
		h.Set("Content-Disposition", attachmentDisposition(e.Path))
	}
	span, partial, err := c.span(e, ranges)
	if err != nil {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", e.Size))
		return span, err
	}
	out.status = http.StatusOK
	if partial {
		out.status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", span.Offset, span.Offset+span.Length-1, e.Size))
	}
	h.Set("Content-Length", strconv.FormatInt(span.Length, 10))
	if c.r.Method == http.MethodHead {
		return span, errAnswered
	}
	return span, nil
}

// rangeHeader is the one Range of a GET; several, or none, is "".
func (c *call) rangeHeader() string {
	values := c.r.Header["Range"]
	if len(values) != 1 || c.r.Method != http.MethodGet {
		return ""
	}
	unit, spec, _ := strings.Cut(values[0], "=")
	if text := strings.ToLower(unit) + "=" + spec; isOneRange(text) { // the names of units have no case (RFC 9110, 14.1)
		return text
	}
	return ""
}

// isOneRange tells whether a Range is well formed and one alone (RFC 9110, 14.1.2): any
// other is ignored.
func isOneRange(text string) bool {
	spec, ok := strings.CutPrefix(text, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return false
	}
	first, last, ok := strings.Cut(spec, "-")
	if !ok || first == "" && last == "" || !isDigits(first) || !isDigits(last) {
		return false
	}
	if first == "" || last == "" {
		return true
	}
	from, to := atoi(first), atoi(last)
	return from <= to
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// atoi reads digits; what is too large is the largest number.
func atoi(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64) // out of range it is the nearest
	return n
}

// rangeOffset is where a range begins, for the row; nil where it counts from the end.
func rangeOffset(ranges string) *int64 {
	first, _, ok := strings.Cut(strings.TrimPrefix(ranges, "bytes="), "-")
	if !ok || first == "" {
		return nil
	}
	n := atoi(first)
	return &n
}

// span is what a range leaves of a file. It returns range_not_satisfiable.
func (c *call) span(e gateway.FileEntry, ranges string) (span gateway.FileSpan, partial bool, err error) {
	whole := gateway.FileSpan{Length: e.Size}
	if ranges == "" || !c.ifRange(e) {
		return whole, false, nil
	}
	first, last, _ := strings.Cut(strings.TrimPrefix(ranges, "bytes="), "-")
	unsatisfiable := sallyport.Errorf(sallyport.CodeRangeNotSatisfiable, "the file has %d bytes, and none in that range", e.Size)
	if first == "" {
		n := min(atoi(last), e.Size)
		if n == 0 {
			return whole, false, unsatisfiable
		}
		return gateway.FileSpan{Offset: e.Size - n, Length: n}, true, nil
	}
	from, to := atoi(first), e.Size-1
	if last != "" {
		to = min(to, atoi(last))
	}
	if from >= e.Size {
		return whole, false, unsatisfiable
	}
	return gateway.FileSpan{Offset: from, Length: to - from + 1}, true, nil
}

// ifRange tells whether the range holds for this content: where If-Range doesn't match
// strongly, the whole file is answered.
func (c *call) ifRange(e gateway.FileEntry) bool {
	text := c.r.Header.Get("If-Range")
	return text == "" || text == e.ETag
}

// attachmentDisposition is RFC 6266's, with the name of a path.
func attachmentDisposition(path string) string {
	name := path[strings.LastIndexByte(path, '/')+1:]
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	coded := strings.ReplaceAll(url.QueryEscape(strings.ToValidUTF8(name, "_")), "+", "%20")
	return `attachment; filename="` + ascii + `"; filename*=UTF-8''` + coded
}

// contentWriter writes an answer's content, but for its last byte: that leaves with finish,
// when the row is complete.
type contentWriter struct {
	c      *call
	status int
	last   []byte
	ctx    context.Context
}

// within keeps writes from outlasting ctx, until the returned function is called.
func (w *contentWriter) within(ctx context.Context) (done func()) {
	w.ctx = ctx
	stop := context.AfterFunc(ctx, func() { setWriteDeadline(http.NewResponseController(w.c.w), time.Unix(1, 0)) })
	return func() { stop() }
}

func (w *contentWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	setWriteDeadline(http.NewResponseController(w.c.w), time.Now().Add(limits.FileCallerTime))
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	w.begin()
	if len(w.last) > 0 {
		if _, err := w.c.w.Write(w.last); err != nil {
			return 0, canceledCaller(err)
		}
	}
	if _, err := w.c.w.Write(p[:len(p)-1]); err != nil {
		return 0, canceledCaller(err)
	}
	w.last = append(w.last[:0], p[len(p)-1])
	return len(p), nil
}

func (w *contentWriter) begin() {
	if w.c.w.status == 0 {
		w.c.w.WriteHeader(w.status)
	}
}

// finish sends the last byte, or an answer without content.
func (w *contentWriter) finish() error {
	w.begin()
	if len(w.last) == 0 {
		return nil
	}
	_, _ = w.c.w.Write(w.last) // a caller that has gone has its row already
	return nil
}

func canceledCaller(cause error) error {
	return sallyport.Errorf(sallyport.CodeCanceled, "the caller took the content no longer").Because(cause)
}
