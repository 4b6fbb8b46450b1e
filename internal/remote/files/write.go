package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
)

// Put is how a file comes to its place.
type Put struct {
	// Mode is the file's; nil is the old file's without its set-id bits, or 0644.
	Mode *uint32
	// ModTime is the file's; nil is now.
	ModTime *time.Time
	// Stage names the file in which the content waits, beside its place; empty is a name
	// that nobody else has, of which nothing is kept when the content breaks off.
	Stage string
	// Resume takes up what is kept in Stage, which must be Offset bytes; else it begins anew.
	Resume bool
	Offset int64
	// Alone is called when the content has come whole, before what stands in the file's
	// place is looked at, and the function that it returns when the file is in its place,
	// or isn't: what must not happen between two such looks waits for it. Nil is nobody.
	Alone func() (done func())
	// Ready is called when the content has come whole, with what stands in the file's
	// place now, nil for nothing: it returns an error to leave that there. Nil is always.
	Ready func(old *Entry) error
	// New puts the file there only if nothing is: exactly one of many at once succeeds.
	New bool
}

// Write makes content the file at path, at once and whole: whoever reads it sees the old
// or the new file. Parents are made, 0755. It follows links, also the last. size is how
// much content there is, -1 where that isn't known; content's error leaves everything as it
// was, and is returned. created tells that nothing stood there.
//
// Beside Read's codes it returns exists, no_space, upload_offset_mismatch and Ready's
// error.
func (t *Tree) Write(ctx context.Context, path string, content io.Reader, size int64, put Put) (entry Entry, created bool, err error) {
	stage, offset := put.stage()
	s := t.start(ctx, script(targetPart, writePart), path, stage, offset)
	defer func() { err = cmp.Or(err, s.close()) }()
	if _, _, err := s.expect("ok"); err != nil {
		return Entry{}, false, err
	}
	sent, err := s.send(content, size)
	if err != nil {
		return Entry{}, false, err
	}
	if put.Alone != nil {
		defer put.Alone()()
	}
	if err := s.say("end %d", put.Offset+sent); err != nil {
		return Entry{}, false, s.refused(err)
	}
	old, err := s.agree(path, put.Ready, put.how)
	if err != nil {
		return Entry{}, false, err
	}
	entry, err = s.done(path)
	return entry, old == nil, err
}

// stage is the name in which the content waits, and how the script is to find it.
func (p Put) stage() (name, offset string) {
	switch {
	case p.Stage == "":
		return StagePrefix + id.New(), ""
	case !p.Resume:
		return p.Stage, "new"
	}
	return p.Stage, strconv.FormatInt(p.Offset, 10)
}

// Kept tells how much of an upload to path is kept in stage, and since when; 0 for nothing.
func (t *Tree) Kept(ctx context.Context, path, stage string) (size int64, since time.Time, err error) {
	s := t.start(ctx, script(targetPart, keptPart), path, stage)
	defer func() { err = cmp.Or(err, s.close()) }()
	_, rest, err := s.expect("ok")
	if sallyport.CodeOf(err) == sallyport.CodeFileNotFound {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	entry, err := parseStat(stage, rest)
	if err != nil || entry.Type != File {
		return 0, time.Time{}, invalidAnswer("an upload that is no file")
	}
	return entry.Size, entry.ModTime, nil
}

// StagePrefix begins every name that is the server's own.
const StagePrefix = ".sallyport-"

// how is what the script is told of the file that takes old's place.
func (p Put) how(old *Entry) string {
	place := "any"
	if p.New {
		place = "new"
	}
	return fmt.Sprintf("%04o %s %s", p.mode(old), stamp(p.ModTime), place)
}

func (p Put) mode(old *Entry) uint32 {
	switch {
	case p.Mode != nil:
		return *p.Mode & 0o777
	case old != nil && old.Type == File:
		return old.Mode &^ 0o6000
	}
	return 0o644
}

// stamp is a time as touch takes it behind an @; - leaves it.
func stamp(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

// pieceBytes is how much of a body of unknown length is sent at a time.
const pieceBytes = 1 << 20

// send sends content to a script that takes it in pieces, and returns how much it was.
func (s *talk) send(content io.Reader, size int64) (sent int64, err error) {
	if size >= 0 {
		return size, s.sendWhole(content, size)
	}
	piece := make([]byte, pieceBytes)
	for {
		n, err := io.ReadFull(content, piece)
		if n > 0 {
			if err := s.sendPiece(piece[:n]); err != nil {
				return sent, err
			}
			sent += int64(n)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return sent, nil
		}
		return sent, err
	}
}

func (s *talk) sendWhole(content io.Reader, size int64) error {
	if size == 0 {
		return nil
	}
	if err := s.say("%d", size); err != nil {
		return s.refused(err)
	}
	n, err := io.CopyN(toMachine{s.in}, content, size)
	if failed, ok := errors.AsType[machineError](err); ok {
		return s.refused(failed.error)
	}
	if err != nil {
		return fmt.Errorf("%d of %d bytes: %w", n, size, err)
	}
	return nil
}

func (s *talk) sendPiece(piece []byte) error {
	if err := s.say("%d", len(piece)); err != nil {
		return s.refused(err)
	}
	if _, err := s.in.Write(piece); err != nil {
		return s.refused(err)
	}
	return nil
}

// toMachine tells a writer's failure from a reader's.
type toMachine struct{ io.Writer }

type machineError struct{ error }

func (w toMachine) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = machineError{err}
	}
	return n, err
}

// refused is why a script takes nothing any more: what it said, or how it ended.
func (s *talk) refused(err error) error {
	if _, _, said := s.line(); said != nil {
		return said
	}
	return s.cut(err)
}

// at reads what stands in the place of what is about to be done; nil is nothing.
func (s *talk) at(path string) (*Entry, error) {
	_, rest, err := s.expect("at")
	if err != nil || rest == "" {
		return nil, err
	}
	entry, err := parseStat(path, rest)
	if err != nil {
		return nil, err
	}
	return &entry, nil
}

// done reads the entry that was made. Without it nobody knows whether it was.
func (s *talk) done(path string) (Entry, error) {
	_, rest, err := s.line()
	if err != nil {
		return Entry{}, s.unknown(err)
	}
	entry, err := parseStat(path, rest)
	if err != nil {
		return Entry{}, s.unknown(err)
	}
	return entry, nil
}

// unknown is the error of a change of which it isn't known whether it was made: a refusal
// of the script's says that it wasn't.
func (s *talk) unknown(err error) error {
	if known, ok := errors.AsType[*sallyport.Error](err); ok && known.Code != sallyport.CodeFileIO && known.Code != sallyport.CodeFilesUnsupported {
		return known
	}
	return sallyport.Errorf(sallyport.CodeExecTransport, "the connection to the machine broke while the change was made; look whether it was").WithStarted(true).Because(err)
}

func offsetMismatch(kept string) error {
	n, err := strconv.ParseInt(kept, 10, 64)
	if err != nil || n < 0 {
		return invalidAnswer("an offset that is no number")
	}
	e := sallyport.Errorf(sallyport.CodeUploadOffsetMismatch, "the upload has %d bytes so far: go on from there, or begin anew without Upload-Offset", n)
	e.UploadOffset = &n
	return e
}
