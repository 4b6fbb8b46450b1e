package files

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
)

// Archive writes what is in a directory to w as a tar, in the order of lists, names
// relative to it: files, directories and links, with modes, times and numeric owners. It
// returns how many entries were written, and how many left out, since they are neither, or
// can't be read. Beside an error the archive has no end.
func (t *Tree) Archive(ctx context.Context, path string, w io.Writer) (written, skipped int64, err error) {
	s, err := t.serve(ctx, path, "")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = cmp.Or(err, s.close()) }()
	a := &archiver{s: s, out: tar.NewWriter(w), base: path}
	walk := Walk{Path: path, Depth: archiveDepthMax, Each: a.add}
	if err = walk.run(s); err == nil {
		err = a.flush()
	}
	if err == nil {
		err = a.out.Close()
	}
	return a.written, a.skipped, err
}

// archiveDepthMax is deeper than Linux's longest path.
const archiveDepthMax = pathMax

func header(e Entry, name string, kind byte) *tar.Header {
	h := &tar.Header{
		Typeflag: kind, Name: name, Linkname: e.Target, Size: e.Size, Mode: int64(e.Mode), ModTime: e.ModTime, Uid: e.UID, Gid: e.GID,
	}
	// PAX alone holds fractions of a second; what else needs it, the writer finds out.
	if e.ModTime.Nanosecond() != 0 {
		h.Format = tar.FormatPAX
	}
	return h
}

// Skip is an entry of an archive that was left out.
type Skip struct{ Path, Reason string }

// Reasons for leaving out an entry.
const (
	// SkipType is of devices, FIFOs and the like, and of hard links to what the archive
	// doesn't have.
	SkipType = sallyport.FileSkipType
	// SkipLinkOut is of links that lead out of the root as they are written.
	SkipLinkOut = sallyport.FileSkipLinkOut
)

// Extracted is what became of an archive.
type Extracted struct {
	Entries, Bytes, Skipped int64
	// SkippedEntries are the first skippedNamedMax.
	SkippedEntries []Skip
}

const skippedNamedMax = 100

// Extract makes the directory at path, and in it what the archive holds: ustar, GNU and
// pax, not compressed. Files are replaced each as by Write, directories kept; modes (0777)
// and times are kept, owners not. It returns invalid_archive for a name that is absolute,
// leads out or is the server's own, and for an archive that is broken or cut off; what was
// extracted before stays, and is told beside every error.
func (t *Tree) Extract(ctx context.Context, path string, archive io.Reader) (done Extracted, err error) {
	s := t.start(ctx, script(targetPart, walkPart, treePart, extractPart), path, StagePrefix+id.New())
	defer func() { err = cmp.Or(err, s.close()) }()
	if _, _, err := s.expect("ok"); err != nil {
		return done, err
	}
	x := &extraction{s: s, base: path, files: map[string]bool{}, done: &done}
	err = x.all(archive)
	return done, err
}

// all extracts every entry. What came whole before an entry that is none is extracted.
func (x *extraction) all(archive io.Reader) error {
	whole := &endReader{Reader: archive}
	in := tar.NewReader(whole)
	for {
		h, err := in.Next()
		if err == io.EOF && !whole.ended {
			if err := x.flush(); err != nil {
				return err
			}
			return x.dirTimes()
		}
		if err != nil {
			return cmp.Or(x.flush(), invalidArchive(err))
		}
		if err := x.next(h, in); err != nil {
			return err
		}
	}
}

// next extracts an entry, or keeps it for those that travel together.
func (x *extraction) next(h *tar.Header, content io.Reader) error {
	kept, err := x.keep(h, content)
	if kept || err != nil {
		return err
	}
	if err := x.flush(); err != nil {
		return err
	}
	return x.entry(h, content)
}

// endReader tells the end of an archive from its being cut off: tar.Reader takes the end
// of its reader, between two entries, for the end that two blocks of zeros make.
type endReader struct {
	io.Reader
	ended bool
}

func (r *endReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 && err == io.EOF {
		return n, nil
	}
	r.ended = r.ended || err == io.EOF
	return n, err
}

