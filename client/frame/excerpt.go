package frame

import (
	"bytes"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Excerpt keeps of one output stream the first and the newest bytes, and counts what comes
// between them. What it keeps is either written when the command has ended (Write, and
// WriteFrame), or the first bytes go out as they come (Append, and WriteRest). A stream that
// is no longer than both parts together comes whole. It is not safe for concurrent use.
type Excerpt struct {
	as         Encoding
	name       string
	head, tail int64
	total      int64
	first      []byte  // what Write has kept of the head
	going      *Stream // the head, as Append sends it
	newest     newest
}

// NewExcerpt returns an Excerpt of the output stream called name: of its first head and its
// newest tail bytes. It holds no more memory than those, or twice what came.
func NewExcerpt(as Encoding, name string, head, tail int64) *Excerpt {
	return &Excerpt{as: as, name: name, head: head, tail: tail, going: NewStream(as, name, math.MaxInt64), newest: newest{max: tail}}
}

// Total is how many bytes have come.
func (e *Excerpt) Total() int64 { return e.total }

// Truncated tells whether some of them are left out.
func (e *Excerpt) Truncated() bool { return e.total > e.head+e.tail }

// Held is how much memory it holds.
func (e *Excerpt) Held() int64 { return int64(cap(e.first) + cap(e.newest.ring)) }

// Len is how many bytes are kept. A frame takes up to six times as many.
func (e *Excerpt) Len() int { return len(e.first) + e.newest.len() }

// Write takes p. It always succeeds.
func (e *Excerpt) Write(p []byte) (int, error) {
	head, rest := e.split(p)
	e.first = append(e.first, head...)
	e.newest.write(rest)
	return len(p), nil
}

// split counts p, and says what of it belongs to the head.
func (e *Excerpt) split(p []byte) (head, rest []byte) {
	n := min(max(0, e.head-e.total), int64(len(p)))
	e.total += int64(len(p))
	return p[:n], p[n:]
}

// WriteFrame writes the one frame of what Write has kept, in parts, or nothing when the
// stream was empty.
func (e *Excerpt) WriteFrame(w io.Writer) error {
	if e.total == 0 {
		return nil
	}
	first, last := e.first, e.newest.bytes()
	f := piece{as: e.as, name: e.name}
	var between []byte
	if e.Truncated() {
		first, last = border(first, false), behindBorder(last)
		f.omitted = e.total - int64(len(first)+len(last))
		between = omittedMark(f.omitted)
	}
	parts := [][]byte{first, between, last}
	f.length, f.text = len(first)+len(between)+len(last), isText(parts)
	return f.writeParts(w, join(parts))
}

// Append appends the frame of what of p belongs to the head, if that gives rise to one, and
// returns dst.
func (e *Excerpt) Append(dst, p []byte) []byte {
	head, rest := e.split(p)
	e.newest.write(rest)
	return e.going.Append(dst, head)
}

// WriteRest writes, of an Excerpt that Append has sent the head of, what is left: how much is
// omitted, and the newest bytes. The stream has ended.
func (e *Excerpt) WriteRest(w io.Writer) error {
	last := e.newest.bytes()
	if e.Truncated() {
		last = behindBorder(last)
		var out []byte
		sent := min(e.head, e.total)
		if e.going.binary {
			out = e.going.Finish(nil)
		} else { // a character that the border cuts is left out
			sent -= int64(len(e.going.held))
		}
		e.going = NewStream(e.as, e.name, math.MaxInt64)
		out = e.as.appendOmitted(out, e.name, sent, e.total-sent-int64(len(last)))
		if _, err := w.Write(out); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(last, partBytes) {
		if _, err := w.Write(e.going.Append(nil, part)); err != nil {
			return err
		}
	}
	return e.going.WriteRest(w)
}

// omittedMark stands in place of what is left out, where nothing else can tell.
func omittedMark(n int64) []byte {
	return []byte("\n[" + strconv.FormatInt(n, 10) + " bytes omitted]\n")
}

// behindBorder cuts data, the newest bytes, at its first border between characters when it is
// UTF-8 from there on, and leaves it whole otherwise.
func behindBorder(data []byte) []byte {
	n := 0
	for n < min(utf8.UTFMax-1, len(data)) && !utf8.RuneStart(data[n]) {
		n++
	}
	if utf8.Valid(data[n:]) {
		return data[n:]
	}
	return data
}

// isText tells whether the parts, one behind the other, are UTF-8.
func isText(parts [][]byte) bool {
	var held []byte // the beginning of a character
	for _, p := range parts {
		for len(held) > 0 && len(p) > 0 {
			held, p = append(held, p[0]), p[1:]
			if utf8.FullRune(held) {
				if !utf8.Valid(held) {
					return false
				}
				held = nil
			}
		}
		whole := len(p) - partial(p)
		if !utf8.Valid(p[:whole]) {
			return false
		}
		held = append(held, p[whole:]...)
	}
	return len(held) == 0
}

func join(parts [][]byte) io.Reader {
	readers := make([]io.Reader, 0, len(parts))
	for _, p := range parts {
		readers = append(readers, bytes.NewReader(p))
	}
	return io.MultiReader(readers...)
}

// newest is the newest bytes of a stream, max at most.
type newest struct {
	max   int64
	ring  []byte // the oldest byte of a full one stands at next
	next  int
	count int64 // of all that came
}

func (n *newest) len() int { return len(n.ring) }

// write keeps p, and drops the oldest bytes where it must.
func (n *newest) write(p []byte) {
	if n.count += int64(len(p)); n.max == 0 {
		return
	}
	if int64(len(p)) > n.max {
		p = p[int64(len(p))-n.max:]
	}
	if room := int(n.max) - len(n.ring); room > 0 {
		grown := p[:min(room, len(p))]
		if need := len(n.ring) + len(grown); need > cap(n.ring) {
			n.ring = append(make([]byte, 0, min(n.max, int64(max(need, 2*cap(n.ring))))), n.ring...)
		}
		n.ring, p = append(n.ring, grown...), p[len(grown):]
	}
	for len(p) > 0 {
		copied := copy(n.ring[n.next:], p)
		p, n.next = p[copied:], (n.next+copied)%len(n.ring)
	}
}

// bytes are those kept, in order; they are turned in place.
func (n *newest) bytes() []byte {
	slices.Reverse(n.ring[:n.next])
	slices.Reverse(n.ring[n.next:])
	slices.Reverse(n.ring)
	n.next = 0
	return n.ring
}
