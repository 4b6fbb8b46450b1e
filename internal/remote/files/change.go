package files

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"sallyport/client/sallyport"
)

// Change is what to set of a file or directory; nil leaves it.
type Change struct {
	Mode     *uint32
	ModTime  *time.Time
	UID, GID *int
}

// Change sets mode, time and owner of what is at path, by links too: of that which was
// opened. ready is as Put.Ready. What the user can't open isn't changed: permission_denied.
func (t *Tree) Change(ctx context.Context, path string, c Change, ready func(*Entry) error) (entry Entry, err error) {
	s := t.start(ctx, script(targetPart, changePart), path)
	defer func() { err = cmp.Or(err, s.close()) }()
	if _, err := s.agree(path, ready, c.how); err != nil {
		return Entry{}, err
	}
	return s.done(path)
}

// how is what the script is told to set.
func (c Change) how(*Entry) string {
	return fmt.Sprintf("%s %s %s", c.mode(), stamp(c.ModTime), c.owner())
}

func (c Change) mode() string {
	if c.Mode == nil {
		return "-"
	}
	return fmt.Sprintf("%04o", *c.Mode&modeBits)
}

// owner is as chown takes it.
func (c Change) owner() string {
	owner := ""
	if c.UID != nil {
		owner = strconv.Itoa(*c.UID)
	}
	if c.GID != nil {
		owner += ":" + strconv.Itoa(*c.GID)
	}
	if owner == "" {
		return "-"
	}
	return owner
}

// agree reads what is there, nil for nothing, asks ready, and lets the script go on as how
// says.
func (s *talk) agree(path string, ready func(*Entry) error, how func(old *Entry) string) (old *Entry, err error) {
	if old, err = s.at(path); err != nil {
		return nil, err
	}
	if ready != nil {
		if err := ready(old); err != nil {
			_ = s.say("%s", unready(err)) // nothing happens without go; the reason is ready's
			return nil, err
		}
	}
	if err := s.say("go %s", how(old)); err != nil {
		return nil, s.unknown(err)
	}
	return old, nil
}

// unready is what a script is told that is to do nothing. What isn't what its digest says is
// of no use, and isn't kept.
func unready(err error) string {
	if sallyport.CodeOf(err) == sallyport.CodeDigestMismatch {
		return "drop"
	}
	return "stop"
}

// asIs is how of what is done in one way alone.
func asIs(*Entry) string { return "-" }

// Mkdir makes a directory, and its parents, 0755. found tells that it was there. It
// returns exists where something else is.
func (t *Tree) Mkdir(ctx context.Context, path string, mode uint32) (entry Entry, found bool, err error) {
	s := t.start(ctx, script(targetPart, mkdirPart), path, fmt.Sprintf("%04o", mode&0o777))
	defer func() { err = cmp.Or(err, s.close()) }()
	word, rest, err := s.expect("made", "found")
	if err != nil {
		return Entry{}, false, err
	}
	entry, err = parseStat(path, rest)
	if err != nil {
		return Entry{}, false, err
	}
	return entry, word == "found", nil
}

// Remove removes what is at path; of a link the link. A directory that isn't empty goes
// only recursively, its names one by one, and no link is followed. It returns how many
// entries were removed, also beside an error.
func (t *Tree) Remove(ctx context.Context, path string, recursive bool, ready func(*Entry) error) (removed int64, err error) {
	how := ""
	if recursive {
		how = "recursive"
	}
	s := t.start(ctx, script(targetPart, walkPart, treePart, removePart), path, how)
	defer func() { err = cmp.Or(err, s.close()) }()
	if _, err := s.agree(path, ready, asIs); err != nil {
		return 0, err
	}
	for {
		word, rest, err := s.expect("removed", "end")
		if err != nil {
			return removed, s.unknown(err)
		}
		if word == "end" {
			return removed, nil
		}
		n, err := strconv.ParseInt(rest, 10, 64)
		if err != nil || n < 0 {
			return removed, invalidAnswer("a count that is no number")
		}
		removed += n
	}
}
