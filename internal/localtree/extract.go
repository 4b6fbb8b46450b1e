package localtree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrArchive is of a tar that is malformed.
var ErrArchive = errors.New("the archive is malformed")

// StreamError is an archive that could not be read to its end: what was extracted before
// stands.
type StreamError struct{ Err error }

func (e *StreamError) Error() string { return e.Err.Error() }

func (e *StreamError) Unwrap() error { return e.Err }

// Extraction is what is told of entries while an archive is extracted. Its functions may be nil.
type Extraction struct {
	// Content is called before a file's content is read, and returns what is read in its
	// place.
	Content func(name string, size int64, content io.Reader) io.Reader
	// Done is called for each entry: err tells why it was left out, and is nil where it wasn't.
	Done func(name string, h *tar.Header, err error)

	// Last is the name of the last entry that Done was called for.
	Last string
}

// restBytesMax bounds what follows the end of an archive: tar fills up its last record.
const restBytesMax = 1 << 20

// Extract writes what a tar holds into the tree: files, directories and links. What can't be
// written is left out, and told to x.Done. Other errors are a *StreamError where r failed,
// ErrArchive, and a disk that is full.
func (t *Tree) Extract(r io.Reader, x *Extraction) error {
	from := &stream{r: r}
	archive := tar.NewReader(from)
	for {
		h, err := archive.Next()
		switch {
		case err == io.EOF:
			return from.drain()
		case err != nil && from.err != nil:
			return &StreamError{from.err}
		case err != nil && h == nil:
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		name := h.Name
		if h.Typeflag == tar.TypeDir {
			name = strings.TrimSuffix(name, "/")
		}
		err = t.extract(name, h, archive, x)
		if err != nil && from.err != nil {
			return &StreamError{from.err}
		}
		if isFull(err) {
			return fmt.Errorf("write %q: %w", name, err)
		}
		x.Last = name
		if x.Done != nil {
			x.Done(name, h, err)
		}
	}
}

func (t *Tree) extract(name string, h *tar.Header, content io.Reader, x *Extraction) error {
	if err := CheckName(name); err != nil {
		return err
	}
	a := Attr{h.FileInfo().Mode(), h.ModTime}
	switch {
	case h.Typeflag == tar.TypeDir:
		return t.Dir(name, a)
	case h.Typeflag == tar.TypeSymlink:
		return t.Link(name, h.Linkname, a)
	case h.Typeflag != tar.TypeReg || isSparse(h):
		return ErrType
	}
	if x.Content != nil {
		content = x.Content(name, h.Size, content)
	}
	return t.File(name, a, content)
}

// isSparse tells a file whose holes make few bytes many.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// isFull tells that nothing else can be written either.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// stream keeps the error of the reader below it.
type stream struct {
	r   io.Reader
	err error
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// drain reads what follows the end of the archive.
func (s *stream) drain() error {
	n, err := io.CopyN(io.Discard, s, restBytesMax+1)
	switch {
	case s.err != nil:
		return &StreamError{s.err}
	case err == io.EOF:
		return nil
	}
	return fmt.Errorf("%w: %d bytes follow its end", ErrArchive, n)
}
