package recording

import (
	"encoding/json"
	"errors"
	"io"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
)

// Reader reads a recording: asciicast v2. The caller closes it. It is not safe for
// concurrent use.
//
// Read returns io.EOF behind all that there is: of a recording that a crash has cut, what was
// written. A file that was changed since is ErrBroken, and never a shorter recording.
type Reader struct {
	// Info describes what is read, as it was at Open.
	Info Info

	file   *opened
	frames uint64
	left   []byte
	err    error
}

// Open opens a recording of an organisation for reading. It returns ErrNotFound, ErrBroken, or
// why its key can't be opened.
func (a *Archive) Open(orgID, recordingID string) (*Reader, error) {
	workspaceID, err := a.workspaceOf(orgID, recordingID)
	if err != nil {
		return nil, err
	}
	o, err := a.open(orgID, workspaceID, recordingID)
	if err != nil {
		return nil, err
	}
	return &Reader{Info: o.info, file: o}, nil
}

// Read reads the next bytes.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.left) == 0 && r.err == nil {
		r.left, r.err = r.next()
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	if len(r.left) > 0 || n > 0 {
		return n, nil
	}
	return 0, r.err
}

// next reads a frame of data.
func (r *Reader) next() ([]byte, error) {
	kind, content, err := readFrame(r.file.file, r.file.aead, r.frames)
	isCut := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case isCut && r.file.end == nil:
		return nil, io.EOF
	case isCut || err == nil && kind == kindHeader:
		return nil, ErrBroken
	case err != nil:
		return nil, err
	case kind == kindData:
		r.frames++
		return content, nil
	}
	var last end // also of one that has ended since Open
	if json.Unmarshal(content, &last) != nil || last.Frames != r.frames {
		return nil, ErrBroken
	}
	return nil, io.EOF
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.file.Close() }

// unreadable is what the name of a file tells of a recording that can't be read.
func unreadable(orgID, workspaceID, recordingID string) Info {
	made, _ := id.Time(recordingID)
	return Info{
		Header:  Header{ID: recordingID, OrgID: orgID, WorkspaceID: workspaceID, CreatedAt: made},
		IsEnded: true, Status: sallyport.StatusError,
	}
}
