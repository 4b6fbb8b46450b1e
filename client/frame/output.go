package frame

import (
	"io"
	"strconv"
	"unicode/utf8"

	"sallyport/client/sallyport"
)

// Output makes frames of the output of a detached exec, of which each tells its offset. It holds
// at most three bytes back: a character that a piece's border has cut. It is not safe for
// concurrent use.
type Output struct {
	as     Encoding
	name   string
	offset int64 // of the first byte held, or else of the next
	held   []byte
	binary bool
}

// NewOutput returns an Output for the stream called name, whose first byte is that at offset.
func NewOutput(as Encoding, name string, offset int64) *Output {
	return &Output{as: as, name: name, offset: offset}
}

// Append appends the frame of p, if p gives rise to one, and returns dst.
func (o *Output) Append(dst, p []byte) []byte {
	data := append(o.held, p...)
	whole := border(data, o.binary)
	dst = o.append(dst, whole)
	o.held = append(o.held[:0:0], data[len(whole):]...)
	return dst
}

// AppendSkipped appends what is held back, and a frame that says that n bytes are not kept any
// more.
func (o *Output) AppendSkipped(dst []byte, n int64) []byte {
	dst = o.Finish(dst)
	if o.as == Raw || o.as == Docker {
		dst = o.as.appendOutput(dst, o.name, []byte("\n["+strconv.FormatInt(n, 10)+" bytes of output not kept]\n"), true, 0, false)
	} else {
		dst = o.as.appendObject(dst, `{"stream":"`+o.name+`","offset":`+strconv.FormatInt(o.offset, 10)+`,"skipped":`+strconv.FormatInt(n, 10)+`}`)
	}
	o.offset += n
	return dst
}

// Finish appends what is held back.
func (o *Output) Finish(dst []byte) []byte {
	dst = o.append(dst, o.held)
	o.held = nil
	return dst
}

// WriteRest writes what is held back.
func (o *Output) WriteRest(w io.Writer) error {
	_, err := w.Write(o.Finish(nil))
	return err
}

func (o *Output) append(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	f := o.as.frameOf(o.name, len(data), utf8.Valid(data), 0, false)
	o.binary = o.binary || !f.text
	f.offset, f.hasOffset = o.offset, true
	o.offset += int64(len(data))
	dst = f.appendHead(dst)
	dst = f.appendData(dst, data, true)
	return f.appendTail(dst)
}

// appendObject appends a frame that is an object.
func (e Encoding) appendObject(dst []byte, object string) []byte {
	if e == SSE {
		return append(append(append(dst, "event: frame\ndata: "...), object...), "\n\n"...)
	}
	return append(append(dst, object...), '\n')
}

// OutputOffsets is the value of the header that tells raw framings' readers of the first bytes.
func OutputOffsets(next sallyport.OutputNext) string {
	var text string
	for _, of := range []struct {
		name   string
		offset *int64
	}{{sallyport.Stdout, next.Stdout}, {sallyport.Stderr, next.Stderr}} {
		if of.offset == nil {
			continue
		}
		if text != "" {
			text += ","
		}
		text += of.name + "=" + strconv.FormatInt(*of.offset, 10)
	}
	return text
}
