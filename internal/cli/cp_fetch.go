package cli

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/localtree"
)

// fetching is a directory of a workspace on its way to this machine.
type fetching struct {
	*copier
	from *remote
	to   place
	tree *localtree.Tree
	// last is the name of the last entry that is done with.
	last string
}

// fetchTree copies a directory of a workspace into a local one, which is made.
func (k *copier) fetchTree(ctx context.Context, r *remote, to place) error {
	tree, isNew, err := k.localTarget(to)
	if err != nil {
		return fmt.Errorf("%s: %w", to.word, err)
	}
	defer func() { _ = tree.Close() }() // what could fail is told to LeftDir
	f := &fetching{copier: k, from: r, to: to, tree: tree}
	tree.LeftDir = func(name string, err error) { k.leftOut(f.here(name), err) }
	if err := f.run(ctx); err != nil {
		return err
	}
	if isNew && r.isKnown {
		if err := tree.Finish(r.attr()); err != nil {
			return fmt.Errorf("%s: %w", to.word, err)
		}
	}
	return nil
}

// localTarget opens the local directory that a tree is copied to. It tells whether that gets
// the mode and time of the source: one that was named, and is there, keeps its own.
func (k *copier) localTarget(to place) (tree *localtree.Tree, isNew bool, err error) {
	if to.path == k.to.path && k.toDir {
		tree, err = localtree.Open(to.path)
		return tree, false, err
	}
	parent, err := localtree.Open(filepath.Dir(filepath.Clean(to.path)))
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = parent.Close() }() // nothing is written in it
	tree, err = parent.Sub(filepath.Base(to.path))
	return tree, true, err
}

func (f *fetching) here(name string) string  { return filepath.Join(f.to.path, name) }
func (f *fetching) there(name string) string { return f.from.below(name).word }

// run takes the directory as a tar, and after a break the rest of it file by file.
func (f *fetching) run(ctx context.Context) error {
	skipped, err := f.extract(ctx)
	for err != nil {
		var stream *localtree.StreamError
		if !errors.As(err, &stream) || ctx.Err() != nil || !client.IsBreak(stream.Err) || !f.mayTakeUp(f.from.place, stream.Err) {
			return err
		}
		if err := pause(ctx, f.breaks); err != nil {
			return err
		}
		skipped, err = 0, f.rest(ctx)
	}
	if skipped > 0 {
		return f.nameSkipped(ctx, f.from, skipped, f.isHere)
	}
	return nil
}

// extract writes the directory as a tar brings it. It returns how many entries the machine
// left out.
func (f *fetching) extract(ctx context.Context) (skipped int64, err error) {
	archive, err := f.from.files.Archive(ctx, f.from.path)
	if err != nil {
		return 0, &localtree.StreamError{Err: err}
	}
	defer func() { _ = archive.Close() }() // it returns no error
	var shown *bar
	x := &localtree.Extraction{
		Content: func(name string, size int64, content io.Reader) io.Reader {
			shown = f.startBar(f.there(name), size)
			return shown.reader(content)
		},
		Done: func(name string, h *tar.Header, err error) {
			shown.end(err)
			shown = nil
			f.done(name, typeOf(h), h.Size, err)
		},
	}
	err = f.tree.Extract(archive, x)
	shown.end(err)
	return archive.Skipped(), err
}

// done tells of an entry that is done with.
func (f *fetching) done(name, kind string, size int64, err error) {
	if err != nil {
		f.leftOut(f.there(name), err)
	} else {
		f.copiedAs(f.there(name), f.here(name), kind, size)
	}
	f.last = name
}

func typeOf(h *tar.Header) string {
	switch h.Typeflag {
	case tar.TypeReg:
		return sallyport.FileTypeFile
	case tar.TypeDir:
		return sallyport.FileTypeDir
	case tar.TypeSymlink:
		return sallyport.FileTypeLink
	}
	return sallyport.FileTypeOther
}

