package remote

import (
	"bytes"
	"errors"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// pump moves one output stream from the machine to the caller: it drops what
// comes before the first mark on it, waits for release, then writes what it reads, without
// the marks.
type pump struct {
	r       io.Reader
	w       io.Writer
	marks   *marks
	buffers *sync.Pool

	flow   chan struct{} // closed by release and by discard
	ended  chan struct{} // closed at the stream's end; err is set before
	failed chan error    // the error of a Write, once
	err    error         // set by run before ended is closed
	ahead  chan chunk    // a read that has begun while the marks were waited for; nil for none

	bytes atomic.Int64 // read behind the mark
	last  atomic.Int64 // when something was last read or written, Unix nanoseconds
	holds atomic.Int32 // how often the reader of the output has held it back

	mu       sync.Mutex // guards the fields below
	released bool
	dropped  bool
	writing  bool
}

// chunk is what one Read gave.
type chunk struct {
	b   []byte
	err error
}

// smallRead is a pump's first buffer: a command that says little costs little.
// A stream that fills it gets a pooled one of limits.ChunkBytesMax.
const smallRead = 512

// largeBuffers are the buffers of streams that flow.
var largeBuffers = sync.Pool{New: func() any { b := make([]byte, limits.ChunkBytesMax); return &b }}

func newPump(r io.Reader, w io.Writer, m *marks) *pump {
	return &pump{r: r, w: w, marks: m, buffers: &largeBuffers, flow: make(chan struct{}), ended: make(chan struct{}), failed: make(chan error, 1)}
}

// run reads until the stream ends.
func (p *pump) run() {
	defer close(p.ended)
	buf := make([]byte, smallRead)
	rest, ok := p.dropPreamble(buf)
	if !ok {
		return
	}
	rest = p.awaitMarks(rest)
	<-p.flow
	if !p.write(rest) {
		p.drain()
		return
	}
	p.copy(buf)
}

// runUnmarked is run for a stream on which there is nothing but the command's output.
func (p *pump) runUnmarked() {
	defer close(p.ended)
	<-p.flow
	p.copy(make([]byte, smallRead))
}

// dropPreamble drops what rc files print, reads the first mark on the stream, and returns
// what came behind its line. It looks at each byte once, however few come at a time: the
// machine decides about that. What it returns doesn't share buf.
func (p *pump) dropPreamble(buf []byte) (rest []byte, ok bool) {
	word := p.marks.word
	var kept []byte // the end of the preamble, in which the mark may begin, then the mark's line
	total, marked := 0, false
	for {
		n, err := p.r.Read(buf)
		total += n
		known := len(kept)
		kept = append(kept, buf[:n]...)
		if !marked {
			if i := bytes.Index(kept, []byte(word)); i >= 0 {
				marked, known, kept = true, 0, kept[i+len(word):]
			} else {
				kept = append(kept[:0], kept[max(0, len(kept)-len(word)+1):]...)
			}
		}
		i := -1
		if marked {
			i = bytes.IndexByte(kept[known:], '\n')
		}
		switch {
		case marked && (i >= 0 && known+i > limits.MarkBytesMax || i < 0 && len(kept) > limits.MarkBytesMax):
			err = errors.New("a mark without an end")
			p.err = err
		case i >= 0:
			p.marks.note(string(kept[:known+i]))
			return kept[known+i+1:], true
		case total > limits.PreambleBytesMax:
			err = errors.New("too much output before the mark")
			p.err = err
		}
		if err != nil {
			return nil, false
		}
	}
}

// awaitMarks holds the first output back until both marks have come, wherever they came
// out, and strips them. It waits for limits.MarkGrace at most: a mark may be lost.
func (p *pump) awaitMarks(rest []byte) []byte {
	rest = p.marks.strip(rest)
	timer := time.NewTimer(limits.MarkGrace)
	defer timer.Stop()
	for len(rest) < limits.ChunkBytesMax {
		if isClosed(p.marks.both) {
			return rest
		}
		if p.ahead == nil {
			p.readAhead()
		}
		select {
		case <-p.marks.both:
			return rest
		case <-timer.C:
			return rest
		case c := <-p.ahead:
			p.ahead = nil
			rest = p.marks.strip(append(rest, c.b...))
			if c.err != nil {
				p.ahead = make(chan chunk, 1)
				p.ahead <- chunk{err: c.err}
				return rest
			}
		}
	}
	return rest
}

// readAhead begins a Read in a goroutine of its own, which ends with the stream.
func (p *pump) readAhead() {
	ahead := make(chan chunk, 1)
	p.ahead = ahead
	go func() {
		buf := make([]byte, smallRead)
		n, err := p.r.Read(buf)
		ahead <- chunk{buf[:n], err}
	}()
}

// read is a Read, or what the one that has begun already gives.
func (p *pump) read(buf []byte) ([]byte, error) {
	if p.ahead == nil {
		n, err := p.r.Read(buf)
		return buf[:n], err
	}
	c := <-p.ahead
	p.ahead = nil
	return c.b, c.err
}

// drain reads what still comes, and drops it.
func (p *pump) drain() {
	if p.ahead != nil {
		<-p.ahead
	}
	_, _ = io.Copy(io.Discard, p.r)
}

// copy writes what it reads, from the small buffer at first and a large one once
// that was full, for as long as much comes.
func (p *pump) copy(small []byte) {
	buf := small
	var large *[]byte
	for {
		b, err := p.read(buf)
		p.last.Store(time.Now().UnixNano())
		n := len(b)
		if !isClosed(p.marks.both) {
			b = p.marks.strip(b)
		}
		if n > 0 && !p.write(b) {
			p.drain()
			break
		}
		if err != nil {
			break
		}
		switch {
		case n == len(buf) && large == nil:
			large = p.buffers.Get().(*[]byte)
			buf = *large
		case n < smallRead && large != nil: // it may be quiet for hours now
			p.buffers.Put(large)
			buf, large = small, nil
		}
	}
	if large != nil {
		p.buffers.Put(large)
	}
}

// write hands b to the caller's writer, and reports whether to go on.
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
// still comes is read and dropped. It reports whether the stream was still open.
func (p *pump) discard() (open bool) {
	p.mu.Lock()
	p.dropped = true
	p.mu.Unlock()
	p.release()
	return !isClosed(p.ended)
}

// isBlocked reports whether a Write is going on: the caller holds the output back.
func (p *pump) isBlocked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writing
}

// lastByte is when something was last read or written.
func (p *pump) lastByte() time.Time { return time.Unix(0, p.last.Load()) }
