package remote

import (
	"bytes"
	"errors"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport"
	"sallyport/internal/limits"
)

// pump moves one output stream from the machine to the caller: it drops what
// comes before the mark, waits for release, then writes what it reads.
type pump struct {
	r       io.Reader
	w       io.Writer
	word    string // the mark to look for
	buffers *sync.Pool

	marked chan struct{} // closed when the mark has come
	flow   chan struct{} // closed by release and by discard
	ended  chan struct{} // closed at the stream's end; err and rest are set before
	failed chan error    // the error of a Write, once

	// Set by run before marked or ended is closed.
	said string // what stands behind the mark on its line
	err  error

	bytes atomic.Int64 // read behind the mark
	last  atomic.Int64 // when something was last read or written, Unix nanoseconds
	holds atomic.Int32 // how often the reader of the output has held it back

	mu       sync.Mutex // guards what follows
	released bool
	dropped  bool
	writing  bool
}

// smallRead is a pump's first buffer: a command that says little costs little.
// A stream that fills it gets a pooled one of limits.ChunkBytesMax.
const smallRead = 512

// largeBuffers are the buffers of streams that flow.
var largeBuffers = sync.Pool{New: func() any { b := make([]byte, limits.ChunkBytesMax); return &b }}

func newPump(r io.Reader, w io.Writer, mark string) *pump {
	return &pump{
		r: r, w: w, word: mark, buffers: &largeBuffers,
		marked: make(chan struct{}), flow: make(chan struct{}), ended: make(chan struct{}),
		failed: make(chan error, 1),
	}
}

// run reads until the stream ends.
func (p *pump) run() {
	defer close(p.ended)
	buf := make([]byte, smallRead)
	rest, ok := p.preambleUntilMark(buf)
	if !ok {
		return
	}
	<-p.flow
	if !p.write(rest) {
		_, _ = io.Copy(io.Discard, p.r)
		return
	}
	p.copy(buf)
}

// preambleUntilMark drops what rc files print, reads the mark, and returns what
// came behind it. It looks at each byte once, however few come at a time: the far
// side decides about that. What it returns doesn't share buf.
func (p *pump) preambleUntilMark(buf []byte) (rest []byte, ok bool) {
	var kept []byte // the end of the preamble, in which the mark may begin, then the mark's line
	total, marked := 0, false
	for {
		n, err := p.r.Read(buf)
		total += n
		known := len(kept)
		kept = append(kept, buf[:n]...)
		if !marked {
			if i := bytes.Index(kept, []byte(p.word)); i >= 0 {
				marked, known, kept = true, 0, kept[i+len(p.word):]
			} else {
				kept = append(kept[:0], kept[max(0, len(kept)-len(p.word)+1):]...)
			}
		}
		if i := bytes.IndexByte(kept[known:], '\n'); marked && i >= 0 {
			p.said = strings.TrimSpace(string(kept[:known+i]))
			close(p.marked)
			return kept[known+i+1:], true
		}
		if total > limits.PreambleBytesMax {
			err = errors.New("too much output before the mark")
			p.err = err
		}
		if err != nil {
			return nil, false
		}
	}
}

// copy writes what it reads, from the small buffer at first and a large one once
// that was full.
func (p *pump) copy(buf []byte) {
	large := false
	for {
		n, err := p.r.Read(buf)
		p.last.Store(time.Now().UnixNano())
		if n > 0 && !p.write(buf[:n]) {
			_, _ = io.Copy(io.Discard, p.r)
			break
		}
		if err != nil {
			break
		}
		if n == len(buf) && !large {
			pooled := p.buffers.Get().(*[]byte)
			defer p.buffers.Put(pooled)
			buf, large = *pooled, true
		}
	}
}

// write hands b to the caller's writer, and tells whether to go on.
func (p *pump) write(b []byte) bool {
	p.bytes.Add(int64(len(b)))
	if len(b) == 0 {
		return true
	}
	p.mu.Lock()
	dropped := p.dropped
	p.writing = !dropped
	p.mu.Unlock()
	if dropped {
		return false
	}

	began := time.Now()
	err := p.hand(b)
	now := time.Now()
	p.last.Store(now.UnixNano())
	if now.Sub(began) > 10*time.Millisecond {
		p.holds.Add(1)
	}
	p.mu.Lock()
	p.writing = false
	p.mu.Unlock()
	if err != nil {
		p.failed <- err
		return false
	}
	return true
}

// hand hands b over. A panic of the writer ends the command, and not the server.
func (p *pump) hand(b []byte) (err error) {
	defer func() {
		if recover() != nil { // its text may hold what the command wrote
			err = sallyport.Errorf(sallyport.CodeInternal, "the output could not be written").Because(errors.New(string(debug.Stack())))
		}
	}()
	_, err = p.w.Write(b)
	return err
}

// release lets the output flow.
func (p *pump) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.released {
		p.released = true
		close(p.flow)
	}
}

// discard lets no Write begin from now on; one that has begun may go on. What
// still comes is read and dropped. It tells whether the stream was still open.
func (p *pump) discard() (open bool) {
	p.mu.Lock()
	p.dropped = true
	p.mu.Unlock()
	p.release()
	return !p.over()
}

// over tells whether the stream has ended.
func (p *pump) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// held tells whether a Write is going on: the caller holds the output back.
func (p *pump) held() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writing
}

// lastByte is when something was last read or written.
func (p *pump) lastByte() time.Time { return time.Unix(0, p.last.Load()) }
