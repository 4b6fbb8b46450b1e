package httpapi

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/quota"
)

// lockedBuffer is a frame.Buffer whose last Write may still be going on when the
// exec has returned.
type lockedBuffer struct {
	mu sync.Mutex
	*frame.Buffer
	memory *quota.Held // told how much the buffer takes
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.Held()
	n, err := b.Buffer.Write(p)
	if more := b.Held() - held; more > 0 {
		b.memory.Grow(more)
	}
	return n, err
}

// taken is what has come until now. A later Write doesn't change it.
func (b *lockedBuffer) taken() *frame.Buffer {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := *b.Buffer
	return &taken
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
	frames *frame.Stream
}

// errEnded is what a Write gets that comes too late.
var errEnded = errors.New("the answer has ended")

// frameBuffers hold frames while they are written: no stream keeps one.
var frameBuffers = sync.Pool{New: func() any { b := make([]byte, 0, limits.ChunkBytesMax+limits.ChunkBytesMax/2); return &b }}

func newStream(w http.ResponseWriter, as frame.Encoding, maxOutput int64, keepaliveEvery time.Duration) *stream {
	s := &stream{as: as, w: w, keepaliveEvery: keepaliveEvery, control: http.NewResponseController(w)}
	s.stdout = &streamSide{s, frame.NewStream(as, sallyport.Stdout, maxOutput)}
	s.stderr = &streamSide{s, frame.NewStream(as, sallyport.Stderr, maxOutput)}
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
// gets limits.AnswerWriteTime to take it.
func (s *stream) end(last any) {
	setWriteDeadline(s.control, time.Now().Add(limits.AnswerWriteTime))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.keepalive.Stop()
	rest := s.stderr.frames.Finish(s.stdout.frames.Finish(nil))
	setTrailers(s.w.Header(), s.as, last)
	if s.flush(s.as.AppendLast(rest, last)) == nil {
		setWriteDeadline(s.control, time.Time{})
	}
}
