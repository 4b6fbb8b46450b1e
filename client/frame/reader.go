package frame

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"sallyport/client/sallyport"
)

// LineBytesMax bounds one line that a Reader takes: the largest buffered
// stream (16 MiB), every byte of it escaped as \u00XX, and some more.
const LineBytesMax = 6*(16<<20) + 4096

// Frame is one frame of an answer. Exactly one of its three parts is set: a
// piece of output, the command's result, or an error of Sallyport's own. The last frame of a
// detached exec's output has End as well, and neither of the last two while the exec runs.
type Frame struct {
	// Stream is sallyport.Stdout or Stderr on a piece of output, else empty.
	Stream string
	// Data is the output, decoded. It is valid until the next call of Next.
	Data      []byte
	Truncated bool
	// Omitted is how many bytes are left out: of the middle of Data, which says where, or,
	// where there is no Data, from Offset on.
	Omitted, Offset int64
	// Skipped is, in the output of a detached exec, how many bytes from Offset on are not kept
	// any more. There, Offset is that of Data's first byte, too.
	Skipped int64

	Result *sallyport.ExecResult
	Err    *sallyport.Error
	// End is the last frame of a detached exec's output.
	End *sallyport.OutputEnd
}

// Reader reads the frames of one answer. It is not safe for concurrent use.
type Reader struct {
	r    *bufio.Reader
	long []byte // a line that is longer than the reader's buffer
	data []byte
	last bool
}

// NewReader returns a Reader of the frames in r, which the caller closes.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 256<<10)}
}

// Next returns the next frame. After the last frame it returns io.EOF; when
// the answer ends without one, io.ErrUnexpectedEOF: the stream was cut off, and
// how the command ended is not known.
func (r *Reader) Next() (Frame, error) {
	for {
		line, err := r.line()
		if err != nil {
			return Frame{}, err
		}
		if len(line) == 0 {
			continue // a keep-alive
		}
		if r.last {
			return Frame{}, errors.New("frames: data after the last frame")
		}
		f, err := r.parse(line)
		if err != nil {
			return Frame{}, err
		}
		r.last = f.Stream == ""
		return f, nil
	}
}

// line returns the next line without its end. A last line without an end was cut.
func (r *Reader) line() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.longLine(line)
	}
	switch {
	case err == nil:
		return line[:len(line)-1], nil
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("read frames: %w", err)
	case r.last && len(line) == 0:
		return nil, io.EOF
	}
	return nil, io.ErrUnexpectedEOF
}

func (r *Reader) longLine(begin []byte) ([]byte, error) {
	r.long = append(r.long[:0], begin...)
	for {
		more, err := r.r.ReadSlice('\n')
		r.long = append(r.long, more...)
		if len(r.long) > LineBytesMax {
			return nil, fmt.Errorf("frames: a line of more than %d bytes", LineBytesMax)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return r.long, err
		}
	}
}

// parse reads one frame: by hand when it looks as the server writes it, and by
// encoding/json when not.
func (r *Reader) parse(line []byte) (Frame, error) {
	if f, ok := r.parseOutput(line); ok {
		return f, nil
	}
	return parseAny(line)
}

const (
	stdoutHead = `{"stream":"stdout",`
	stderrHead = `{"stream":"stderr",`
	offsetHead = `"offset":`
	dataHead   = `"data":"`
	goesOnTail = `","truncated":false`
	isCutTail  = `","truncated":true`
	binaryTail = `,"encoding":"base64"`
)

