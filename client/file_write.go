package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/client/sallyport"
)

// WriteFile says how a file is written. The zero value replaces what is there, whose mode it
// keeps, or makes a file with mode 0644.
type WriteFile struct {
	// Mode is set whatever the umask; nil is that of the file that is replaced, or 0644.
	Mode *fs.FileMode
	// ModTime is set if it isn't zero.
	ModTime time.Time
	// Size is how many bytes there are, if it is known; 0 is unknown. Other than that many is an
	// error, and nothing is written. That of an io.Seeker is known.
	Size int64
	// IfMatch, entity tags or *, has it written if the file is still that one; IfNew, if there is
	// none. Else the error's code is precondition_failed.
	IfMatch string
	IfNew   bool
}

// Write makes what r reads the content of a file, whole or not at all, and returns its entry. If
// r is an io.Seeker as well, it begins where r stands, and a write that breaks off is taken up
// where it stopped.
func (f *Files) Write(ctx context.Context, name string, r io.Reader, w WriteFile) (sallyport.FileEntry, error) {
	route, err := f.call("write", name, http.MethodPut, w.query())
	if err != nil {
		return sallyport.FileEntry{}, err
	}
	u := &upload{files: f, call: route, content: r, size: w.Size, how: w, breaks: breaks{files: f, name: name}}
	if u.size <= 0 {
		u.size = -1
	}
	if err := u.measure(); err != nil {
		return sallyport.FileEntry{}, fmt.Errorf("%s: %w", route.doing, err)
	}
	entry, err := u.run(ctx)
	if err != nil {
		return entry, fmt.Errorf("%s: %w", route.doing, err)
	}
	return entry, nil
}

func (w WriteFile) query() url.Values {
	q := url.Values{}
	if w.Mode != nil {
		q.Set("mode", octal(*w.Mode&fs.ModePerm))
	}
	if !w.ModTime.IsZero() {
		q.Set("mtime", w.ModTime.UTC().Format(time.RFC3339Nano))
	}
	return q
}

// upload is a write on its way.
type upload struct {
	files   *Files
	call    call
	content io.Reader
	seeker  io.Seeker // the content, if it can be read again; else nil
	start   int64     // where the content begins in seeker
	size    int64     // -1 is unknown
	how     WriteFile
	breaks  breaks
	id      string
	// lost tells that an answer did not come, so that the file may have been written.
	lost bool
}

// measure finds out whether the content can be read again, and how long it is.
func (u *upload) measure() (err error) {
	seeker, ok := u.content.(io.Seeker)
	if !ok {
		return nil
	}
	if u.start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
		return nil // a pipe's file has a Seek that fails
	}
	end, err := seeker.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	if _, err := seeker.Seek(u.start, io.SeekStart); err != nil {
		return err
	}
	u.seeker, u.size, u.id = seeker, max(0, end-u.start), rand.Text()
	return nil
}

// run sends the content, and after a break what is missing of it.
func (u *upload) run(ctx context.Context) (sallyport.FileEntry, error) {
	var offset int64
	begun := false
	for {
		entry, sent, err := u.send(ctx, offset)
		switch {
		case err == nil:
			return entry, u.checkEntry(entry)
		case ctx.Err() != nil:
			return entry, ended(ctx)
		case u.lost && sallyport.CodeOf(err) == sallyport.CodePreconditionFailed:
			return entry, fmt.Errorf("an answer was lost, and the file may have been written before: %w", err)
		}
		begun = begun || sent
		if u.seeker == nil || !begun {
			return entry, err
		}
		if offset, err = u.resume(ctx, offset, err); err != nil {
			return entry, err
		}
	}
}

// resume asks how much is kept of an upload that broke, until there is an answer.
func (u *upload) resume(ctx context.Context, offset int64, err error) (int64, error) {
	for {
		if err = u.breaks.takeUp(ctx, offset, err); err != nil {
			return 0, err
		}
		var kept int64
		if kept, err = u.kept(ctx); err == nil {
			_, err = u.seeker.Seek(u.start+kept, io.SeekStart)
			return kept, err
		}
	}
}

// kept is how many bytes of the upload the machine has.
func (u *upload) kept(ctx context.Context) (int64, error) {
	r := u.call
	r.method, r.query = http.MethodHead, url.Values{}
	set(r.query, "org", u.files.client.Org)
	req, err := u.files.client.request(ctx, r)
	if err != nil {
		return 0, err
	}
	req.Header.Set(sallyport.HeaderUploadID, u.id)
	answer, err := u.files.client.send(req)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	n, err := strconv.ParseInt(answer.Header.Get(sallyport.HeaderUploadOffset), 10, 64)
	if answer.StatusCode != http.StatusNoContent || err != nil || n < 0 || n > u.size {
		return 0, notOurs(answer)
	}
	return n, nil
}

