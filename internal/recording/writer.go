package recording

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/disk"
	"sallyport/internal/limits"
)

// Writer is a recording that is being written. The caller closes it. It is safe for
// concurrent use.
//
// What it is given stands in the file within a second, and survives a crash of the server; a
// crash of the machine may take the last two seconds of it.
// Its first error is its last: nothing is written after it, so that whoever shows what could
// not be recorded is told before.
type Writer struct {
	bytesMax int64
	written  *atomic.Int64 // the archive's
	file     *os.File
	aead     cipher.AEAD
	failed   chan struct{}

	mu     sync.Mutex // guards the fields below
	cast   *cast
	kept   []byte // what is not yet written
	bytes  int64  // all, with kept
	frames uint64
	sealed []byte      // a buffer
	later  *time.Timer // writes what is kept; nil where nothing is
	// syncing puts what is written on disk; nil where all of it is, or is on its way. syncs has
	// those that run, beside whoever prints.
	syncing *time.Timer
	syncs   sync.WaitGroup
	err     error
	closed  bool
}

// Begin begins a recording. The time of its events counts from Begin, or from Start. The
// error is platform_unavailable.
func (a *Archive) Begin(h Header) (*Writer, error) {
	w, err := a.begin(h)
	if err != nil {
		return nil, unavailable("the terminal can't be recorded now", err)
	}
	return w, nil
}

func (a *Archive) begin(h Header) (*Writer, error) {
	path, err := a.path(h.OrgID, h.WorkspaceID, h.ID)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, disk.Cause(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, disk.Cause(err)
	}
	w := &Writer{bytesMax: a.BytesMax, written: &a.written, file: file, cast: newCast(), failed: make(chan struct{})}
	if err := w.writeHead(a, h); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(path))
	}
	return w, nil
}

func (w *Writer) writeHead(a *Archive, h Header) error {
	key := make([]byte, keyBytes)
	defer clear(key)
	_, _ = rand.Read(key) // it never fails: the program would end
	var err error
	if w.aead, err = cipherOf(key); err != nil {
		return err
	}
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	start, err := castHeader(h)
	if err != nil {
		return err
	}
	if len(header) > limits.RecordingFrameBytes || len(start) > limits.RecordingFrameBytes {
		return errors.New("what is said of it is too long")
	}
	head := append([]byte{fileVersion}, a.Seal.Seal(purpose(h), key)...)
	head = appendFrame(head, w.aead, kindHeader, 0, header)
	head = appendFrame(head, w.aead, kindData, 0, start)
	w.frames, w.bytes = 1, int64(len(start))
	_, err = w.file.Write(head)
	return disk.Cause(err)
}

// Start sets the time of events to zero.
func (w *Writer) Start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cast.start()
}

// Output records what the terminal printed. It returns recording_full, or
// platform_unavailable where it can't be written: then p is not recorded.
func (w *Writer) Output(p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(p) > 0 {
		piece := p[:min(len(p), castPieceBytes)]
		p = p[len(piece):]
		if err := w.keep(w.cast.output(piece)); err != nil {
			return err
		}
	}
	return w.err
}

// Resize records that the terminal has another size. Its errors are those of Output.
func (w *Writer) Resize(cols, rows int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.keep(w.cast.resize(cols, rows))
}

// Failed is closed when nothing can be recorded any more; Err says why.
func (w *Writer) Failed() <-chan struct{} { return w.failed }

// Err is why nothing can be recorded any more: nil, recording_full or platform_unavailable.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close ends the recording, with the status of the terminal's row. All that was recorded is on
// disk when it returns. Its error is why that is less than all. More calls do nothing.
func (w *Writer) Close(status string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return w.err
	}
	_ = w.keep(w.cast.rest()) // a failure is in w.err
	w.flush()
	w.closed = true
	w.endSyncs()
	if w.err == nil || sallyport.CodeOf(w.err) == sallyport.CodeRecordingFull {
		if err := w.writeEnd(status); err != nil {
			w.fail(err)
		}
	}
	if err := w.file.Close(); err != nil {
		w.fail(err)
	}
	return w.err
}

func (w *Writer) writeEnd(status string) error {
	content, err := json.Marshal(end{Frames: w.frames, Bytes: w.bytes, DurationMS: w.cast.elapsed().Milliseconds(), Status: status})
	if err != nil {
		return err
	}
	padded := fmt.Appendf(nil, "%-*s", endBytes, content)
	if len(padded) != endBytes {
		return errors.New("its status is too long")
	}
	if _, err := w.file.Write(appendFrame(nil, w.aead, kindEnd, 0, padded)); err != nil {
		return err
	}
	return w.file.Sync()
}

// keep takes an event, which is written within a second. The caller holds mu.
func (w *Writer) keep(event []byte) error {
	switch {
	case w.err != nil:
		return w.err
	case len(event) == 0:
		return nil
	case w.closed:
		return os.ErrClosed
	case w.bytes+int64(len(event)) > w.bytesMax:
		w.flush() // what came before is whole
		w.failWith(sallyport.Errorf(sallyport.CodeRecordingFull, "the recording is full, at %d bytes", w.bytesMax))
		return w.err
	}
	w.kept = append(w.kept, event...)
	w.bytes += int64(len(event))
	if len(w.kept) >= limits.RecordingFrameBytes {
		w.flush()
		return w.err
	}
	if w.later == nil {
		w.later = time.AfterFunc(limits.RecordingFlushTime, w.flushLater)
	}
	return nil
}

// flushLater is the timer's: it runs beside the caller.
func (w *Writer) flushLater() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

// flush writes what is kept. The caller holds mu.
func (w *Writer) flush() {
	if w.later != nil {
		w.later.Stop()
		w.later = nil
	}
	if w.err != nil || len(w.kept) == 0 || w.closed {
		return
	}
	w.sealed = appendFrame(w.sealed[:0], w.aead, kindData, w.frames, w.kept)
	n := len(w.kept)
	w.frames, w.kept = w.frames+1, w.kept[:0]
	if _, err := w.file.Write(w.sealed); err != nil {
		w.fail(err)
		return
	}
	w.written.Add(int64(n))
	w.syncLater()
}

// syncLater has what was written put on disk in a while. The caller holds mu.
func (w *Writer) syncLater() {
	if w.syncing != nil {
		return
	}
	w.syncs.Add(1)
	w.syncing = time.AfterFunc(limits.RecordingSyncTime, w.sync)
}

// sync is the timer's: it runs beside the caller, and holds nobody up while the disk takes its
// time.
func (w *Writer) sync() {
	defer w.syncs.Done()
	w.mu.Lock()
	w.syncing = nil // what is written from now on is for the next
	w.mu.Unlock()
	if err := w.file.Sync(); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fail(err)
	}
}

// endSyncs waits until no sync runs, and none will. The caller holds mu, which is given up
// meanwhile.
func (w *Writer) endSyncs() {
	if w.syncing != nil && w.syncing.Stop() {
		w.syncs.Done()
	}
	w.mu.Unlock()
	w.syncs.Wait()
	w.mu.Lock()
}

// fail keeps the first failure. The caller holds mu.
func (w *Writer) fail(err error) {
	w.failWith(unavailable("the terminal's recording can't be written", disk.Cause(err)))
}

func (w *Writer) failWith(err error) {
	if w.err == nil || sallyport.CodeOf(w.err) == sallyport.CodeRecordingFull {
		if w.err == nil {
			close(w.failed)
		}
		w.err = err
	}
}
