package gateway

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
)

// stdinFeed passes a caller's stdin on to a command. A nil feed has nothing to pass on.
type stdinFeed struct {
	from   io.ReadCloser
	broken context.CancelCauseFunc // ends the command whose caller's stdin breaks off
	work   sync.WaitGroup
	passed atomic.Int64
}

// newStdinFeed returns the feed of a stdin, and the context that ends when the stdin breaks
// off. The caller calls stop.
func newStdinFeed(ctx context.Context, from io.ReadCloser) (context.Context, *stdinFeed) {
	if from == nil {
		return ctx, nil
	}
	ctx, broken := context.WithCancelCause(ctx)
	return ctx, &stdinFeed{from: from, broken: broken}
}

// start begins to pass stdin on to a command that has started.
func (f *stdinFeed) start(p remote.Process) {
	if f != nil {
		f.work.Go(func() { f.pass(p.Stdin()) })
	}
}

// pass passes all on, as the command takes it, and then the end of file. A stdin that breaks
// off has no end: half of it must not be taken for the whole.
func (f *stdinFeed) pass(to io.WriteCloser) {
	piece := make([]byte, limits.StdinPieceBytes)
	for {
		n, err := f.from.Read(piece)
		if n > 0 {
			taken, ended := to.Write(piece[:n])
			f.passed.Add(int64(taken))
			if ended != nil {
				return // the command's end is told elsewhere
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = to.Close() // fails where the command has ended
			return
		case err != nil:
			f.broken(sallyport.Errorf(sallyport.CodeCanceled, "stdin broke off before its end, and the command was ended").Because(err))
			return
		}
	}
}

// stop ends the feed of a command that has ended, or has never started, and returns how much
// was passed on; nil is no feed.
func (f *stdinFeed) stop() (passed *int64) {
	if f == nil {
		return nil
	}
	_ = f.from.Close() // whoever reads has no use for its error
	f.work.Wait()
	f.broken(nil)
	n := f.passed.Load()
	return &n
}
