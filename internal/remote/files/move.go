package files

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"sallyport/internal/id"
)

// Placing is how something comes to a path that may be taken.
type Placing struct {
	// Overwrite lets it replace a file or a link, atomically; a directory never.
	Overwrite bool
	// Recursive, of a copy, takes directories.
	Recursive bool
	// Ready is asked with what is moved or copied before anything happens; it returns an
	// error to leave it so. Nil is always.
	Ready func(*Entry) error
}

func (p Placing) place() string {
	if p.Overwrite {
		return "any"
	}
	return "new"
}

func (p Placing) recursive() string {
	if p.Recursive {
		return "recursive"
	}
	return ""
}

// ready is Ready, which refuses a directory that would be in itself as well.
func (p Placing) ready(from, to string) func(*Entry) error {
	return func(e *Entry) error {
		if e != nil && e.Type == Dir && strings.HasPrefix(to+"/", from+"/") {
			return refusal("self")
		}
		if p.Ready == nil {
			return nil
		}
		return p.Ready(e)
	}
}

// errDevice: a move to another file system.
var errDevice = errors.New("files: another file system")

// Move gives what is at from, a link itself, the path to, whose parents are made. Across
// file systems it is copied, and then removed. It returns the new entry, or exists,
// invalid_to for a directory that would be in itself, and Read's codes.
func (t *Tree) Move(ctx context.Context, from, to string, p Placing) (Entry, error) {
	entry, err := t.rename(ctx, from, to, p)
	if !errors.Is(err, errDevice) {
		return entry, err
	}
	p.Recursive = true
	if entry, err = t.Copy(ctx, from, to, p); err != nil {
		return Entry{}, err
	}
	_, err = t.Remove(ctx, from, true, nil)
	return entry, err
}

func (t *Tree) rename(ctx context.Context, from, to string, p Placing) (entry Entry, err error) {
	s := t.start(ctx, script(targetPart, treePart, movePart), from, to, p.place())
	defer func() { err = cmp.Or(err, s.close()) }()
	if _, err := s.agree(from, p.ready(from, to), asIs); err != nil {
		return Entry{}, err
	}
	return s.done(to)
}

// Copy copies what is at from, a link itself, to the path to, on the machine: modes and
// times are kept, links stay links, what is neither file, directory nor link is left out.
// A directory needs Recursive: is_a_directory.
func (t *Tree) Copy(ctx context.Context, from, to string, p Placing) (entry Entry, err error) {
	s := t.start(ctx, script(targetPart, walkPart, treePart, copyPart), from, to, p.place(), p.recursive(), StagePrefix+id.New())
	defer func() { err = cmp.Or(err, s.close()) }()
	if _, err := s.agree(from, p.ready(from, to), asIs); err != nil {
		return Entry{}, err
	}
	return s.done(to)
}
