package files

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"

	"sallyport/client/sallyport"
)

// Span is a part of a file's content, in bytes.
type Span struct{ Offset, Length int64 }

// Read opens a file below the root, by links too, and hands its entry and the beginning of
// its content, SniffBytes of it or all, to want, which says what to send, or why nothing:
// without mayStop that is all of the content. It goes to what want returns; Read returns
// once all of the span is written there. It returns how much was written, also beside an
// error: a short file is never a whole one.
//
// It returns invalid_path, file_not_found, is_a_directory, not_a_file, permission_denied,
// invalid_root, files_unsupported, file_io, want's error, or what kept the machine from
// answering.
func (t *Tree) Read(ctx context.Context, path string, mayStop bool, want func(e Entry, head []byte) (Span, io.Writer, error)) (written int64, err error) {
	return t.read(ctx, script(readPart, sendPart), path, mayStop, want, path, asking(mayStop))
}

// asking is what a script is told of whether it is to wait for what to send.
func asking(mayStop bool) string {
	if mayStop {
		return "ask"
	}
	return "go"
}

// read runs a script that sends a content, and is Read otherwise.
func (t *Tree) read(ctx context.Context, script, path string, mayStop bool, want func(e Entry, head []byte) (Span, io.Writer, error), args ...string) (written int64, err error) {
	s := t.start(ctx, script, args...)
	defer func() { err = cmp.Or(err, s.close()) }()
	_, rest, err := s.expect("ok")
	if err != nil {
		return 0, err
	}
	entry, err := parseStat(path, rest)
	if err != nil {
		return 0, err
	}
	if entry.Type != File {
		return 0, refusal("notfile")
	}
	head, err := s.head(entry.Size, mayStop)
	if err != nil {
		return 0, err
	}
	span, to, err := want(entry, head)
	if err != nil {
		if mayStop {
			_ = s.say("stop") // the reason is told; that the machine has gone meanwhile is no news
		}
		return 0, err
	}
	if mayStop {
		if err := s.say("%d %d", span.Offset, span.Length); err != nil {
			return 0, s.cut(err)
		}
	}
	written, err = io.CopyN(to, s.out, span.Length)
	if err == io.EOF {
		err = sallyport.Errorf(sallyport.CodeFileIO, "the file ended early: it was cut while it was read").Because(fmt.Errorf("%d of %d bytes", written, span.Length))
	}
	return written, err
}

// SniffBytes is how much of a content tells its type (WHATWG, MIME Sniffing: 1,445 at
// most, of which net/http takes 512).
const SniffBytes = 512

// head is the beginning of a content of size bytes: apart from it, or still to come.
func (s *talk) head(size int64, apart bool) ([]byte, error) {
	head, err := s.out.Peek(int(min(size, SniffBytes)))
	if err != nil {
		return nil, s.cut(err)
	}
	head = bytes.Clone(head)
	if apart {
		_, _ = s.out.Discard(len(head)) // it was peeked at
	}
	return head, nil
}

// Stat looks at the entry at path itself, which may be a link. It returns file_not_found
// and the like; see Read.
func (t *Tree) Stat(ctx context.Context, path string) (entry Entry, err error) {
	s := t.start(ctx, script(statPart), path)
	defer func() { err = cmp.Or(err, s.close()) }()
	_, rest, err := s.expect("ok")
	if err != nil {
		return Entry{}, err
	}
	if entry, err = parseStat(path, rest); err != nil {
		return Entry{}, err
	}
	if entry.Type != Link {
		return entry, nil
	}
	target, err := io.ReadAll(io.LimitReader(s.out, pathMax+1))
	if err == nil && len(target) > pathMax {
		err = invalidAnswer("a link's target is too long")
	}
	entry.Target = string(target)
	return entry, err
}

// pathMax is Linux's PATH_MAX, in bytes.
const pathMax = 4096
