package files

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport/client/sallyport"
)

// Bounds of what a machine may tell of one directory.
const (
	// dirEntriesMax is more than people keep in a directory, and some 300 MiB of memory
	// at the worst.
	dirEntriesMax = 200_000
	// dirBytesMax bounds the names and fields of a directory.
	dirBytesMax = 64 << 20
)

// Walk goes through a directory: depth first, names in the order of their bytes, a
// directory before what is in it, without following links.
type Walk struct {
	// Path is the directory, which may be reached by links.
	Path string
	// Depth is how far below it: 1 is what is in it alone.
	Depth int
	// After is the path behind which it begins; empty is the beginning.
	After string
	// Each is called with each entry. It returns ErrStop to end the walk.
	Each func(Entry) error
}

// ErrStop ends a walk without a failure.
var ErrStop = errors.New("files: stop")

// List walks. It returns Read's codes, or the error of w.Each. A directory below that
// can't be read is an entry that says so.
func (t *Tree) List(ctx context.Context, w Walk) (err error) {
	s, err := t.serve(ctx, w.Path, "")
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, s.close()) }()
	return w.run(s)
}

// serve starts the script that answers what is asked for below a directory. text is what
// searches are for. The caller calls close.
func (t *Tree) serve(ctx context.Context, path, text string) (*talk, error) {
	s := t.start(ctx, script(targetPart, treePart, servePart), path, text)
	if _, _, err := s.expect("ok"); err != nil {
		return nil, cmp.Or(err, s.close())
	}
	return s, nil
}

func (w Walk) run(s *talk) error {
	top, err := s.directory(".")
	if err != nil {
		return err
	}
	if err = w.visit(s, "", top, 1); errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// visit hands over the entries of the directory at, relative to w.Path, and those below.
func (w Walk) visit(s *talk, at string, entries []Entry, depth int) error {
	for _, e := range entries {
		name := e.Path
		below := join(at, name)
		e.Path = join(w.Path, below)
		if w.skips(e.Path) && !strings.HasPrefix(w.After, e.Path+"/") && w.After != e.Path {
			continue
		}
		var inside []Entry
		var unread error
		if e.Type == Dir && depth < w.Depth {
			inside, unread = s.directory(below)
			if unread != nil && !isRefusal(unread) {
				return unread
			}
			e.Unreadable = unread != nil
		}
		if !w.skips(e.Path) {
			if err := w.Each(e); err != nil {
				return err
			}
		}
		if err := w.visit(s, below, inside, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// skips tells whether path is not behind w.After in the order of the walk: a directory
// comes before what is in it, and what is in it before its next sibling.
func (w Walk) skips(path string) bool {
	return w.After != "" && comparePaths(path, w.After) <= 0
}

// comparePaths compares name by name.
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func isRefusal(err error) bool {
	code := sallyport.CodeOf(err)
	return code == sallyport.CodePermissionDenied || code == sallyport.CodeFileNotFound || code == sallyport.CodeNotADirectory
}

// directory asks for the entries of a directory, sorted, with their names as paths. The
// server's own are left out.
func (s *talk) directory(below string) ([]Entry, error) {
	if err := s.say("d %s", escaped(below)); err != nil {
		return nil, s.refused(err)
	}
	if _, _, err := s.expect("yes"); err != nil {
		return nil, err
	}
	entries, err := s.records()
	if err != nil {
		return nil, err
	}
	targets, err := s.targets()
	if err != nil {
		return nil, err
	}
	for i := range entries {
		entries[i].Target = targets[entries[i].Path]
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return IsOwn(e.Path) })
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(entries, func(a, b Entry) bool { return a.Path == b.Path }), nil
}

// IsOwn tells whether name is the server's own: it is neither shown nor taken.
func IsOwn(name string) bool { return strings.HasPrefix(name, ".sallyport") }

// records reads "./NAME FIELDS" a line, up to "//". A name may hold newlines, and no
// slash: so "\n./" and "\n//" are where a record ends.
func (s *talk) records() ([]Entry, error) {
	var entries []Entry
	var record []byte
	total := 0
	for {
		line, err := s.out.ReadSlice('\n')
		total += len(line)
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, s.cut(err)
		case total > dirBytesMax || len(entries) > dirEntriesMax || len(record) > lineMax:
			return nil, sallyport.Errorf(sallyport.CodeFileIO, "a directory has more entries than can be listed, %d", dirEntriesMax)
		}
		if isStart := bytes.HasPrefix(line, []byte("./")) || bytes.HasPrefix(line, []byte("//")); isStart && len(record) > 0 {
			entry, err := parseRecord(record)
			if err != nil {
				return nil, err
			}
			entries, record = append(entries, entry), record[:0]
		}
		if bytes.Equal(line, []byte("//\n")) && len(record) == 0 {
			return entries, nil
		}
		record = append(record, line...)
	}
}

// parseRecord reads "./NAME FIELDS\n": the fields are the last words of it.
func parseRecord(record []byte) (Entry, error) {
	text := strings.TrimSuffix(string(record), "\n")
	at := len(text)
	for range statFields {
		if at = strings.LastIndexByte(text[:at], ' '); at < 0 {
			return Entry{}, invalidAnswer("a record without fields")
		}
	}
	name, ok := strings.CutPrefix(text[:at], "./")
	if !ok || !isName(name) {
		return Entry{}, invalidAnswer("a record with a name that is none")
	}
	return parseStat(name, text[at+1:])
}

// isName tells whether name may be one name on a machine.
func isName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\x00")
}

// targets reads the links' names and targets, a NUL behind each, up to an empty name.
func (s *talk) targets() (map[string]string, error) {
	targets := map[string]string{}
	total := 0
	for {
		name, err := s.nulTerminated()
		if err != nil || name == "" {
			return targets, err
		}
		target, err := s.nulTerminated()
		if err != nil {
			return nil, err
		}
		if total += len(name) + len(target); total > dirBytesMax {
			return nil, invalidAnswer("too many links")
		}
		targets[name] = target
	}
}

func (s *talk) nulTerminated() (string, error) {
	text, err := s.out.ReadSlice(0)
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(text) > pathMax+1:
		return "", invalidAnswer("a path without an end")
	case errors.Is(err, io.EOF):
		return "", s.cut(err)
	case err != nil:
		return "", err
	}
	return string(text[:len(text)-1]), nil
}

// escaped is a path as printf %b takes it, on one line.
func escaped(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c > ' ' && c < 0x7f && c != '\\' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, `\0%03o`, c)
	}
	return b.String()
}
