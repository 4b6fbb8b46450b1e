package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
)

// ErrFileChanged is the error of a File whose content on the machine is no longer the one that
// was opened.
var ErrFileChanged = errors.New("the file has changed since it was opened")

// File is the content of a workspace's file, as it was when it was opened: an io.ReadSeekCloser.
// A read that breaks off is taken up where it stopped; a File never ends before its Size. It is
// for one goroutine at a time.
type File struct {
	// Size is in bytes.
	Size int64
	// ETag is the strong entity tag of the content, with its quotes.
	ETag string
	// ModTime is to the second.
	ModTime time.Time
	// ContentType is what the server takes the content for.
	ContentType string

	ctx    context.Context
	cancel context.CancelFunc
	client *Client
	call   call
	breaks breaks
	body   io.ReadCloser // of the answer that is read; nil after a Seek
	offset int64
}

// Open opens a file. The caller closes it. Ending ctx ends its reads.
func (f *Files) Open(ctx context.Context, name string) (*File, error) {
	r, err := f.call("read", name, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	return openContent(ctx, f.client, r, breaks{files: f, name: name})
}

// openContent opens what a route answers with ranges.
func openContent(ctx context.Context, c *Client, r call, b breaks) (*File, error) {
	inner, cancel := context.WithCancel(ctx)
	file := &File{ctx: inner, cancel: cancel, client: c, call: r, breaks: b}
	answer, err := file.get(0)
	if err == nil && answer.ContentLength < 0 {
		answer.Body.Close()
		err = notOurs(answer)
	}
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			err = ended(ctx)
		}
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	file.Size, file.ETag, file.body = answer.ContentLength, answer.Header.Get("ETag"), answer.Body
	file.ContentType = answer.Header.Get("Content-Type")
	file.ModTime, _ = http.ParseTime(answer.Header.Get("Last-Modified")) // zero where there is none
	return file, nil
}

// get asks for the content from offset on.
func (f *File) get(offset int64) (*http.Response, error) {
	req, err := f.client.request(f.ctx, f.call)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "*/*")
	want := http.StatusOK
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		req.Header.Set("If-Range", f.ETag)
		want = http.StatusPartialContent
	}
	answer, err := f.client.send(req)
	if err != nil {
		return nil, err
	}
	if err := f.check(answer, want, offset); err != nil {
		answer.Body.Close()
		return nil, err
	}
	return answer, nil
}

// check holds an answer to what was asked for.
func (f *File) check(answer *http.Response, want int, offset int64) error {
	isRange := want == http.StatusPartialContent
	switch {
	case answer.StatusCode >= 300:
		err := readError(answer)
		if isRange && isGone(err) {
			return ErrFileChanged
		}
		return err
	case isRange && answer.StatusCode == http.StatusOK, answer.Header.Get("ETag") != f.ETag && f.ETag != "":
		return ErrFileChanged
	case answer.StatusCode != want:
		return notOurs(answer)
	case isRange && answer.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", offset, f.Size-1, f.Size):
		return notOurs(answer)
	}
	return nil
}

// isGone tells that what was a file with content isn't one any more.
func isGone(err error) bool {
	switch sallyport.CodeOf(err) {
	case sallyport.CodeFileNotFound, sallyport.CodeIsADirectory, sallyport.CodeNotADirectory, sallyport.CodeNotAFile,
		sallyport.CodeRangeNotSatisfiable, sallyport.CodePreconditionFailed:
		return true
	}
	return false
}

// Read reads on. It returns io.EOF at Size, and ErrFileChanged where the file is no longer the
// one that was opened.
func (f *File) Read(p []byte) (int, error) {
	if f.offset >= f.Size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := f.readOnce(p)
		f.offset += int64(n)
		if n > 0 || err == nil {
			return n, nil // what is wrong with the rest, the next Read finds out
		}
		f.drop()
		if f.ctx.Err() == nil {
			err = f.breaks.takeUp(f.ctx, f.offset, err)
		}
		if f.ctx.Err() != nil {
			err = ended(f.ctx)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f.call.doing, err)
		}
	}
}

