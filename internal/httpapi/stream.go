package httpapi

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/quota"
)

// keptOutput is what a buffered exec keeps of an output stream: a frame.Buffer, or a
// frame.Excerpt.
type keptOutput interface {
	io.Writer
	Held() int64
	Len() int
	WriteFrame(io.Writer) error
}

// lockedOutput is kept output whose last Write may still be going on when the exec has
// returned.
type lockedOutput struct {
	memory *quota.Held // told how much the output takes

	mu    sync.Mutex // guards the fields below
	kept  keptOutput
	taken bool
}

func (b *lockedOutput) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken {
		return 0, errEnded
	}
	held := b.kept.Held()
	n, err := b.kept.Write(p)
	if more := b.kept.Held() - held; more > 0 {
		b.memory.Grow(more)
	}
	return n, err
}

// take takes what has come until now. Nothing more is kept.
func (b *lockedOutput) take() keptOutput {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = true
	return b.kept
}

// stream writes an exec's frames as they come, each flushed. A reader that stops
// reading makes the writes block, and so slows the command down; nothing is
// queued here.
type stream struct {
	as             frame.Encoding
	w              http.ResponseWriter
	control        *http.ResponseController
	stdout, stderr *streamSide
	keepalive      *time.Timer
	keepaliveEvery time.Duration
	begun          atomic.Bool // the header was sent

	mu    sync.Mutex // guards the writer and what follows; a stuck Write holds it
	ended bool
	last  time.Time // when something was last written
}

// streamSide is the writer of one of the two output streams.
type streamSide struct {
	*stream
	frames goingOutput
}

// goingOutput makes frames of an output stream as it comes: a frame.Stream, or a
// frame.Excerpt.
type goingOutput interface {
	Append(dst, p []byte) []byte
	WriteRest(io.Writer) error
}

// errEnded is what a Write gets that comes too late.
var errEnded = errors.New("the answer has ended")

// frameBuffers hold frames while they are written: no stream keeps one.
var frameBuffers = sync.Pool{New: func() any { b := make([]byte, 0, limits.ChunkBytesMax+limits.ChunkBytesMax/2); return &b }}

func newStream(w http.ResponseWriter, as frame.Encoding, output func(name string) goingOutput, keepaliveEvery time.Duration) *stream {
	s := &stream{as: as, w: w, keepaliveEvery: keepaliveEvery, control: http.NewResponseController(w)}
	s.stdout = &streamSide{s, output(sallyport.Stdout)}
	s.stderr = &streamSide{s, output(sallyport.Stderr)}
	s.keepalive = time.AfterFunc(s.keepaliveEvery, s.keepAlive)
	s.keepalive.Stop() // until start
	return s
}

// start sends the header of the answer.
func (s *stream) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.w.Header()
	h.Set("Content-Type", mediaType(s.as))
	h.Set("X-Accel-Buffering", "no") // nginx would hold frames back
	declareTrailers(h, s.as)
	s.w.WriteHeader(http.StatusOK)
	_ = s.control.Flush() // a reader that has gone is noticed by the request's context
	s.last = time.Now()
	s.begun.Store(true)
	s.keepalive.Reset(s.keepaliveEvery)
}

// Write sends p as a frame and returns when it has left.
func (side *streamSide) Write(p []byte) (int, error) {
	buf := frameBuffers.Get().(*[]byte)
	defer frameBuffers.Put(buf)
	s := side.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, errEnded
	}
	*buf = side.frames.Append((*buf)[:0], p)
	if err := s.flush(*buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// append sends a frame of another kind.
func (side *streamSide) append(frame func(dst []byte) []byte) error {
	side.mu.Lock()
	defer side.mu.Unlock()
	if side.ended {
		return errEnded
	}
	return side.flush(frame(nil))
}

// flush writes b and sees that it leaves. s.mu is held.
func (s *stream) flush(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	s.last = time.Now()
	return s.control.Flush()
}

// keepAlive writes an empty line when nothing was written for a while. A writer
// that is busy, or stuck, needs none.
func (s *stream) keepAlive() {
	if !s.mu.TryLock() {
		s.keepalive.Reset(s.keepaliveEvery)
		return
	}
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	quiet := time.Since(s.last)
	if quiet >= s.keepaliveEvery {
		// A reader that has gone is noticed by the request's context.
		_ = s.flush(s.as.AppendKeepalive(nil))
		quiet = 0
	}
	s.keepalive.Reset(s.keepaliveEvery - quiet)
}

// stop lets nothing be written any more.
func (s *stream) stop() {
	setWriteDeadline(s.control, time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.keepalive.Stop()
}

// end writes what the two streams held back, and the last frame, which is a
// sallyport.ExecResult or a *sallyport.Error. A reader that has stopped reading
// gets limits.AnswerWriteTime to take each part of it.
func (s *stream) end(last any) {
	patient := &patientWriter{w: s.w, control: s.control}
	patient.wait() // for a Write that is stuck, too
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.keepalive.Stop()
	setTrailers(s.w.Header(), s.as, last)
	err := errors.Join(s.stdout.frames.WriteRest(patient), s.stderr.frames.WriteRest(patient))
	if err == nil && s.flush(s.as.AppendLast(nil, last)) == nil {
		setWriteDeadline(s.control, time.Time{})
	}
}
