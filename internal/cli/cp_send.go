package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"sync"
	"syscall"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/localtree"
)

// A file of a tree is sent by itself from a size of aloneBytesMin on, since within a tar it
// would begin anew after a break; once something broke, from aloneAfterBreakMin on.
const (
	aloneBytesMin      = 8 << 20
	aloneAfterBreakMin = 1 << 20
)

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
	// alone is the size from which files were sent by themselves.
	alone int64
	// byEntry, where it is set, makes walk one that needs no file before the one at which it
	// broke off, and copyFile what sends a file of it: of a source that is a tar itself.
	byEntry  func()
	copyFile func(ctx context.Context, h *tar.Header) error
	// sent is the last name that was sent, told the last of which it was told if it can't be,
	// settled the last that individually is done with, skipped the last that walkEntries left
	// out.
	sent, told, settled, skipped string
}

// sendTree copies a local directory into one of a workspace, which is made.
func (k *copier) sendTree(ctx context.Context, source, to place) error {
	files, err := k.treeTarget(ctx, to)
	if err != nil {
		return err
	}
	s := &sending{copier: k, files: files, to: to, alone: math.MaxInt64}
	s.walk = func(_ context.Context, do each) error { return localtree.Walk(source.path, do) }
	s.from = func(name string) string { return source.below(name).word }
	if s.isOwnTarget() {
		if s.dir, err = localtree.Header(source.path); err != nil {
			return err
		}
	}
	if err := s.sendAlone(ctx, aloneBytesMin); err != nil {
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

// sendAlone sends the files by themselves, from a size on, that would take long to send again,
// unless they were sent so before.
func (s *sending) sendAlone(ctx context.Context, from int64) error {
	before := s.alone
	s.alone = from
	there, stop := s.listThere(ctx)
	defer stop()
	return s.walk(ctx, func(h *tar.Header, content io.Reader, err error) error {
		file, ok := content.(io.ReaderAt)
		if err != nil || !ok || h.Size < from || h.Size >= before || isOwnName(h.Name) {
			return nil // the tar's turn comes
		}
		if there.has(h) {
			s.copiedEntry(h)
			return nil
		}
		_, err = s.each(ctx, h.Name, s.sendFile(ctx, s.files, file, attrOf(h), h.Size, s.from(h.Name), s.below(h.Name)))
		return err
	})
}

// copiedEntry tells that an entry was copied.
func (s *sending) copiedEntry(h *tar.Header) {
	s.copiedAs(s.from(h.Name), s.below(h.Name).word, typeOf(h), h.Size)
}

func (s *sending) below(name string) place { return s.to.below(name) }

func attrOf(h *tar.Header) localtree.Attr {
	return localtree.Attr{Mode: h.FileInfo().Mode(), ModTime: h.ModTime}
}

func isOwnName(name string) bool {
	return strings.HasPrefix(name, ownPrefix) || strings.Contains(name, "/"+ownPrefix)
}

// each turns an error that is about one entry into a word, so that the others are sent. It
// tells whether there was none.
func (s *sending) each(ctx context.Context, name string, err error) (ok bool, _ error) {
	if err == nil || ctx.Err() != nil || !isOfEntry(err) {
		return err == nil, err
	}
	s.leftOut(s.from(name), err)
	return false, nil
}

// run sends the tree as a tar: again after a break, without what is there, and entry by
// entry where the machine refuses one.
func (s *sending) run(ctx context.Context) error {
	err := s.tar(ctx)
	for isTar := true; err != nil && ctx.Err() == nil; {
		switch {
		case isTar && isOfEntry(err):
			isTar = false
		case !isBroken(err) || !s.mayTakeUp(s.to, err):
			return err
		default:
			if err := pause(ctx, s.breaks); err != nil {
				return err
			}
			if s.byEntry != nil {
				isTar = false
				s.byEntry()
			}
		}
		if !isTar {
			err = s.individually(ctx)
		} else if err = s.sendAlone(ctx, aloneAfterBreakMin); err == nil {
			err = s.tar(ctx)
		}
	}
	return err
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

// tar sends one tar, without what was sent before and is there. What came of it is told when
// the machine has taken it.
func (s *sending) tar(ctx context.Context) error {
	held, err := s.hold()
	if err != nil {
		return err
	}
	defer held.drop()
	done, err := s.sendTar(ctx)
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for _, skipped := range done.SkippedEntries {
		if name, err := skipped.RawPath(); err == nil {
			left[s.below(name).word] = true
		}
	}
	if err := held.tell(left); err != nil {
		return err
	}
	s.skippedThere(s.to, done, s.from)
	return nil
}

func (s *sending) sendTar(ctx context.Context) (sallyport.FilesExtracted, error) {
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
		if !s.isToSend(h, content, err) {
			return nil
		}
		if !there.has(h) {
			if err := s.writeEntry(out, h, content); err != nil {
				return err
			}
		}
		s.copiedEntry(h)
		return nil
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// isToSend tells whether an entry of the walk is to be sent now. One that can't be, for err or
// its name, is left out, which is told once however often it is walked.
func (s *sending) isToSend(h *tar.Header, content io.Reader, err error) bool {
	isNew := isBehind(h.Name, s.told)
	if isNew {
		s.told = h.Name
	}
	if err == nil && isOwnName(h.Name) {
		err = errOwnName
	}
	if err != nil {
		if isNew {
			s.leftOut(s.from(h.Name), err)
		}
		return false
	}
	return !s.wasAlone(h, content)
}

// isBehind tells whether a walk comes to name after last, a name that it has been at; empty is
// none.
func isBehind(name, last string) bool {
	return last == "" || localtree.Compare(name, last) > 0
}

// wasAlone tells whether sendAlone has sent a file.
func (s *sending) wasAlone(h *tar.Header, content io.Reader) bool {
	_, ok := content.(io.ReaderAt)
	return ok && h.Size >= s.alone
}

func (s *sending) writeEntry(out *tar.Writer, h *tar.Header, content io.Reader) error {
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
	return nil
}

// skippedThere tells what the machine left out of a tar, under the names that from has.
func (k *copier) skippedThere(to place, done sallyport.FilesExtracted, from func(string) string) {
	for _, skipped := range done.SkippedEntries {
		name, err := skipped.RawPath()
		if err != nil {
			continue
		}
		reason := localtree.ErrType
		if skipped.Reason == sallyport.FileSkipLinkOut {
			reason = errLinkOutThere
		}
		k.leftOut(from(name), reason)
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
			if _, err := s.each(ctx, d.Name, s.setDir(ctx, d)); err != nil {
				return err
			}
		}
		return nil
	}
	err := s.walk(ctx, func(h *tar.Header, content io.Reader, err error) error {
		if err := leave(h.Name); err != nil {
			return err
		}
		ok := true
		if isBehind(h.Name, s.settled) {
			ok, err = s.settle(ctx, h, content, err, there)
		}
		if err == nil && ok && h.Typeflag == tar.TypeDir {
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

// settle sends an entry, or tells why not, once. It tells whether it is there now.
func (s *sending) settle(ctx context.Context, h *tar.Header, content io.Reader, err error, there *thereList) (ok bool, _ error) {
	if !s.isToSend(h, content, err) {
		return false, nil
	}
	if ok = there.has(h); !ok {
		if ok, err = s.each(ctx, h.Name, s.one(ctx, h, content)); err != nil {
			return false, err
		}
	}
	s.settled = h.Name
	if ok {
		s.copiedEntry(h)
	}
	return ok, nil
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
		if err == nil && done.Skipped > 0 {
			err = errLinkOutThere
		}
		return err
	}
	if s.copyFile != nil {
		return s.copyFile(ctx, h)
	}
	if file, ok := content.(io.ReaderAt); ok {
		return s.write(ctx, s.files, file, attrOf(h), h.Size, s.from(h.Name), to)
	}
	mode := attrOf(h).Mode.Perm()
	_, err := s.files.Write(ctx, to.path, content, client.WriteFile{Mode: &mode, ModTime: h.ModTime, Size: h.Size})
	return err
}
