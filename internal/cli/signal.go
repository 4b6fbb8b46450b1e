package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
)

// watcher turns signals into ends: the first cancels the context, and those
// after it show less patience.
type watcher struct {
	// interrupt is closed by the second signal: a server stops draining.
	interrupt chan struct{}
	// gaveUp is closed by the signal after which nothing is waited for.
	gaveUp chan struct{}
	// patience is how many signals a command handles before that.
	patience atomic.Int32
	// last is the number of the last signal.
	last atomic.Int32
	// drain cancels the context, as the first signal does.
	drain context.CancelFunc

	stopping chan struct{}
	stopped  sync.WaitGroup
}

// watch returns a context that the first signal cancels. The caller stops the
// watcher.
func watch(ctx context.Context, signals <-chan os.Signal) (context.Context, *watcher) {
	w := &watcher{interrupt: make(chan struct{}), gaveUp: make(chan struct{}), stopping: make(chan struct{})}
	w.patience.Store(1)
	ctx, cancel := context.WithCancel(ctx)
	w.drain = cancel
	w.stopped.Go(func() {
		defer cancel()
		w.follow(signals, cancel)
	})
	return ctx, w
}

func (w *watcher) follow(signals <-chan os.Signal, cancel context.CancelFunc) {
	for n := int32(1); ; n++ {
		select {
		case <-w.stopping:
			return
		case s := <-signals:
			if number, ok := s.(syscall.Signal); ok {
				w.last.Store(int32(number))
			}
		}
		cancel()
		if n == 2 {
			close(w.interrupt)
		}
		if n == w.patience.Load()+1 {
			close(w.gaveUp)
			return
		}
	}
}

// takeServerSignals keeps a server from being killed by signals that are no order to
// end: SIGPIPE when the reader of its log has gone (the write fails all the same), and
// SIGHUP, which a terminal sends when it closes. A server of production goes on at a
// SIGHUP; dev, which has lost who watches it, drains. The caller calls release.
func (w *watcher) takeServerSignals(drainOnHangup bool) (release func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	w.stopped.Go(func() {
		for s := range signals {
			if s == syscall.SIGHUP && drainOnHangup {
				w.drain()
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// takeHangup has SIGHUP end a command as SIGTERM does, so that it puts back what it has changed
// of the terminal. The caller calls release.
func (w *watcher) takeHangup() (release func()) {
	signals := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	w.stopped.Go(func() {
		for range signals {
			w.last.Store(int32(syscall.SIGHUP))
			w.drain()
		}
	})
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// stop ends the watching, and waits for it.
func (w *watcher) stop() {
	close(w.stopping)
	w.stopped.Wait()
}

// exitCode is that of a command which a signal ended: 130 for Ctrl-C, and for a
// context that was canceled without a signal.
func (w *watcher) exitCode() int {
	if n := w.last.Load(); n != 0 {
		return exitSignal + int(n)
	}
	return exitInterrupt
}
