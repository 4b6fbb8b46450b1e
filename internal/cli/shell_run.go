package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// endOfFile is Ctrl-D, which a terminal takes for the end of what is typed.
const endOfFile = 4

// interruptKey is Ctrl-C.
const interruptKey = 3

// shell is one terminal, or a look at one.
type shell struct {
	*app
	workspace string // as it was typed
	options   client.TerminalOptions
	escape    byte
	// left tells that the user has left.
	left atomic.Bool
}

// run starts the program, and connects it with the terminal here until it ends.
func (s *shell) run(ctx context.Context) error {
	api, ref, err := s.forwardAPI(ctx, s.workspace)
	if err != nil {
		return err
	}
	defer api.Close()
	release := s.app.watch.takeHangup()
	defer release()
	s.openLocalTerminal()
	api.Go = func(f func()) { go s.local.guard(f)() }
	s.options.Cols, s.options.Rows = s.local.size()
	s.options.Notify = s.tell
	terminal, err := api.Terminal(ctx, ref, s.options)
	if err != nil {
		return withShellHint(withScopes(err, sallyport.ScopeTerminal))
	}
	defer terminal.Close()
	s.greet(terminal.Started)
	defer s.local.putBack()
	if err := s.local.makeRaw(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, s.local.guard(func() {
		s.local.restore()
		_ = terminal.Close()
	}))
	defer stop()
	defer s.followSize(terminal)()
	go s.local.guard(func() { s.sendKeys(terminal) })() // a Read of stdin may be left behind
	from, to := copyBytes(s.local.out, terminal)
	s.local.putBack() // before anything is said
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case to != nil:
		return to
	case s.left.Load():
		return exitCode(exitInterrupt)
	case from != nil:
		return withShellHint(from)
	}
	exit, err := terminal.Wait()
	if err != nil {
		return withShellHint(err)
	}
	return s.passOn(sallyport.ExecResult{ExitCode: exit.ExitCode})
}

// greet says what the server says of the terminal.
func (s *shell) greet(started sallyport.TerminalStarted) {
	if started.Recorded {
		s.note("this terminal is recorded: what it shows, and not what is typed")
	}
	if asked := s.options.Timeout; asked.Seconds() > float64(started.TimeoutS) {
		s.warn("the time-out is %d s, the most that the server gives", started.TimeoutS)
	}
}

// tell says what happens beside the output.
func (s *shell) tell(e client.TerminalEvent) {
	switch e.Kind {
	case client.TerminalLost:
		s.note("the connection is lost; trying to take it up again")
	case client.TerminalResumed:
		s.note("connected again")
	case client.TerminalWatched:
		if e.Watchers > 0 {
			s.note("watched by %d", e.Watchers)
		} else {
			s.note("watched by nobody now")
		}
	case client.TerminalEnding:
		s.note("the server ends this terminal in %s (%s)", e.Left, e.Code)
	}
}

// sendKeys sends what is typed, until the terminal or stdin ends.
func (s *shell) sendKeys(terminal *client.Terminal) {
	keys := escapeKeys{escape: s.escape}
	if !s.local.is {
		keys.escape = 0
	}
	buffer := make([]byte, carryBytes)
	for {
		n, err := s.Stdin.Read(buffer)
		if !s.typed(terminal, &keys, buffer[:n]) {
			return
		}
		if errors.Is(err, io.EOF) {
			_, _ = terminal.Write([]byte{endOfFile}) // it ends the program, if it likes
		}
		if err != nil {
			return
		}
	}
}

// typed passes keys on, and does what is shell's own. It returns false at the end.
func (s *shell) typed(terminal *client.Terminal, escapes *escapeKeys, typed []byte) bool {
	for len(typed) > 0 {
		keys, action, rest := escapes.next(typed)
		if len(keys) > 0 {
			if _, err := terminal.Write(keys); err != nil {
				return false // its reader tells why
			}
		}
		switch action {
		case keyLeave:
			s.left.Store(true)
			_ = terminal.Close()
			return false
		case keyHelp:
			s.help()
		}
		typed = rest
	}
	return true
}

func (s *shell) help() {
	c := string(s.escape)
	s.note("behind a newline: %s. leaves, %s? shows this, %s%s is a %s", c, c, c, c, c)
}

// followSize tells the program of each new size of the terminal here, until the returned
// function is called.
func (s *shell) followSize(terminal *client.Terminal) (stop func()) {
	if !s.local.is {
		return func() {}
	}
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	var following sync.WaitGroup
	following.Go(s.local.guard(func() {
		for range changes {
			if cols, rows := s.local.size(); cols > 0 {
				_ = terminal.Resize(cols, rows)
			}
		}
	}))
	return func() {
		signal.Stop(changes)
		close(changes)
		following.Wait()
	}
}

// watch shows what another terminal shows.
func (s *shell) watch(ctx context.Context, id string) error {
	api, ref, err := s.forwardAPI(ctx, s.workspace)
	if err != nil {
		return err
	}
	defer api.Close()
	release := s.app.watch.takeHangup()
	defer release()
	if isIDPrefix(id) {
		if id, err = uniqueRef("terminal that runs", id, api.AllTerminals(ctx, ref, sallyport.StatusRunning),
			func(r sallyport.Activity) bool { return strings.HasPrefix(r.ID, id) }, func(r sallyport.Activity) string { return r.ID }); err != nil {
			return err
		}
	}
	s.openLocalTerminal()
	api.Go = func(f func()) { go s.local.guard(f)() }
	w, err := api.WatchTerminal(ctx, ref, id, nil)
	if err != nil {
		return withShellHint(withScopes(err, sallyport.ScopeTerminalRead))
	}
	defer w.Close()
	s.note("watching a terminal of %s, %d×%d; %c. or Ctrl-C leaves", w.Watching.Actor, w.Watching.Cols, w.Watching.Rows, max(s.escape, ' '))
	defer s.local.putBack()
	if err := s.local.makeRaw(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, s.local.guard(func() {
		s.local.restore()
		_ = w.Close()
	}))
	defer stop()
	if s.local.is {
		go s.local.guard(func() { s.awaitLeave(w) })() // a Read of stdin may be left behind
	}
	from, to := copyBytes(s.local.out, w)
	s.local.putBack()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case to != nil:
		return to
	case s.left.Load():
		return nil
	}
	return withShellHint(from)
}

// awaitLeave closes w at Ctrl-C, or where the escape says so.
func (s *shell) awaitLeave(w io.Closer) {
	escapes := escapeKeys{escape: s.escape}
	buffer := make([]byte, carryBytes)
	for {
		n, err := s.Stdin.Read(buffer)
		keys, action, _ := escapes.next(buffer[:n])
		if err != nil || action == keyLeave || strings.IndexByte(string(keys), interruptKey) >= 0 {
			s.left.Store(err == nil)
			_ = w.Close()
			return
		}
	}
}