// readOnce reads from the answer that there is, or asks for one. Beside an error nothing was
// read.
func (f *File) readOnce(p []byte) (int, error) {
	if f.body == nil {
		answer, err := f.get(f.offset)
		if err != nil {
			return 0, err
		}
		if f.offset == 0 && answer.ContentLength != f.Size {
			answer.Body.Close()
			return 0, ErrFileChanged
		}
		f.body = answer.Body
	}
	n, err := f.body.Read(p[:min(int64(len(p)), f.Size-f.offset)])
	switch {
	case n > 0:
		if err != nil {
			f.drop()
		}
		return n, nil
	case err == nil || err == io.EOF:
		return 0, fmt.Errorf("the answer was cut off: %w", io.ErrUnexpectedEOF)
	}
	return 0, err
}

func (f *File) drop() {
	if f.body != nil {
		_ = f.body.Close() // what it held is asked for again
		f.body = nil
	}
}

// Seek sets where the next Read begins; nothing is asked of the server.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.Size
	default:
		return 0, fmt.Errorf("%s: seek: %w", f.call.doing, fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, fmt.Errorf("%s: seek before the beginning: %w", f.call.doing, fs.ErrInvalid)
	}
	if offset != f.offset {
		f.drop()
	}
	f.offset = offset
	return offset, nil
}

// Close ends the reading. It returns no error.
func (f *File) Close() error {
	f.drop()
	f.cancel()
	return nil
}

// Archive is a directory as a tar: what Files.Archive returns.
type Archive struct {
	answer *http.Response
	cancel context.CancelFunc
	ctx    context.Context
	doing  string
	tail   []byte // the last bytes that were read, at most archiveEnd
	n      int64
}

// archiveEnd is how long the two zero blocks are that close an archive.
const archiveEnd = 2 * 512

// Archive returns what is in a directory as a tar: files, directories and links, names relative
// to it. The caller closes it. A Read of an archive that was cut off never ends in io.EOF.
func (f *Files) Archive(ctx context.Context, name string) (*Archive, error) {
	r, err := f.call("archive", name, http.MethodGet, map[string][]string{"archive": {"tar"}})
	if err != nil {
		return nil, err
	}
	inner, cancel := context.WithCancel(ctx)
	answer, err := f.client.open(inner, r)
	if err == nil && !isMedia(answer, "application/x-tar") {
		answer.Body.Close()
		err = notOurs(answer)
	}
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			err = ended(ctx)
		}
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	return &Archive{answer: answer, cancel: cancel, ctx: ctx, doing: r.doing}, nil
}

// open sends a call, and returns its answer unless it is an error.
func (c *Client) open(ctx context.Context, r call) (*http.Response, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "*/*")
	answer, err := c.send(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		return nil, readError(answer)
	}
	return answer, nil
}

// Read reads the tar.
func (a *Archive) Read(p []byte) (int, error) {
	n, err := a.answer.Body.Read(p)
	a.n += int64(n)
	a.tail = append(a.tail, p[max(0, n-archiveEnd):n]...)
	a.tail = a.tail[max(0, len(a.tail)-archiveEnd):]
	switch {
	case err == nil, err == io.EOF && a.isWhole():
		return n, err
	case a.ctx.Err() != nil:
		err = ended(a.ctx)
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("%s: the answer was cut off: %w", a.doing, err)
}

func (a *Archive) isWhole() bool {
	return a.n%512 == 0 && len(a.tail) == archiveEnd && strings.Trim(string(a.tail), "\x00") == ""
}

// Skipped is how many entries were left out, since they are neither files, directories nor
// links, or can't be read. It is known after Read has returned io.EOF.
func (a *Archive) Skipped() int64 {
	n, err := strconv.ParseInt(a.answer.Trailer.Get(sallyport.HeaderSkipped), 10, 64)
	if err != nil {
		return 0
	}
	return max(0, n)
}

// Close ends the reading. It returns no error.
func (a *Archive) Close() error {
	a.cancel()
	_ = a.answer.Body.Close() // nothing is read any more
	return nil
}
