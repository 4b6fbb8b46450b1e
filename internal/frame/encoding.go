package frame

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"sallyport"
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
// stream was cut after max bytes.
func (e Encoding) appendOutput(dst []byte, name string, data []byte, max int64, cut bool) []byte {
	marker := ""
	if cut {
		marker = "\n[output truncated at " + strconv.FormatInt(max, 10) + " bytes]"
	}
	switch e {
	case SSE:
		dst = append(dst, "event: frame\ndata: "...)
		dst = appendObject(dst, name, data, marker)
		return append(dst, "\n\n"...)
	case Raw, Docker:
		kind := byte(kindStdout)
		if name == sallyport.Stderr {
			kind = kindStderr
		}
		dst = appendHeader(dst, kind, len(data)+len(marker))
		return append(append(dst, data...), marker...)
	}
	return append(appendObject(dst, name, data, marker), '\n')
}

func appendHeader(dst []byte, kind byte, length int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, kind, 0, 0, 0), uint32(length))
}

// appendObject appends a piece of output as a JSON object.
func appendObject(dst []byte, name string, data []byte, marker string) []byte {
	dst = append(dst, `{"stream":"`...)
	dst = append(dst, name...)
	dst = append(dst, `","data":"`...)
	text := utf8.Valid(data)
	if text {
		dst = appendEscaped(dst, data)
		dst = appendEscaped(dst, []byte(marker))
	} else {
		dst = base64.StdEncoding.AppendEncode(dst, append(data[:len(data):len(data)], marker...))
	}
	dst = append(dst, `","truncated":`...)
	dst = strconv.AppendBool(dst, marker != "")
	if !text {
		dst = append(dst, `,"encoding":"base64"`...)
	}
	return append(dst, '}')
}