// send sends the content from offset on, at which it stands. It tells whether the request left.
func (u *upload) send(ctx context.Context, offset int64) (entry sallyport.FileEntry, sent bool, err error) {
	body := &uploadBody{r: u.content}
	var left atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { left.Store(true) }})
	req, err := u.request(traced, offset, body)
	if err != nil {
		return entry, false, err
	}
	answer, err := u.files.client.send(req)
	if own := body.end(); own != nil {
		err = &ownError{own} // that the server could not be sent it says nothing of the server
	}
	if err != nil {
		if answer != nil {
			answer.Body.Close()
		}
		u.lost = u.lost || left.Load()
		return entry, left.Load(), err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return entry, true, readError(answer)
	}
	if !isMedia(answer, sallyport.MediaJSON) {
		return entry, true, notOurs(answer)
	}
	err = u.files.client.read(answer, &entry)
	u.lost = u.lost || err != nil
	return entry, true, err
}

// expectBytesMin is the least content before which the server is asked whether it takes it.
const expectBytesMin = 64 << 10

func (u *upload) request(ctx context.Context, offset int64, body io.Reader) (*http.Request, error) {
	req, err := u.files.client.request(ctx, u.call)
	if err != nil {
		return nil, err
	}
	length := u.size
	if length >= 0 {
		length -= offset
	}
	setBody(req, body, length)
	if u.id != "" {
		req.Header.Set(sallyport.HeaderUploadID, u.id)
	}
	if offset > 0 {
		req.Header.Set(sallyport.HeaderUploadOffset, strconv.FormatInt(offset, 10))
	}
	if u.how.IfMatch != "" {
		req.Header.Set("If-Match", u.how.IfMatch)
	}
	if u.how.IfNew {
		req.Header.Set("If-None-Match", "*")
	}
	return req, nil
}

// setBody gives a request content of a length; -1 is unknown.
func setBody(req *http.Request, body io.Reader, length int64) {
	req.Header.Set("Content-Type", "application/octet-stream")
	if length == 0 {
		req.Body = http.NoBody
		return
	}
	req.Body, req.ContentLength = io.NopCloser(body), length
	if length < 0 || length >= expectBytesMin {
		req.Header.Set("Expect", "100-continue")
	}
}

// checkEntry refuses an answer that tells of another file than was sent.
func (u *upload) checkEntry(e sallyport.FileEntry) error {
	if u.size >= 0 && (e.Size == nil || *e.Size != u.size) {
		return errors.New("the server tells of another size than was sent")
	}
	return nil
}

// uploadBody is content on its way to the transport, which may still read when its answer is
// there. It keeps the error of the content's own.
type uploadBody struct {
	mu   sync.Mutex // guards the fields below, and a Read
	r    io.Reader
	err  error
	over bool
}

// Read implements io.Reader.
func (b *uploadBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, errors.New("the request is over")
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// end waits for the Read that is under way, lets none follow, and returns the content's error.
func (b *uploadBody) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	return b.err
}

// ownError is an error of what was to be sent.
type ownError struct{ error }

func (e *ownError) Unwrap() error { return e.error }

func isOwn(err error) bool {
	var own *ownError
	return errors.As(err, &own)
}

// Extract extracts a tar, which r reads, into a directory. It is made where it isn't there. What
// was left out is in the answer. An error with the code invalid_archive has Entries, how many
// were extracted before.
func (f *Files) Extract(ctx context.Context, name string, r io.Reader) (sallyport.FilesExtracted, error) {
	var done sallyport.FilesExtracted
	route, err := f.call("extract into", name, http.MethodPut, url.Values{"archive": {"tar"}})
	if err != nil {
		return done, err
	}
	if err := f.extract(ctx, route, r, &done); err != nil {
		if ctx.Err() != nil {
			err = ended(ctx)
		}
		return done, fmt.Errorf("%s: %w", route.doing, err)
	}
	return done, nil
}

func (f *Files) extract(ctx context.Context, route call, r io.Reader, done *sallyport.FilesExtracted) error {
	body := &uploadBody{r: r}
	req, err := f.client.request(ctx, route)
	if err != nil {
		return err
	}
	setBody(req, body, -1)
	answer, err := f.client.send(req)
	if answer != nil {
		defer answer.Body.Close()
	}
	if own := body.end(); own != nil {
		return &ownError{own}
	}
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 {
		return readError(answer)
	}
	if !isMedia(answer, sallyport.MediaJSON) {
		return notOurs(answer)
	}
	return f.client.read(answer, done)
}
