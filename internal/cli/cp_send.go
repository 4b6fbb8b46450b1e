package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"syscall"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/localtree"
)

// aloneBytesMin is the size from which a file of a tree is sent by itself: within a tar it
// would begin anew after a break.
const aloneBytesMin = 8 << 20

// ownPrefix begins the names that a server keeps for itself.
const ownPrefix = ".sallyport"

// errOwnName is of a name that no server takes.
var errOwnName = errors.New("names that begin with " + ownPrefix + " are the server's own")

// each is called for the entries of a tree, in the order of lists: see localtree.Walk.
type each func(h *tar.Header, content io.Reader, err error) error

// sending is a tree on its way to a workspace.
type sending struct {
	*copier
	files *client.Files
	to    place
	// walk goes through the tree, as often as it is asked to. An error of a source that
	// broke off is a *localtree.StreamError.
	walk func(context.Context, each) error
	// from names an entry of the tree.
	from func(name string) string
	// dir is the header of the directory itself; nil leaves the target's as it is.
	dir *tar.Header
	// sent and told are the last names that were written into a tar, and told.
	sent, told string
}

// sendTree copies a local directory into one of a workspace, which is made.
func (k *copier) sendTree(ctx context.Context, source, to place) error {
	files, err := k.treeTarget(ctx, to)
	if err != nil {
		return err
	}
	s := &sending{copier: k, files: files, to: to}
	s.walk = func(_ context.Context, do each) error { return localtree.Walk(source.path, do) }
	s.from = func(name string) string { return source.below(name).word }
	if s.isOwnTarget() {
		if s.dir, err = localtree.Header(source.path); err != nil {
			return err
		}
	}
	if err := s.sendLarge(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// treeTarget are the files of a workspace to which a tree is copied.
func (k *copier) treeTarget(ctx context.Context, to place) (*client.Files, error) {
	if !k.toDir {
		if _, exists, err := k.isRemoteDir(ctx, to); err != nil || exists {
			if err == nil {
				err = fmt.Errorf("%s: %w", to.word, syscall.ENOTDIR)
			}
			return nil, err
		}
	}
	return k.files(ctx, to)
}

// isOwnTarget tells whether the target gets the mode and time of the source: a directory that
// was named, and is there, keeps its own.
func (s *sending) isOwnTarget() bool {
	return !s.toDir || s.to.path != s.copier.to.path
}

// sendLarge sends the files by themselves that would take long to send again.
func (s *sending) sendLarge(ctx context.Context) error {
	return s.walk(ctx, func(h *tar.Header, content io.Reader, err error) error {
		file, ok := content.(io.ReaderAt)
		if err != nil || !ok || h.Size < aloneBytesMin || isOwnName(h.Name) {
			return nil // the tar's turn comes
		}
		return s.each(ctx, h.Name, s.sendFile(ctx, s.files, file, attrOf(h), h.Size, s.from(h.Name), s.below(h.Name)))
	})
}

func (s *sending) below(name string) place { return s.to.below(name) }

func attrOf(h *tar.Header) localtree.Attr {
	return localtree.Attr{Mode: h.FileInfo().Mode(), ModTime: h.ModTime}
}

func isOwnName(name string) bool {
	return strings.HasPrefix(name, ownPrefix) || strings.Contains(name, "/"+ownPrefix)
}

// each turns an error that is about one entry into a word, so that the others are sent.
func (s *sending) each(ctx context.Context, name string, err error) error {
	if err == nil || ctx.Err() != nil || !isOfEntry(err) {
		return err
	}
	s.leftOut(s.from(name), err)
	return nil
}

// run sends the tree as a tar: again after a break, without what is there, and entry by
// entry where the machine refuses one.
func (s *sending) run(ctx context.Context) error {
	for {
		done, err := s.tar(ctx)
		switch {
		case err == nil:
			s.skippedThere(s.to, done)
			return nil
		case ctx.Err() != nil:
			return err
		case isOfEntry(err):
			return s.individually(ctx)
		case !isBroken(err) || !s.mayTakeUp(s.to, err):
			return err
		}
		if err := pause(ctx, s.breaks); err != nil {
			return err
		}
	}
}

// isBroken tells whether either side of a tree's way broke off.
func isBroken(err error) bool {
	var stream *localtree.StreamError
	if errors.As(err, &stream) {
		return client.IsBreak(stream.Err)
	}
	var local *walkError
	return !errors.As(err, &local) && client.IsBreak(err)
}

// walkError is an error of the tree that is sent, not of the way there.
type walkError struct{ error }

func (e *walkError) Unwrap() error { return e.error }

// errTaken ends the writing of a tar that nobody reads any more.
var errTaken = errors.New("nobody takes the tar")

// tar sends one tar, without what was sent before and is there.
func (s *sending) tar(ctx context.Context) (sallyport.FilesExtracted, error) {
	there, stop := s.listThere(ctx)
	defer stop()
	r, w := io.Pipe()
	var written error
	var writing sync.WaitGroup
	writing.Go(func() {
		written = s.writeTar(ctx, w, there)
		_ = w.CloseWithError(written) // it returns no error
	})
	done, err := s.files.Extract(ctx, s.to.path, r)
	_ = r.CloseWithError(errTaken) // it returns no error
	writing.Wait()
	switch {
	case written == nil || errors.Is(written, errTaken):
		return done, err
	case ctx.Err() != nil:
		return done, ctx.Err()
	}
	return done, &walkError{written}
}

// writeTar writes what isn't there.
func (s *sending) writeTar(ctx context.Context, w io.Writer, there *thereList) error {
	out := tar.NewWriter(w)
	if s.dir != nil {
		if err := out.WriteHeader(s.dir); err != nil {
			return err
		}
	}
	err := s.walk(ctx, func(h *tar.Header, content io.Reader, err error) error {
		isNew := s.told == "" || localtree.Compare(h.Name, s.told) > 0
		if isNew {
			s.told = h.Name
		}
		if !s.isToSend(h, content, err, isNew, there) {
			return nil
		}
		return s.writeEntry(out, h, content, isNew)
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// isToSend tells whether an entry of the walk is to be sent now. One that can't be, for err or
// its name, is left out, which is told where it is new.
func (s *sending) isToSend(h *tar.Header, content io.Reader, err error, isNew bool, there *thereList) bool {
	if err == nil && isOwnName(h.Name) {
		err = errOwnName
	}
	if err != nil {
		if isNew {
			s.leftOut(s.from(h.Name), err)
		}
		return false
	}
	return !(content != nil && s.wasAlone(h, content)) && !there.has(h)
}

// wasAlone tells whether sendLarge has sent a file.
func (s *sending) wasAlone(h *tar.Header, content io.Reader) bool {
	_, ok := content.(io.ReaderAt)
	return ok && h.Size >= aloneBytesMin
}

func (s *sending) writeEntry(out *tar.Writer, h *tar.Header, content io.Reader, isNew bool) error {
	named := *h
	if h.Typeflag == tar.TypeDir {
		named.Name += "/"
	}
	if err := out.WriteHeader(&named); err != nil {
		return err
	}
	if content != nil {
		b := s.startBar(s.from(h.Name), h.Size)
		_, err := io.CopyN(out, b.reader(content), h.Size)
		b.end(err)
		if err == io.EOF {
			err = fmt.Errorf("%s: %w", s.from(h.Name), errShrunk)
		}
		if err != nil {
			return err
		}
	}
	s.sent = h.Name
	if isNew {
		s.copiedAs(s.from(h.Name), s.below(h.Name).word, typeOf(h), h.Size)
	}
	return nil
}

// skippedThere tells what the machine left out of a tar.
func (k *copier) skippedThere(to place, done sallyport.FilesExtracted) {
	for _, skipped := range done.SkippedEntries {
		name, err := skipped.RawPath()
		if err != nil {
			continue
		}
		reason := localtree.ErrType
		if skipped.Reason == sallyport.FileSkipLinkOut {
			reason = errLinkOutThere
		}
		k.leftOut(to.below(name).word, reason)
	}
	k.leftOutMany(to, done.Skipped-int64(len(done.SkippedEntries)))
}

var errLinkOutThere = errors.New("the link leads out of the workspace's root")

// thereList tells what of a tree is on the machine, in the order of the tree.
type thereList struct {
	next func() (walked, error, bool)
	now  walked
	// until is the last name that was sent before; what comes behind it isn't looked for.
	until string
	ended bool
}

// listThere lists what was sent before a break; nothing before the first.
func (s *sending) listThere(ctx context.Context) (*thereList, func()) {
	if s.sent == "" {
		return &thereList{ended: true}, func() {}
	}
	next, stop := iter.Pull2(walkRemote(ctx, s.files, s.to.path))
	t := &thereList{next: next, until: s.sent}
	t.advance()
	return t, stop
}

func (t *thereList) advance() {
	var err error
	var ok bool
	t.now, err, ok = t.next()
	t.ended = !ok || err != nil // what isn't known to be there is sent again
}

// has tells whether an entry of the tree is on the machine as it is here. Directories are sent
// again: their times are set at the end.
func (t *thereList) has(h *tar.Header) bool {
	if t.ended || localtree.Compare(h.Name, t.until) > 0 {
		return false
	}
	for !t.ended && localtree.Compare(t.now.name, h.Name) < 0 {
		t.advance()
	}
	if t.ended || t.now.name != h.Name {
		return false
	}
	e := t.now.entry
	switch h.Typeflag {
	case tar.TypeReg:
		return e.Type == sallyport.FileTypeFile && e.Size != nil && *e.Size == h.Size && e.Mtime.Equal(h.ModTime)
	case tar.TypeSymlink:
		target, err := e.RawTarget()
		return err == nil && e.Type == sallyport.FileTypeLink && target == h.Linkname
	}
	return false
}

// individually sends entry by entry, and tells which the machine refuses.
func (s *sending) individually(ctx context.Context) error {
	if s.to.path != "" {
		if _, err := s.files.Mkdir(ctx, s.to.path, 0o755); err != nil {
			return err
		}
	}
	there, stop := s.listThere(ctx)
	defer stop()
	var dirs []*tar.Header // those that hold what is sent now
	leave := func(name string) error {
		for n := len(dirs) - 1; n >= 0 && !strings.HasPrefix(name, dirs[n].Name+"/"); n-- {
			d := dirs[n]
			dirs = dirs[:n]
			if err := s.each(ctx, d.Name, s.setDir(ctx, d)); err != nil {
				return err
			}
		}
		return nil
	}
	err := s.walk(ctx, func(h *tar.Header, content io.Reader, err error) error {
		if err := leave(h.Name); err != nil {
			return err
		}
		if !s.isToSend(h, content, err, localtree.Compare(h.Name, s.told) > 0, there) {
			return nil
		}
		err = s.each(ctx, h.Name, s.one(ctx, h, content))
		if h.Typeflag == tar.TypeDir {
			dirs = append(dirs, h)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := leave(""); err != nil || s.dir == nil {
		return err
	}
	return s.setDir(ctx, s.dir)
}

func (s *sending) setDir(ctx context.Context, h *tar.Header) error {
	path := s.to.path
	if h != s.dir {
		path = joinPath(path, h.Name)
	}
	mode, at := fmt.Sprintf("%04o", h.Mode&0o777), h.ModTime.UTC().Truncate(time.Nanosecond)
	_, err := s.files.Change(ctx, path, sallyport.FilePatch{Mode: &mode, Mtime: &at})
	return err
}

// one sends one entry.
func (s *sending) one(ctx context.Context, h *tar.Header, content io.Reader) error {
	to := s.below(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		_, err := s.files.Mkdir(ctx, to.path, 0o755)
		return err
	case tar.TypeSymlink:
		var link bytes.Buffer
		out := tar.NewWriter(&link)
		if err := errors.Join(out.WriteHeader(h), out.Close()); err != nil {
			return err
		}
		done, err := s.files.Extract(ctx, s.to.path, &link)
		if err == nil {
			s.skippedThere(s.to, done)
		}
		return err
	}
	if file, ok := content.(io.ReaderAt); ok {
		return s.sendFile(ctx, s.files, file, attrOf(h), h.Size, s.from(h.Name), to)
	}
	mode := attrOf(h).Mode.Perm()
	_, err := s.files.Write(ctx, to.path, content, client.WriteFile{Mode: &mode, ModTime: h.ModTime, Size: h.Size})
	return err
}

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
	s := &sending{copier: k, files: files, to: to}
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
