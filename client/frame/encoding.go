package frame

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"strconv"

	"sallyport/client/sallyport"
)

// Encoding is how frames are written down.
type Encoding int

// Encodings of frames.
const (
	// NDJSON is one JSON object a line.
	NDJSON Encoding = iota
	// SSE has the same objects as server-sent events: "frame", and for the last "end".
	SSE
	// Raw has the output's own bytes, each piece behind a header of 8 bytes: the
	// kind, three zeros, and the length, big-endian (Docker's multiplexed stream).
	// The last frame is a piece of kind kindLast.
	Raw
	// Docker is Raw without the last frame, which travels elsewhere.
	Docker
)

// Kinds of pieces in the raw encodings.
const (
	kindStdout = 1
	kindStderr = 2
	kindLast   = 4

	headerLen = 8
)

// AppendKeepalive appends what tells nothing, and keeps proxies from cutting a
// quiet stream.
func (e Encoding) AppendKeepalive(dst []byte) []byte {
	switch e {
	case SSE:
		return append(dst, ":\n\n"...)
	case Raw, Docker:
		return appendHeader(dst, kindStdout, 0)
	}
	return append(dst, '\n')
}

// AppendLast appends the last frame: last is a sallyport.ExecResult of a command
// that ran to its end, or the *sallyport.Error of one that could not be carried
// through.
func (e Encoding) AppendLast(dst []byte, v any) []byte {
	last := Last(v)
	switch e {
	case SSE:
		dst = append(dst, "event: end\ndata: "...)
		dst = append(dst, last...)
		return append(dst, "\n\n"...)
	case Raw:
		return append(appendHeader(dst, kindLast, len(last)), last...)
	case Docker:
		return dst
	}
	return append(append(dst, last...), '\n')
}

// Last is a last frame, an ExecResult or an *Error, as JSON on one line.
func Last(v any) []byte {
	last, err := json.Marshal(v)
	if err != nil {
		// The two types hold strings and numbers alone.
		panic("frame: " + err.Error())
	}
	return last
}

// appendOutput appends one frame with data, and the marker behind it when the
// stream was cut after max bytes. isText reports whether data is UTF-8.
func (e Encoding) appendOutput(dst []byte, name string, data []byte, isText bool, max int64, cut bool) []byte {
	f := e.frameOf(name, len(data), isText, max, cut)
	dst = f.appendHead(dst)
	dst = f.appendData(dst, data, true)
	return f.appendTail(dst)
}

// piece is one frame of output.
type piece struct {
	as     Encoding
	name   string
	length int // of the data, without the marker
	marker string
	text   bool // the data is UTF-8
	// omitted is how many bytes are left out of the data, which says so itself.
	omitted int64
	// offset is that of the first byte, told if hasOffset is set.
	offset    int64
	hasOffset bool
}

func (e Encoding) frameOf(name string, length int, isText bool, max int64, cut bool) piece {
	f := piece{as: e, name: name, length: length, text: isText}
	if cut {
		f.marker = "\n[output truncated at " + strconv.FormatInt(max, 10) + " bytes]"
	}
	return f
}

// appendOmitted appends the frame that says how many bytes are left out from a place on.
func (e Encoding) appendOmitted(dst []byte, name string, offset, omitted int64) []byte {
	if e == Raw || e == Docker {
		return e.appendOutput(dst, name, omittedMark(omitted), true, 0, false)
	}
	if e == SSE {
		dst = append(dst, "event: frame\ndata: "...)
	}
	dst = append(dst, `{"stream":"`+name+`","offset":`...)
	dst = append(strconv.AppendInt(dst, offset, 10), `,"omitted":`...)
	dst = strconv.AppendInt(dst, omitted, 10)
	if e == SSE {
		return append(dst, "}\n\n"...)
	}
	return append(dst, "}\n"...)
}

// raw tells whether output travels as it is.
func (f piece) raw() bool { return f.as == Raw || f.as == Docker }

func (f piece) appendHead(dst []byte) []byte {
	if f.raw() {
		kind := byte(kindStdout)
		if f.name == sallyport.Stderr {
			kind = kindStderr
		}
		return appendHeader(dst, kind, f.length+len(f.marker))
	}
	if f.as == SSE {
		dst = append(dst, "event: frame\ndata: "...)
	}
	dst = append(dst, `{"stream":"`...)
	dst = append(dst, f.name...)
	if f.hasOffset {
		dst = strconv.AppendInt(append(dst, `","offset":`...), f.offset, 10)
		return append(dst, `,"data":"`...)
	}
	return append(dst, `","data":"`...)
}

// appendData appends a part of the data: the last one with the marker behind it,
// the others of a length that three divides.
func (f piece) appendData(dst, part []byte, last bool) []byte {
	marker := ""
	if last {
		marker = f.marker
	}
	switch {
	case f.raw():
		return append(append(dst, part...), marker...)
	case f.text:
		return appendEscaped(appendEscaped(dst, part), []byte(marker))
	case marker != "":
		part = append(part[:len(part):len(part)], marker...)
	}
	return base64.StdEncoding.AppendEncode(dst, part)
}

func (f piece) appendTail(dst []byte) []byte {
	if f.raw() {
		return dst
	}
	dst = append(dst, `","truncated":`...)
	dst = strconv.AppendBool(dst, f.marker != "" || f.omitted > 0)
	if f.omitted > 0 {
		dst = strconv.AppendInt(append(dst, `,"omitted":`...), f.omitted, 10)
	}
	if !f.text {
		dst = append(dst, `,"encoding":"base64"`...)
	}
	if f.as == SSE {
		return append(dst, "}\n\n"...)
	}
	return append(dst, "}\n"...)
}

// writeParts writes the frame, whose data r has, a part at a time, so that it never stands in
// memory whole.
func (f piece) writeParts(w io.Writer, r io.Reader) error {
	buf := make([]byte, min(partBytes, f.length))
	out := f.appendHead(make([]byte, 0, len(buf)+128))
	for left := f.length; ; {
		part := buf[:min(len(buf), left)]
		if _, err := io.ReadFull(r, part); err != nil {
			return err
		}
		left -= len(part)
		if out = f.appendData(out, part, left == 0); left == 0 {
			_, err := w.Write(f.appendTail(out))
			return err
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
		out = out[:0]
	}
}

func appendHeader(dst []byte, kind byte, length int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, kind, 0, 0, 0), uint32(length))
}
