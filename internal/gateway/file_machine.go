package gateway

import (
	"context"
	"io"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
)

// fileMachine runs the scripts of one file operation, each over a session of its own, and
// ends the operation when the machine does nothing for too long. It is a files.Machine.
type fileMachine struct {
	a *act
	*stall
}

// newFileMachine returns the machine of an act, and the context that ends when it stalls.
// The caller calls stop.
func newFileMachine(ctx context.Context, a *act, patience time.Duration) (context.Context, *fileMachine, func()) {
	ctx, end := context.WithCancelCause(ctx)
	s := newStall(patience, func() {
		end(sallyport.Errorf(sallyport.CodeFileTimeout, "nothing moved on the machine's side for %s", patience))
	})
	return ctx, &fileMachine{a, s}, func() {
		s.stop()
		end(nil)
	}
}

// Run implements files.Machine. When ctx ends, the script's stdin does, and it has
// limits.FileEndTime to keep what came and to take away what is no use, before it is ended.
func (m *fileMachine) Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error {
	run, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	over := make(chan struct{})
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer close(over)
	helpers.Go(func() { endGently(ctx, kill, stdin, over) })
	process, err := m.start(ctx, run, argv, stdout)
	if err != nil {
		return err
	}
	helpers.Go(func() {
		in := process.Stdin()
		_, _ = io.Copy(m.moving(in), stdin) // what isn't taken is told by how the script ends
		_ = in.Close()
	})
	outcome := process.Wait()
	closePipe(stdin)
	return m.ended(ctx, outcome)
}

// endGently ends a script whose ctx ends: its input first, and after a while all of it.
func endGently(ctx context.Context, kill context.CancelCauseFunc, stdin io.Reader, over <-chan struct{}) {
	select {
	case <-over:
		return
	case <-ctx.Done():
	}
	closePipe(stdin)
	wait := time.NewTimer(limits.FileEndTime)
	defer wait.Stop()
	select {
	case <-over:
	case <-wait.C:
		kill(context.Cause(ctx))
	}
}

// closePipe tells who writes to a pipe that nobody reads it any more.
func closePipe(r io.Reader) {
	if closer, ok := r.(io.Closer); ok {
		_ = closer.Close() // of a pipe it never fails
	}
}

// start starts a script, over another connection where one turns out to be broken before
// anything was sent. It is looked for within ctx, and runs within run.
func (m *fileMachine) start(ctx, run context.Context, argv []string, stdout io.Writer) (remote.Process, error) {
	connectBy := time.Now().Add(m.a.g.ConnectTime)
	connectCtx, cancel := context.WithDeadline(ctx, connectBy)
	defer cancel()
	for attempt := 1; ; attempt++ {
		session, err := m.a.open(connectCtx, limits.FileStallTime)
		if err != nil {
			return remote.Process{}, err
		}
		process, err := remote.Start(run, session, remote.Command{
			Argv: argv, OpenStdin: true, ExecID: m.a.row.ID(), Timeout: limits.FileTime, ConnectBy: connectBy,
			OutputGrace: limits.FileOutputGrace, Gate: m.a.gate, Stdout: m.moving(stdout), Stderr: io.Discard, Started: func(remote.Process) {},
		})
		if err == nil || attempt == execAttempts || !remote.MayRetry(err) || connectCtx.Err() != nil {
			return process, err
		}
	}
}

// ended is the error of a script that did not run to its end.
func (m *fileMachine) ended(ctx context.Context, o remote.Outcome) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case o.End == remote.Exited:
		return nil
	case o.End == remote.Canceled && o.Cause != nil:
		return o.Cause // that of the writer which failed
	}
	return lost(o.Cause)
}

// stall calls ended when nothing has moved on a machine for too long. It doesn't count
// while the operation's caller is waited for, who has a time of its own. Make it with
// newStall.
type stall struct {
	limit time.Duration

	mu      sync.Mutex // guards the fields below
	timer   *time.Timer
	callers int // how many reads and writes wait for the caller now
	over    bool
}

func newStall(limit time.Duration, ended func()) *stall {
	return &stall{limit: limit, timer: time.AfterFunc(limit, ended)}
}

func (s *stall) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.timer.Stop()
}

// moved begins the machine's time anew, and counts callers more who are waited for.
func (s *stall) moved(callers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callers += callers
	if s.callers > 0 || s.over {
		s.timer.Stop()
		return
	}
	s.timer.Reset(s.limit)
}

// FromCaller is the caller's content: a Read of it is no fault of the machine's.
func (s *stall) FromCaller(r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		s.moved(1)
		defer s.moved(-1)
		return r.Read(p)
	})
}

// ToCaller is the writer of content for the caller: a Write to it is no fault of the machine's.
func (s *stall) ToCaller(w io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		s.moved(1)
		defer s.moved(-1)
		return w.Write(p)
	})
}

// moving wraps w; each write shows that the machine moves.
func (s *stall) moving(w io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		s.moved(0)
		defer s.moved(0)
		return w.Write(p)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
