package files

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"strconv"
	"unicode/utf8"
)

// Match is a line of a file that holds what was searched for.
type Match struct {
	// Line counts from 1.
	Line int64
	// Text is the line without its end, cut at matchBytesMax on a character border.
	Text []byte
}

// Bounds of what a search tells of one file.
const (
	matchBytesMax = 512
	matchesMax    = 100
)

// Search walks, and calls found for each file that holds text, byte for byte, with its
// matches. Files with a NUL byte in their first 8 KiB are left out, and so are those that
// can't be read. w.Each is called for every entry first, and says whether it is searched.
func (t *Tree) Search(ctx context.Context, w Walk, text string, found func(Entry, []Match) error) (err error) {
	s, err := t.serve(ctx, w.Path, text)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, s.close()) }()
	each := w.Each
	w.Each = func(e Entry) error {
		if err := each(e); err != nil || e.Type != File {
			return skipped(err)
		}
		matches, err := s.matches(relative(w.Path, e.Path))
		if err != nil || len(matches) == 0 {
			return err
		}
		return found(e, matches)
	}
	return w.run(s)
}

// ErrSkip keeps Search from looking into an entry.
var ErrSkip = errors.New("files: skip")

func skipped(err error) error {
	if errors.Is(err, ErrSkip) {
		return nil
	}
	return err
}

func relative(base, path string) string {
	if base == "" {
		return path
	}
	return path[len(base)+1:]
}

// matches searches one file. One that can't be read has none.
func (s *talk) matches(below string) ([]Match, error) {
	if err := s.say("g %s", escaped(below)); err != nil {
		return nil, s.refused(err)
	}
	if _, _, err := s.expect("yes"); err != nil {
		if isRefusal(err) {
			return nil, nil
		}
		return nil, err
	}
	var matches []Match
	for {
		line, err := s.shortLine(matchBytesMax + 32)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(line, []byte("//")) {
			return matches, nil
		}
		number, text, ok := bytes.Cut(line, []byte(":"))
		n, err := strconv.ParseInt(string(number), 10, 64)
		if !ok || err != nil || n < 1 || len(matches) >= matchesMax {
			return nil, invalidAnswer("a match that is none")
		}
		matches = append(matches, Match{n, bytes.Clone(cutText(text, matchBytesMax))})
	}
}

// shortLine reads a line of any length, and returns its beginning without its end.
func (s *talk) shortLine(most int) ([]byte, error) {
	var begin []byte
	for {
		part, err := s.out.ReadSlice('\n')
		if room := most - len(begin); room > 0 {
			begin = append(begin, part[:min(room, len(part))]...)
		}
		switch {
		case err == nil:
			return bytes.TrimSuffix(begin, []byte("\n")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, s.cut(err)
		}
	}
}

// cutText cuts p after at most n bytes, not within a character.
func cutText(p []byte, n int) []byte {
	if len(p) <= n {
		return p
	}
	for cut := n; cut > n-utf8.UTFMax; cut-- {
		if utf8.RuneStart(p[cut]) {
			return p[:cut]
		}
	}
	return p[:n]
}
