package frame

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"sallyport/client/sallyport"
)

// PieceBytesMax bounds one piece that a RawReader takes: the largest buffered
// stream and its marker.
const PieceBytesMax = 16<<20 + 4096

// RawReader reads the frames of one answer in encoding Raw. It is not safe for
// concurrent use.
type RawReader struct {
	r    *bufio.Reader
	seen int // bytes of r that the last frame's data stands in
	long []byte
	last bool
}

// NewRawReader returns a RawReader of the frames in r, which the caller closes.
func NewRawReader(r io.Reader) *RawReader {
	return &RawReader{r: bufio.NewReaderSize(r, 256<<10)}
}

// Next is as Reader.Next. Frame.Truncated is never set: the encoding doesn't tell.
func (r *RawReader) Next() (Frame, error) {
	for {
		kind, data, err := r.piece()
		switch {
		case err != nil:
			return Frame{}, err
		case r.last:
			return Frame{}, errors.New("frames: data after the last frame")
		case kind == kindLast:
			r.last = true
			return parseLast(data)
		case len(data) == 0:
			continue // a keep-alive
		case kind == kindStdout:
			return Frame{Stream: sallyport.Stdout, Data: data}, nil
		case kind == kindStderr:
			return Frame{Stream: sallyport.Stderr, Data: data}, nil
		}
		return Frame{}, fmt.Errorf("frames: a piece of unknown kind %d", kind)
	}
}

// piece reads one piece. Its data stands in the reader's own buffer when it fits.
func (r *RawReader) piece() (kind byte, data []byte, err error) {
	if _, err := r.r.Discard(r.seen); err != nil {
		return 0, nil, err
	}
	r.seen = 0
	var header [headerLen]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		if errors.Is(err, io.EOF) && !r.last {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[4:])
	if length > PieceBytesMax || header[1]|header[2]|header[3] != 0 {
		return 0, nil, errors.New("frames: not a piece of ours")
	}
	n := int(length)
	if n <= r.r.Size() {
		data, err = r.r.Peek(n)
		r.seen = n
	} else {
		if cap(r.long) < n {
			r.long = make([]byte, n)
		}
		data = r.long[:n]
		_, err = io.ReadFull(r.r, data)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return header[0], data, err
}

// parseLast reads a last frame.
func parseLast(line []byte) (Frame, error) {
	f, err := parseAny(line)
	if err == nil && f.Stream != "" {
		err = errors.New("frames: output in the place of the last frame")
	}
	return f, err
}

// CutMessage cuts the first piece off b, which holds output in encoding Raw, as a message of a
// WebSocket has it: one byte, 1 for stdout and 2 for stderr, and the output behind it. The
// message stands in b, and is overwritten with it.
func CutMessage(b []byte) (message, rest []byte) {
	end := headerLen + int(binary.BigEndian.Uint32(b[4:]))
	b[headerLen-1] = b[0]
	return b[headerLen-1 : end : end], b[end:]
}
