package files

import (
	"cmp"
	"context"
	"io"

	"sallyport/client/sallyport"
)

// AttachmentPath is where an attachment is, below the root.
func AttachmentPath(id, name string) string { return ".sallyport/attachments/" + id + "/" + name }

// Attach makes content the file of a new attachment, in a directory that only the user can
// enter. size is how much content there is, -1 where that isn't known; content's error
// leaves nothing there, and is returned. No link is followed below the root: invalid_path.
//
// It returns Read's codes, no_space, or exec_transport when it isn't known whether the file
// is there.
func (t *Tree) Attach(ctx context.Context, id, name string, content io.Reader, size int64) (err error) {
	s := t.start(ctx, script(walkPart, treePart, denPart, attachPart), id, name)
	defer func() { err = cmp.Or(err, s.close()) }()
	if _, _, err := s.expect("ok"); err != nil {
		return err
	}
	sent, err := s.send(content, size)
	if err != nil {
		return err
	}
	if err := s.say("end %d", sent); err != nil {
		return s.refused(err)
	}
	if _, _, err := s.expect("done"); err != nil {
		return s.unknown(err)
	}
	return nil
}

// ReadAttachment is Read for the file of an attachment: by no link below the root.
func (t *Tree) ReadAttachment(ctx context.Context, id, name string, mayStop bool, want func(e Entry, head []byte) (Span, io.Writer, error)) (written int64, err error) {
	return t.read(ctx, script(denPart, fetchPart, sendPart), AttachmentPath(id, name), mayStop, want, id, asking(mayStop), name)
}

// Detach removes the files of attachments, and their directories with whatever else is
// there; that nothing is there is no error. Of several errors it returns the first.
func (t *Tree) Detach(ctx context.Context, ids ...string) (err error) {
	s := t.start(ctx, script(walkPart, treePart, denPart, detachPart), ids...)
	defer func() { err = cmp.Or(err, s.close()) }()
	var first error
	for range ids {
		if err := s.detached(); err != nil && !IsAttachmentMissing(err) {
			first = cmp.Or(first, s.unknown(err))
		}
	}
	return first
}

// detached reads what became of one attachment.
func (s *talk) detached() error {
	for {
		if word, _, err := s.expect("removed", "end"); err != nil || word == "end" {
			return err
		}
	}
}

// IsAttachmentMissing tells whether an error says that the file of an attachment is not
// there.
func IsAttachmentMissing(err error) bool {
	switch sallyport.CodeOf(err) {
	case sallyport.CodeFileNotFound, sallyport.CodeNotADirectory, sallyport.CodeNotAFile:
		return true
	}
	return false
}