// rest copies what comes after last, in the order of the tar, entry by entry.
func (f *fetching) rest(ctx context.Context) error {
	for w, err := range walkRemote(ctx, f.from.files, f.from.path) {
		if err != nil {
			return &localtree.StreamError{Err: err}
		}
		if f.last != "" && localtree.Compare(w.name, f.last) <= 0 {
			continue
		}
		err := f.one(ctx, w)
		if err != nil && (ctx.Err() != nil || !isOfEntry(err)) {
			return &localtree.StreamError{Err: err}
		}
		if err != nil || w.entry.Type != sallyport.FileTypeFile {
			f.done(w.name, w.entry.Type, -1, err)
		}
		f.last = w.name
		if w.entry.Unreadable {
			f.leftOut(f.there(w.name), errUnreadable)
		}
	}
	return nil
}

var errUnreadable = errors.New("it can't be read")

func (f *fetching) one(ctx context.Context, w walked) error {
	r := &remote{place: f.from.below(w.name), files: f.from.files, entry: w.entry, isKnown: true}
	if err := localtree.CheckName(w.name); err != nil {
		return err
	}
	switch w.entry.Type {
	case sallyport.FileTypeDir:
		return f.tree.Dir(w.name, r.attr())
	case sallyport.FileTypeLink:
		target, err := w.entry.RawTarget()
		if err != nil {
			return err
		}
		return f.tree.Link(w.name, target, r.attr())
	case sallyport.FileTypeFile:
		return f.fetchFile(ctx, r, f.tree, w.name, f.here(w.name))
	}
	return localtree.ErrType
}

// isOfEntry tells an error that is about one entry, so that others may do better.
func isOfEntry(err error) bool {
	if known, ok := errors.AsType[*sallyport.Error](err); ok {
		switch known.Code {
		case sallyport.CodePermissionDenied, sallyport.CodeFileNotFound, sallyport.CodeIsADirectory, sallyport.CodeNotADirectory,
			sallyport.CodeNotAFile, sallyport.CodeExists, sallyport.CodeInvalidPath:
			return true
		}
		return false
	}
	for _, own := range []error{localtree.ErrName, localtree.ErrType, localtree.ErrLinkOut, localtree.ErrLinkInWay, localtree.ErrSwapped, client.ErrFileChanged, errShrunk, errLinkOutThere} {
		if errors.Is(err, own) {
			return true
		}
	}
	for _, errno := range []syscall.Errno{syscall.EACCES, syscall.EPERM, syscall.EISDIR, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ENOENT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// nameSkipped names what the machine left out of a tar, whose trailer only counts it: what
// is no file, can't be read, or didn't arrive.
func (k *copier) nameSkipped(ctx context.Context, r *remote, skipped int64, hasArrived func(walked) bool) error {
	for w, err := range walkRemote(ctx, r.files, r.path) {
		if err != nil {
			return err
		}
		reason := errUnreadable
		switch {
		case w.entry.Type == sallyport.FileTypeOther:
			reason = localtree.ErrType
		case w.entry.Type == sallyport.FileTypeFile && !hasArrived(w):
		case w.entry.Unreadable:
		default:
			continue
		}
		k.leftOut(r.below(w.name).word, reason)
		skipped--
		if skipped == 0 {
			return nil
		}
	}
	k.leftOutMany(r.place, skipped)
	return nil
}

// anyArrived is for a way on which it isn't known.
func anyArrived(walked) bool { return true }

// isHere tells whether a file was copied.
func (f *fetching) isHere(w walked) bool {
	info, err := f.tree.Lstat(w.name)
	return err == nil && w.entry.Size != nil && info.Size() == *w.entry.Size && info.ModTime().Equal(w.entry.Mtime)
}

// Pauses before a broken transfer of many files is taken up.
const (
	pauseMin = 250 * time.Millisecond
	pauseMax = 5 * time.Second
)

// pause waits after so many breaks.
func pause(ctx context.Context, breaks int) error {
	timer := time.NewTimer(min(pauseMin<<min(breaks, 6)/2, pauseMax))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
