package files

import (
	"archive/tar"
	"io"
	"path"
	"strings"
)

// Bounds of what travels together: small files of one directory, by the machine's own tar,
// since several processes for each file cost more than its content.
const (
	// togetherFilesMax bounds the names in one line to a script, whose shell reads them a
	// byte at a time.
	togetherFilesMax = 200
	// togetherNamesMax likewise, in bytes of the line.
	togetherNamesMax = 16 << 10
	// readTogetherMax is the size, in bytes, from which a file goes alone: tar's pieces of
	// 10 KiB cost more than a process then.
	readTogetherMax = 1 << 20
)

// archiver writes entries to a tar in the order of a walk.
type archiver struct {
	s    *talk
	out  *tar.Writer
	base string
	// waiting are entries of one directory, one behind the other, none of them a directory
	// or a large file, with paths relative to base. names is how long the files' names are.
	waiting []Entry
	files   int
	names   int
	// alone is set where the machine's tar can't be used.
	alone            bool
	written, skipped int64
}

// add takes the walk's next entry.
func (a *archiver) add(e Entry) error {
	e.Path = relative(a.base, e.Path)
	if e.Unreadable {
		a.skipped++
	}
	name := escaped(path.Base(e.Path))
	waits := !a.alone && e.Type != Dir && e.Size < readTogetherMax
	isFull := len(a.waiting) >= togetherFilesMax || a.names+len(name) > togetherNamesMax
	if !waits || isFull || len(a.waiting) > 0 && path.Dir(a.waiting[0].Path) != path.Dir(e.Path) {
		if err := a.flush(); err != nil {
			return err
		}
	}
	if !waits {
		return a.single(e)
	}
	a.waiting = append(a.waiting, e)
	if e.Type == File {
		a.files++
		a.names += len(name) + 1
	}
	return nil
}

// flush writes the entries that wait.
func (a *archiver) flush() error {
	waiting, files := a.waiting, a.files
	a.waiting, a.files, a.names = nil, 0, 0
	if files > 1 {
		done, err := a.together(waiting)
		if done || err != nil {
			return err
		}
	}
	for _, e := range waiting {
		if err := a.single(e); err != nil {
			return err
		}
	}
	return nil
}

// single writes an entry, or leaves it out.
func (a *archiver) single(e Entry) error {
	switch e.Type {
	case File:
		return a.file(e.Path)
	case Dir:
		return a.write(header(e, e.Path+"/", tar.TypeDir), nil)
	case Link:
		return a.write(header(e, e.Path, tar.TypeSymlink), nil)
	}
	a.skipped++
	return nil
}

// write writes an entry with its content.
func (a *archiver) write(h *tar.Header, content io.Reader) error {
	if err := a.out.WriteHeader(h); err != nil {
		return err
	}
	if content != nil {
		if _, err := io.CopyN(a.out, content, h.Size); err != nil {
			return a.s.cut(err)
		}
	}
	a.written++
	return nil
}

// file asks for one file.
func (a *archiver) file(name string) error {
	if err := a.s.say("c %s", escaped(name)); err != nil {
		return a.s.refused(err)
	}
	_, rest, err := a.s.expect("yes")
	if isRefusal(err) {
		a.skipped++
		return nil
	}
	if err != nil {
		return err
	}
	e, err := parseStat(name, rest)
	if err != nil || e.Type != File {
		return invalidAnswer("an entry that is no file")
	}
	return a.write(header(e, name, tar.TypeReg), a.s.out)
}

// together has the machine's tar send the files among the entries of a directory, and
// writes all of them in order. Where it isn't done, nothing has been written.
func (a *archiver) together(entries []Entry) (done bool, err error) {
	var names strings.Builder
	for _, e := range entries {
		if e.Type == File {
			names.WriteString(escaped(path.Base(e.Path)) + "/")
		}
	}
	if err := a.s.say("t %s %s", escaped(path.Dir(entries[0].Path)), names.String()); err != nil {
		return false, a.s.refused(err)
	}
	no, err := a.s.answer("yes")
	if no != "" || err != nil {
		a.alone = no == "unsupported"
		return false, err
	}
	sent := &counter{Reader: a.s.out}
	if err := a.merge(entries, tar.NewReader(sent)); err != nil {
		return false, err
	}
	if _, err := io.CopyN(io.Discard, sent, -sent.n&(tarRecordBytes-1)); err != nil {
		return false, a.s.cut(err)
	}
	_, _, err = a.s.expect("end")
	return true, err
}

// tarRecordBytes is what the length of a machine's tar is a multiple of.
const tarRecordBytes = 8 << 10

type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// merge writes entries in order, the files as in has them: what it lacks is left out.
func (a *archiver) merge(entries []Entry, in *tar.Reader) error {
	for {
		h, err := in.Next()
		switch {
		case err == io.EOF:
			return a.passOver(entries)
		case err == tar.ErrHeader:
			return invalidAnswer("a tar that is none")
		case err != nil:
			return a.s.cut(err)
		}
		at := indexOfFile(entries, h.Name)
		if at < 0 {
			return invalidAnswer("a tar of other files")
		}
		if err := a.passOver(entries[:at]); err != nil {
			return err
		}
		if err := a.entry(entries[at].Path, h, in); err != nil {
			return err
		}
		entries = entries[at+1:]
	}
}

func indexOfFile(entries []Entry, name string) int {
	for i, e := range entries {
		if e.Type == File && path.Base(e.Path) == name {
			return i
		}
	}
	return -1
}

// passOver writes entries of which the files are not to be had.
func (a *archiver) passOver(entries []Entry) error {
	for _, e := range entries {
		if e.Type == File {
			a.skipped++
			continue
		}
		if err := a.single(e); err != nil {
			return err
		}
	}
	return nil
}

// entry writes a file as the machine's tar has it, unless it is no file any more.
func (a *archiver) entry(name string, h *tar.Header, content io.Reader) error {
	if h.Typeflag != tar.TypeReg {
		a.skipped++
		return nil
	}
	if h.Uid < 0 || h.Gid < 0 || h.Mode < 0 || isSparse(h) {
		return invalidAnswer("a tar with numbers that are none")
	}
	e := Entry{Type: File, Size: h.Size, Mode: uint32(h.Mode & modeBits), ModTime: h.ModTime.UTC(), UID: h.Uid, GID: h.Gid}
	return a.write(header(e, name, tar.TypeReg), content)
}

// isSparse tells of a file that is longer than what is sent of it.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}
