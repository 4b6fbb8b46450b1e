package gateway

import (
	"bytes"
	"context"
	"errors"
	"hash"
	"io"
	"time"

	"sallyport/internal/access"
	"sallyport/internal/limits"
	"sallyport/internal/remote/files"
	"sallyport/internal/store"
)

// intake is the content of an attachment on its way: it is counted, and none of it is passed
// on before there is room for it. It is an io.Reader, for one goroutine.
type intake struct {
	r    *attaching
	file *attached
	ctx  context.Context
	src  io.Reader
	// sizeMax is how much there can be of src; -1 where that isn't known.
	sizeMax int64

	piece []byte // made once, of limits.AttachmentPieceBytes
	have  []byte // what of piece is still to be passed on
	end   error  // of src
	read  int64
	sum   hash.Hash
	head  []byte

	reserved   int64
	reservedAt time.Time // zero is not yet
}

// Read implements io.Reader.
func (in *intake) Read(p []byte) (int, error) {
	if len(in.have) == 0 {
		if in.end != nil {
			return 0, in.end
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.have)
	in.have = in.have[n:]
	if n == 0 && len(p) > 0 {
		return 0, in.end
	}
	return n, nil
}

// fill takes the next piece in. A piece that is not full is the last.
func (in *intake) fill() error {
	if in.piece == nil {
		in.piece = make([]byte, limits.AttachmentPieceBytes)
	}
	n, err := io.ReadFull(in.src, in.piece)
	in.have = in.piece[:n]
	in.read += int64(n)
	if in.read > in.r.most {
		return in.r.tooLarge()
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		in.end = io.EOF
	case err != nil:
		return err
	}
	in.sum.Write(in.have)
	if len(in.head) == 0 {
		in.head = bytes.Clone(in.have[:min(n, files.SniffBytes)])
	}
	return in.room()
}

// room sees to it that there is room for what was read. Of a content that has more than a
// piece, there is room for all of it at once where its size is known: else two that come
// together could each have a part of what there is.
func (in *intake) room() error {
	if in.end == nil && in.reservedAt.IsZero() && in.sizeMax > in.read {
		if err := in.reserve(min(in.sizeMax, in.r.most)); err == nil {
			return nil
		}
	}
	if in.read <= in.reserved && time.Since(in.reservedAt) < limits.AttachmentReserveEvery && !in.reservedAt.IsZero() {
		return nil
	}
	return in.reserve(max(in.read, in.reserved))
}

// reserve sets so many bytes aside for the file. It returns no_space.
func (in *intake) reserve(size int64) error {
	a := in.file.record
	a.Size, a.CreatedAt = size, in.r.g.Now().UTC()
	a.ExpiresAt = a.CreatedAt.Add(limits.AttachmentReserveTime)
	switch err := in.r.g.Attachments.ReserveAttachment(in.ctx, a, in.r.room); {
	case errors.Is(err, store.ErrTooMany):
		return in.r.noSpace()
	case errors.Is(err, store.ErrNotFound):
		return access.WorkspaceNotFound()
	case err != nil:
		return access.Unavailable(err)
	}
	in.reserved, in.reservedAt = size, time.Now()
	return nil
}

// settle gives back what was reserved for more than there was.
func (in *intake) settle() {
	if in.reserved > in.read {
		_ = in.reserve(in.read) // what is kept of the file says the true size anyway
	}
}