// parseOutput reads a piece of output exactly as Append writes it.
func (r *Reader) parseOutput(line []byte) (f Frame, ok bool) {
	if body, ok := bytes.CutPrefix(line, []byte(stdoutHead)); ok {
		f.Stream, line = sallyport.Stdout, body
	} else if body, ok := bytes.CutPrefix(line, []byte(stderrHead)); ok {
		f.Stream, line = sallyport.Stderr, body
	} else {
		return Frame{}, false
	}
	if f.Offset, line, ok = cutOffset(line); !ok {
		return Frame{}, false
	}
	if line, ok = bytes.CutPrefix(line, []byte(dataHead)); !ok {
		return Frame{}, false
	}
	line, ok = bytes.CutSuffix(line, []byte("}"))
	if !ok {
		return Frame{}, false
	}
	line, isBinary := bytes.CutSuffix(line, []byte(binaryTail))
	data, goesOn := bytes.CutSuffix(line, []byte(goesOnTail))
	if !goesOn {
		if data, f.Truncated = bytes.CutSuffix(line, []byte(isCutTail)); !f.Truncated {
			return Frame{}, false
		}
	}
	if isBinary {
		r.data, ok = appendBase64(r.data[:0], data)
	} else if ok = utf8.Valid(data); ok {
		r.data, ok = appendUnescaped(r.data[:0], data)
	}
	f.Data = r.data
	return f, ok
}

// cutOffset takes the offset, if one is told, and the comma behind it.
func cutOffset(line []byte) (offset int64, rest []byte, ok bool) {
	rest, isTold := bytes.CutPrefix(line, []byte(offsetHead))
	if !isTold {
		return 0, line, true
	}
	digits, rest, found := bytes.Cut(rest, []byte(","))
	offset, err := strconv.ParseInt(string(digits), 10, 64)
	return offset, rest, found && err == nil && offset >= 0
}

// appendBase64 decodes p, strictly: what the decoder would skip is refused.
func appendBase64(dst, p []byte) ([]byte, bool) {
	if plain(p) != len(p) {
		return dst, false
	}
	dst, err := base64.StdEncoding.AppendDecode(dst, p)
	return dst, err == nil
}

// wireFrame is any frame as encoding/json reads it.
type wireFrame struct {
	Stream    string `json:"stream"`
	Data      string `json:"data"`
	Truncated bool   `json:"truncated"`
	Encoding  string `json:"encoding"`
	Omitted   int64  `json:"omitted"`
	Offset    int64  `json:"offset"`
	Skipped   int64  `json:"skipped"`

	Next     *sallyport.OutputNext
	ExitCode *int `json:"exit_code"`
	Code     *sallyport.Code
}

func parseAny(line []byte) (Frame, error) {
	var w wireFrame
	if err := json.Unmarshal(line, &w); err != nil {
		return Frame{}, fmt.Errorf("frames: %w", err)
	}
	switch {
	case w.Stream == sallyport.Stdout || w.Stream == sallyport.Stderr:
		return outputFrame(w)
	case w.Next != nil:
		return endFrame(line, w)
	}
	f, err := lastFrame(line, w)
	if err == nil && f.Result == nil && f.Err == nil {
		err = errors.New("frames: neither output, nor a result, nor an error")
	}
	return f, err
}

// lastFrame reads a result, or an error.
func lastFrame(line []byte, w wireFrame) (Frame, error) {
	switch {
	case w.ExitCode != nil:
		var result sallyport.ExecResult
		err := json.Unmarshal(line, &result)
		return Frame{Result: &result}, err
	case w.Code != nil:
		var e sallyport.Error
		err := json.Unmarshal(line, &e)
		return Frame{Err: &e}, err
	}
	return Frame{}, nil
}

// endFrame reads the last frame of a detached exec's output.
func endFrame(line []byte, w wireFrame) (Frame, error) {
	f, err := lastFrame(line, w)
	if err == nil {
		f.End = &sallyport.OutputEnd{}
		err = json.Unmarshal(line, f.End)
	}
	if err == nil && f.End.Status == "" && f.Err == nil {
		err = errors.New("frames: the end of an output, and neither a status nor an error")
	}
	return f, err
}

func outputFrame(w wireFrame) (Frame, error) {
	f := Frame{Stream: w.Stream, Truncated: w.Truncated, Data: []byte(w.Data), Omitted: w.Omitted, Offset: w.Offset, Skipped: w.Skipped}
	switch w.Encoding {
	case "":
		return f, nil
	case sallyport.EncodingBase64:
		data, err := base64.StdEncoding.DecodeString(w.Data)
		if err != nil {
			return Frame{}, fmt.Errorf("frames: %w", err)
		}
		f.Data = data
		return f, nil
	}
	return Frame{}, fmt.Errorf("frames: unknown encoding %q", w.Encoding)
}
