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

// chunkMax is how many names of a directory a machine is asked for at once, and of those that
// begin with a dot again as many: what it tells of them takes some 30 MiB at the worst.
const chunkMax = 4000

// Walk goes through a directory: depth first, names in the order of their bytes, a
// directory before what is in it, without following links.
type Walk struct {
	// Path is the directory, which may be reached by links.
	Path string
	// Depth is how far below it: 1 is what is in it alone.
	Depth int
	// After is the path behind which it begins; empty is the beginning.
	After string
	// Chunk is how many entries of a directory the machine is asked for at once, at most
	// chunkMax, which is also what 0 stands for. A walk that ends early asks for no more
	// than it needs.
	Chunk int
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
	s := t.start(ctx, script(walkPart, servePart), path, text)
	if _, _, err := s.expect("ok"); err != nil {
		return nil, cmp.Or(err, s.close())
	}
	return s, nil
}

func (w Walk) run(s *talk) error {
	top, err := w.read(s, "", "")
	if err != nil {
		return err
	}
	if err = w.visit(s, "", top, 1); errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// read asks for the entries of the directory at, relative to w.Path, behind the name last, but
// for those that w.After leaves out.
func (w Walk) read(s *talk, at, last string) (chunk, error) {
	from := last
	if last == "" {
		from = w.nameIn(at)
	}
	count := chunkMax
	if w.Chunk > 0 {
		count = min(w.Chunk+1, chunkMax) // one of them is what it begins from
	}
	c, err := s.directory(cmp.Or(at, "."), from, count)
	if last != "" {
		c.entries = slices.DeleteFunc(c.entries, func(e Entry) bool { return e.Path <= last })
	}
	return c, err
}

// nameIn is the name in the directory at from which w.After lets the walk begin; empty is the
// first.
func (w Walk) nameIn(at string) string {
	below, ok := w.After, true
	for _, dir := range []string{w.Path, at} {
		if dir != "" && ok {
			below, ok = strings.CutPrefix(below, dir+"/")
		}
	}
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(below, "/")
	return name
}

// visit hands over the entries of the directory at, relative to w.Path, of which c is the
// first, and those below.
func (w Walk) visit(s *talk, at string, c chunk, depth int) error {
	for {
		for _, e := range c.entries {
			if err := w.entry(s, at, e, depth); err != nil {
				return err
			}
		}
		if c.last == "" {
			return nil
		}
		var err error
		if c, err = w.read(s, at, c.last); err != nil {
			if at != "" && isRefusal(err) {
				return nil // it is gone meanwhile, and what was left of it
			}
			return err
		}
	}
}

// entry hands over an entry of the directory at, and those below it.
func (w Walk) entry(s *talk, at string, e Entry, depth int) error {
	below := join(at, e.Path)
	e.Path = join(w.Path, below)
	if w.skips(e.Path) && !strings.HasPrefix(w.After, e.Path+"/") && w.After != e.Path {
		return nil
	}
	var inside chunk
	var unread error
	if e.Type == Dir && depth < w.Depth {
		inside, unread = w.read(s, below, "")
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
	return w.visit(s, below, inside, depth+1)
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

// chunk is entries of a directory, one behind the other.
type chunk struct {
	entries []Entry
	// last is the name up to which none is missing; empty stands for the end.
	last string
}

// directory asks for the entries of a directory from a name on, sorted, with their names as
// paths. The machine looks at count of them, and of those that begin with a dot. The server's
// own are left out.
func (s *talk) directory(below, from string, count int) (chunk, error) {
	if err := s.say("d %s %d %s", escaped(below), count, escaped("./"+from)); err != nil {
		return chunk{}, s.refused(err)
	}
	if _, _, err := s.expect("yes"); err != nil {
		return chunk{}, err
	}
	entries, err := s.records(2 * count)
	if err != nil {
		return chunk{}, err
	}
	targets, err := s.targets(2 * count)
	if err != nil {
		return chunk{}, err
	}
	last, err := s.nulTerminated()
	if err != nil {
		return chunk{}, err
	}
	if last != "" && (!isName(last) || last <= from) {
		return chunk{}, invalidAnswer("a directory that goes round")
	}
	for i := range entries {
		entries[i].Target = targets[entries[i].Path]
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return IsOwn(e.Path) || last != "" && e.Path > last })
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return chunk{slices.CompactFunc(entries, func(a, b Entry) bool { return a.Path == b.Path }), last}, nil
}

// IsOwn tells whether name is the server's own: it is neither shown nor taken.
func IsOwn(name string) bool { return strings.HasPrefix(name, ".sallyport") }

// records reads "./NAME FIELDS" a line, up to "//". A name may hold newlines, and no
// slash: so "\n./" and "\n//" are where a record ends.
func (s *talk) records(most int) ([]Entry, error) {
	var entries []Entry
	var record []byte
	for {
		line, err := s.out.ReadSlice('\n')
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, s.cut(err)
		case len(entries) > most || len(record) > lineMax:
			return nil, invalidAnswer("more entries than were asked for")
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
func (s *talk) targets(most int) (map[string]string, error) {
	targets := map[string]string{}
	for {
		name, err := s.nulTerminated()
		if err != nil || name == "" {
			return targets, err
		}
		target, err := s.nulTerminated()
		if err != nil {
			return nil, err
		}
		if len(targets) >= most {
			return nil, invalidAnswer("more links than were asked for")
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