type extraction struct {
	s    *talk
	base string
	// files are those that were extracted, to which hard links may be made.
	files map[string]bool
	// dirs get their times when all that is in them is there.
	dirs []dirTime
	done *Extracted
	// batch holds files that wait for others of their directory.
	batch batch
}

type dirTime struct {
	path string
	mode int64
	time time.Time
}

func (x *extraction) entry(h *tar.Header, content io.Reader) error {
	name, err := entryName(h.Name)
	if err != nil {
		return err
	}
	path := join(x.base, name)
	if name == "" {
		path = x.base
	}
	switch h.Typeflag {
	case tar.TypeReg, '\x00':
		return x.file(path, name, h, content)
	case tar.TypeDir:
		x.dirs = append(x.dirs, dirTime{path, h.Mode & 0o777, h.ModTime})
		return x.count(x.make("d - - %s", escaped(path)))
	case tar.TypeSymlink:
		if leadsOut(path, h.Linkname) {
			x.skip(name, SkipLinkOut)
			return nil
		}
		return x.count(x.make("l - - %s %s", escaped(path), escaped(h.Linkname)))
	case tar.TypeLink:
		other, err := entryName(h.Linkname)
		if err != nil || !x.files[other] {
			x.skip(name, SkipType)
			return nil
		}
		return x.count(x.make("h - - %s %s", escaped(path), escaped(join(x.base, other))))
	}
	x.skip(name, SkipType)
	return nil
}

func (x *extraction) file(path, name string, h *tar.Header, content io.Reader) error {
	if name == "" {
		return invalidArchive(errors.New("a file without a name"))
	}
	if err := x.s.say("f %04o %s %s %d", h.Mode&0o777, stamp(&h.ModTime), escaped(path), h.Size); err != nil {
		return x.s.refused(err)
	}
	if _, _, err := x.s.expect("yes"); err != nil {
		return err
	}
	n, err := io.CopyN(toMachine{x.s.in}, content, h.Size)
	x.done.Bytes += n
	if failed, ok := errors.AsType[machineError](err); ok {
		return x.s.refused(failed.error)
	}
	if err != nil {
		return invalidArchive(err)
	}
	if _, _, err = x.s.expect("done"); err == nil {
		x.files[name] = true
	}
	return x.count(err)
}

// make has the script make one thing.
func (x *extraction) make(format string, args ...any) error {
	if err := x.s.say(format, args...); err != nil {
		return x.s.refused(err)
	}
	_, _, err := x.s.expect("done")
	return err
}

func (x *extraction) count(err error) error {
	if err == nil {
		x.done.Entries++
	}
	return err
}

func (x *extraction) skip(name, reason string) {
	x.done.Skipped++
	if len(x.done.SkippedEntries) < skippedNamedMax {
		x.done.SkippedEntries = append(x.done.SkippedEntries, Skip{name, reason})
	}
}

func (x *extraction) dirTimes() error {
	for i := len(x.dirs) - 1; i >= 0; i-- {
		d := x.dirs[i]
		if err := x.make("d %04o %s %s", d.mode, stamp(&d.time), escaped(d.path)); err != nil {
			return err
		}
	}
	return nil
}

// entryName is the path of an entry, relative to the directory; empty is that itself.
func entryName(name string) (string, error) {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if name == "." || name == "" {
		return "", nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !isName(part) || IsOwn(part) {
			return "", invalidArchive(fmt.Errorf("the name %q", name))
		}
	}
	if len(name) > pathMax {
		return "", invalidArchive(errors.New("a name that is too long"))
	}
	return name, nil
}

// leadsOut tells whether a link at path leads out of the root as it is written.
func leadsOut(path, target string) bool {
	if strings.HasPrefix(target, "/") || strings.ContainsRune(target, 0) || target == "" {
		return true
	}
	depth := strings.Count(path, "/")
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return true
		}
	}
	return false
}

func invalidArchive(cause error) error {
	if _, ok := errors.AsType[*sallyport.Error](cause); ok {
		return cause
	}
	return sallyport.Errorf(sallyport.CodeInvalidArchive, "the archive is broken or cut off, or holds a name that is absolute, leads out, or is the server's own").Because(cause)
}
