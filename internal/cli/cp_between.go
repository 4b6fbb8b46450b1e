package cli

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"math"
	"strings"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/localtree"
)

// treeBetween copies a directory of one workspace into one of another, or of the same.
func (k *copier) treeBetween(ctx context.Context, r *remote, to place, isSame bool) error {
	if isSame {
		if !k.toDir || to.path != k.to.path {
			if _, exists, err := k.isRemoteDir(ctx, to); err != nil || !exists {
				if err != nil {
					return err
				}
				return k.copyThereIn(ctx, r, to)
			}
		}
		if _, isBelow := relativePath(r.path, to.path); isBelow || r.path == to.path {
			return fmt.Errorf("%s: it can't be copied into itself, %s", r.word, to.word)
		}
	}
	files, err := k.treeTarget(ctx, to)
	if err != nil {
		return err
	}
	s := &sending{copier: k, files: files, to: to, alone: math.MaxInt64}
	s.byEntry = func() {
		s.walk = func(ctx context.Context, do each) error { return s.walkEntries(ctx, r, do) }
		s.copyFile = func(ctx context.Context, h *tar.Header) error {
			_, err := k.writeBetween(ctx, r.files, r.below(h.Name), attrOf(h), files, s.below(h.Name))
			return err
		}
	}
	var skipped int64
	s.walk = func(ctx context.Context, do each) (err error) {
		skipped, err = walkArchive(ctx, r, do)
		return err
	}
	s.from = func(name string) string { return r.below(name).word }
	if s.isOwnTarget() && r.isKnown {
		attr := r.attr()
		s.dir = &tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: int64(attr.Mode.Perm()), ModTime: attr.ModTime, Format: tar.FormatPAX}
	}
	if err := s.run(ctx); err != nil || skipped == 0 {
		return err
	}
	return k.nameSkipped(ctx, r, skipped, anyArrived)
}

// walkEntries goes through a directory of a workspace as it is listed. Files are read by
// copyFile.
func (s *sending) walkEntries(ctx context.Context, r *remote, do each) error {
	for w, err := range walkRemote(ctx, r.files, r.path) {
		if err != nil {
			return &localtree.StreamError{Err: err}
		}
		h, reason := entryHeader(w)
		if w.entry.Unreadable {
			reason = errUnreadable // what could be seen of it is made all the same
		}
		if reason != nil {
			s.leftOutOnce(w.name, reason)
		}
		if h.Typeflag == 0 {
			continue
		}
		if err := do(h, nil, localtree.CheckName(h.Name)); err != nil {
			return err
		}
	}
	return nil
}

// entryHeader is the header that an entry has in a tar.
func entryHeader(w walked) (h *tar.Header, err error) {
	h = &tar.Header{Name: w.name, Mode: int64(client.FileMode(w.entry).Perm()), ModTime: w.entry.Mtime, Format: tar.FormatPAX}
	switch w.entry.Type {
	case sallyport.FileTypeFile:
		h.Typeflag = tar.TypeReg
		if w.entry.Size != nil {
			h.Size = *w.entry.Size
		}
	case sallyport.FileTypeDir:
		h.Typeflag = tar.TypeDir
	case sallyport.FileTypeLink:
		if h.Linkname, err = w.entry.RawTarget(); err == nil {
			h.Typeflag = tar.TypeSymlink
		}
	default:
		err = localtree.ErrType
	}
	return h, err
}

// leftOutOnce tells what walkEntries leaves out, once however often it walks.
func (s *sending) leftOutOnce(name string, reason error) {
	if isBehind(name, s.skipped) {
		s.skipped = name
		s.leftOut(s.from(name), reason)
	}
}

func (k *copier) copyThereIn(ctx context.Context, r *remote, to place) error {
	files, err := k.files(ctx, to)
	if err != nil {
		return err
	}
	return k.copyThere(ctx, r, files, to)
}

// walkArchive goes through a directory of a workspace as a tar brings it. It returns how many
// entries the machine left out.
func walkArchive(ctx context.Context, r *remote, do each) (skipped int64, err error) {
	archive, err := r.files.Archive(ctx, r.path)
	if err != nil {
		return 0, &localtree.StreamError{Err: err}
	}
	defer func() { _ = archive.Close() }() // it returns no error
	from := &failingReader{r: archive}
	in := tar.NewReader(from)
	for {
		h, err := in.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, io.LimitReader(from, 1<<20))
		} else if err == nil {
			err = walkHeader(h, in, do)
		}
		switch {
		case from.err != nil:
			return 0, &localtree.StreamError{Err: from.err}
		case err != nil || h == nil:
			return archive.Skipped(), err
		}
	}
}

func walkHeader(h *tar.Header, content io.Reader, do each) error {
	h.Name = strings.TrimSuffix(h.Name, "/")
	h.PAXRecords, h.Format = nil, tar.FormatPAX
	if err := localtree.CheckName(h.Name); err != nil {
		return do(h, nil, err)
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return do(h, content, nil)
	case tar.TypeDir, tar.TypeSymlink:
		return do(h, nil, nil)
	}
	return do(h, nil, localtree.ErrType)
}
