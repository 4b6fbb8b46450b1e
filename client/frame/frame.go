// Package frame is the framing of an exec's answer, both ways: output becomes
// frames, and frames become output again. There are four encodings of the same
// frames; the first is the default:
//
//	{"stream":"stdout","data":"hello\n","truncated":false}
//	{"stream":"stderr","data":"/w==","truncated":false,"encoding":"base64"}
//	{"exit_code":0,"duration_ms":12}
//
// No byte of output is replaced or lost: what is UTF-8 travels as text, all
// else as base64. The escaping and its reverse are written by hand, since
// encoding/json would halve a stream's rate; fuzzing holds them equal to it.
package frame

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// Stream turns the bytes of one output stream into frames as they come. It
// holds at most three bytes back: a character that a chunk's border has cut.
// It is not safe for concurrent use.
type Stream struct {
	as      Encoding
	name    string
	max     int64
	total   int64
	held    []byte // the beginning of a character whose rest has not come
	scratch []byte
	binary  bool // some of the output so far was not UTF-8
	cut     bool
}

// NewStream returns a Stream for the output stream called name, which is cut
// after max bytes.
func NewStream(as Encoding, name string, max int64) *Stream {
	return &Stream{as: as, name: name, max: max}
}

// Total is how many bytes have come, whatever the cap let through.
func (s *Stream) Total() int64 { return s.total }

// Truncated tells whether the stream was cut.
func (s *Stream) Truncated() bool { return s.cut }

// Append appends the frame of p to dst, if p gives rise to one, and returns dst.
func (s *Stream) Append(dst, p []byte) []byte {
	room := s.max - s.total
	s.total += int64(len(p))
	if s.cut || len(p) == 0 {
		return dst
	}
	if int64(len(p)) > room {
		p = p[:room]
		s.cut = true
	}
	data := s.join(p)
	if s.cut {
		data = border(data, s.binary)
		return s.as.appendOutput(dst, s.name, data, utf8.Valid(data), s.max, true)
	}
	whole := len(data) - partial(data)
	s.held = append(s.held[:0], data[whole:]...)
	if whole == 0 {
		return dst
	}
	isText := utf8.Valid(data[:whole])
	s.binary = s.binary || !isText
	return s.as.appendOutput(dst, s.name, data[:whole], isText, s.max, false)
}

// Finish appends the frame of what was held back, if anything was, and returns
// dst. The stream has ended: nothing is appended after it.
func (s *Stream) Finish(dst []byte) []byte {
	if s.cut || len(s.held) == 0 {
		return dst
	}
	dst = s.as.appendOutput(dst, s.name, s.held, utf8.Valid(s.held), s.max, false)
	s.held = s.held[:0]
	return dst
}

// WriteRest writes what Finish appends.
func (s *Stream) WriteRest(w io.Writer) error {
	_, err := w.Write(s.Finish(nil))
	return err
}

// join puts the held bytes before p. It copies only when there are some.
func (s *Stream) join(p []byte) []byte {
	if len(s.held) == 0 {
		return p
	}
	s.scratch = append(append(s.scratch[:0], s.held...), p...)
	s.held = s.held[:0]
	return s.scratch
}

// Buffer collects one output stream whole, up to its cap, for an answer that is
// written when the command has ended. It is not safe for concurrent use.
type Buffer struct {
	as    Encoding
	name  string
	max   int64
	total int64
	data  []byte
}

// NewBuffer returns a Buffer for the output stream called name, which is cut
// after max bytes. It holds no more memory than twice what came, nor than max.
func NewBuffer(as Encoding, name string, max int64) *Buffer {
	return &Buffer{as: as, name: name, max: max}
}

// Write takes p. It always succeeds: bytes past the cap are counted and dropped.
func (b *Buffer) Write(p []byte) (int, error) {
	room := b.max - int64(len(b.data))
	b.total += int64(len(p))
	kept := p[:min(int64(len(p)), room)]
	if need := len(b.data) + len(kept); need > cap(b.data) {
		// Doubled, since append would copy a large one twenty times, and leave as much.
		b.data = append(make([]byte, 0, min(b.max, int64(max(need, 2*cap(b.data))))), b.data...)
	}
	b.data = append(b.data, kept...)
	return len(p), nil
}

// Held is how much memory it holds.
func (b *Buffer) Held() int64 { return int64(cap(b.data)) }

// Total is how many bytes have come, whatever the cap let through.
func (b *Buffer) Total() int64 { return b.total }

// Truncated tells whether the stream was cut.
func (b *Buffer) Truncated() bool { return b.total > b.max }

// Len is how many bytes are kept. A frame takes up to six times as many.
func (b *Buffer) Len() int { return len(b.data) }

// WriteFrame writes the one frame of the stream, or nothing when the stream was
// empty, in parts, so that it never stands in memory whole.
func (b *Buffer) WriteFrame(w io.Writer) error {
	if b.total == 0 {
		return nil
	}
	data := b.data
	if b.Truncated() {
		data = border(data, false)
	}
	f := b.as.frameOf(b.name, len(data), utf8.Valid(data), b.max, b.Truncated())
	return f.writeParts(w, bytes.NewReader(data))
}

// partBytes is how much output is written down at a time; three divides it.
const partBytes = 48 << 10

// border cuts data, the output up to the cap, at the last border between
// characters when it is UTF-8 up to there, and leaves it whole otherwise.
func border(data []byte, binary bool) []byte {
	whole := data[:len(data)-partial(data)]
	if binary || !utf8.Valid(whole) {
		return data
	}
	return whole
}

// partial is how many bytes at the end of data, at most three, begin a
// character whose rest is missing.
func partial(data []byte) int {
	for n := 1; n <= utf8.UTFMax-1 && n <= len(data); n++ {
		tail := data[len(data)-n:]
		if !utf8.RuneStart(tail[0]) {
			continue
		}
		if utf8.FullRune(tail) {
			return 0
		}
		return n
	}
	return 0
}
