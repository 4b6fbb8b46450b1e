//go:build linux

package cluster

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

var (
	rate = flag.Int("rate", 20, "execs a second while servers fail")
	show = flag.Bool("show", false, "say what happens as it happens")
)

// say tells a step of a test to whoever watches it.
func say(t *testing.T, format string, args ...any) {
	t.Helper()
	if *show {
		fmt.Fprintf(t.Output(), format+"\n", args...)
		return
	}
	t.Logf(format, args...)
}

// interruptedTime is within how much the rows of a dead server are closed.
const interruptedTime = 30 * time.Second

// Whatever fails under load, every exec that a caller saw has one row, nothing ran
// without one or twice, and what a dead server left is closed.
func TestFaults(t *testing.T) {
	w := newWorld(t, Options{})
	say(t, "three servers behind %s, on one PostgreSQL and three NATS servers", w.URL())
	l := newLoad(w)
	ctx, stop := context.WithCancel(t.Context())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		l.run(ctx, *rate)
	}()
	defer func() { stop(); <-loaded }()
	say(t, "%d execs a second", *rate)
	w.pause(3 * time.Second)

	w.NATS.Stop(0)
	say(t, "a NATS server is stopped")
	w.pause(3 * time.Second)
	w.killOne(t)
	w.pauseOne(t)
	w.NATS.Start(t, 0)
	say(t, "the NATS server is back")
	w.restartPostgres(t)

	stop()
	<-loaded
	say(t, "%s", l.summary())
	if ok := l.ends["ok"]; ok < l.calls/2 {
		t.Errorf("only %d of %d calls went well", ok, l.calls)
	}
	l.check(t)
}

// pause lets the load go on for a while.
func (w *world) pause(d time.Duration) { <-time.After(d) }

// hold starts commands on one server that outlast it, and returns their streams.
func (w *world) hold(t *testing.T, replica int) []*stream {
	t.Helper()
	var held []*stream
	for range 3 {
		held = append(held, w.start(t, w.at(t, replica, w.token.Secret)))
	}
	return held
}

// interrupted waits until the rows of held commands are closed, and demands that nothing
// of them is left on the machine.
func (w *world) interrupted(t *testing.T, held []*stream, since time.Time) {
	t.Helper()
	for _, s := range held {
		var row sallyport.Activity
		eventually(t, "end of row "+s.frames.ExecID, func() bool {
			var err error
			row, err = w.admin.GetExec(t.Context(), w.ws.ID, s.frames.ExecID)
			return err == nil && row.Status != sallyport.StatusRunning
		})
		if row.Status != sallyport.StatusInterrupted || row.Survivors == nil || *row.Survivors != 0 {
			t.Errorf("row %+v, survivors %v", row, row.Survivors)
		}
	}
	took := time.Since(since)
	say(t, "its %d running execs are ended and closed as interrupted, after %.1f s", len(held), took.Seconds())
	if took > interruptedTime {
		t.Errorf("they were open for %v", took)
	}
}

// unreachable demands that a signal for a command whose server doesn't answer is refused:
// as long as that one holds a lock on the log, since it can't be recorded.
func (w *world) unreachable(t *testing.T, s *stream) {
	t.Helper()
	api := w.at(t, 2, w.token.Secret)
	var code sallyport.Code
	eventually(t, "record of a signal", func() bool {
		code = codeOf(api.SignalExec(t.Context(), w.ws.ID, s.frames.ExecID, "TERM"))
		return code != sallyport.CodePlatformUnavailable
	})
	if code != sallyport.CodeExecTransport && code != sallyport.CodeNotRunning { // closed by another meanwhile
		t.Errorf("a signal by way of a server that is gone: %s", code)
	}
}

// killOne kills a server, and starts it again when what it left is closed.
func (w *world) killOne(t *testing.T) {
	t.Helper()
	held := w.hold(t, 0)
	detached := w.detach(t, 0, "sleep 2")
	began := time.Now()
	w.Replicas[0].Kill()
	say(t, "%s is killed", w.Replicas[0].Name)
	w.unreachable(t, held[0])
	w.interrupted(t, held, began)
	w.outlives(t, detached)
	say(t, "its detached exec has ended by itself, after %.1f s", time.Since(began).Seconds())
	w.Replicas[0].Start(t)
	say(t, "%s is back", w.Replicas[0].Name)
}

// pauseOne halts a server for longer than its lease. When it goes on it must stop what it
// ran, and not touch the rows.
func (w *world) pauseOne(t *testing.T) {
	t.Helper()
	held := w.hold(t, 1)
	began := time.Now()
	w.Replicas[1].Pause()
	say(t, "%s is halted", w.Replicas[1].Name)
	w.unreachable(t, held[0])
	w.interrupted(t, held, began)
	<-time.After(time.Until(began.Add(limits.LeaseTime + 5*time.Second)))
	before := map[string]sallyport.Activity{}
	for _, s := range held {
		before[s.frames.ExecID] = w.row(t, s.frames.ExecID)
	}
	w.Replicas[1].Resume()
	say(t, "%s goes on", w.Replicas[1].Name)
	for _, s := range held {
		err := s.await(t)
		say(t, "  what it streamed ends with %s", codeOf(err))
		if err == nil {
			t.Error("a stream ended well whose command another server has ended")
		}
		if now := w.row(t, s.frames.ExecID); now.Status != sallyport.StatusInterrupted || now.Seq != before[s.frames.ExecID].Seq {
			t.Errorf("row %+v was %+v", now, before[s.frames.ExecID])
		}
	}
	if !strings.Contains(w.Replicas[1].Log(), "the lease is lost") {
		t.Error("it has not found out that its lease is lost")
	}
	eventually(t, "exec on the server that was halted", func() bool {
		_, err := w.at(t, 1, w.token.Secret).Exec(t.Context(), client.Exec{Workspace: w.ws.ID, Cmd: []string{"true"}})
		return err == nil
	})
}

// restartPostgres restarts the database, and demands that execs go on by themselves.
func (w *world) restartPostgres(t *testing.T) {
	t.Helper()
	w.Postgres.Restart(t)
	say(t, "PostgreSQL was restarted")
	began := time.Now()
	for i := range w.Replicas {
		eventually(t, "exec after a restart of PostgreSQL", func() bool {
			_, err := w.at(t, i, w.token.Secret).Exec(t.Context(), client.Exec{Workspace: w.ws.ID, Cmd: []string{"true"}})
			return err == nil
		})
	}
	say(t, "all servers run commands again, after %.1f s", time.Since(began).Seconds())
	w.pause(2 * time.Second)
}
