//go:build linux

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

const (
	execsDrained = 50
	// drainTimeout lets those that may end do so, on a busy machine too.
	drainTimeout = 6 * time.Second
	// drainEndMax is when the server is gone: the time-out, then TERM, KILL and
	// count of what is left, then what was answered leaves.
	drainEndMax = drainTimeout + 15*time.Second
)

// TestDrain asks a server with 50 execs in it to end: who comes is refused, who
// can end in time does so as ever, and the rest is ended and told why.
func TestDrain(t *testing.T) {
	server := startChild(t, childOptions{flags: map[string]string{"drain_timeout": drainTimeout.String()}})
	d := newDrained(t, server.Stack)
	answers := d.start(t)
	asked := time.Now()
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "readyz to say that it drains", func() bool {
		a := server.Do(t, http.MethodGet, "/readyz", "", "")
		return a.Status == http.StatusServiceUnavailable && a.Code() == string(sallyport.CodeDraining)
	})
	d.checkRefusals(t)
	write(t, d.release, "")
	ends := d.collect(t, answers)
	within(t, drainEndMax, "the server's end", func() struct{} { <-server.ended; return struct{}{} })
	took := time.Since(asked)
	if code := server.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	if took < drainTimeout || took > drainEndMax {
		t.Errorf("it took %s, with a time-out of %s", took, drainTimeout)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://")); err == nil {
		conn.Close()
		t.Error("somebody still listens")
	}
	checkSeqs(t, server.database(), execsDrained)
	// The next start closes what is open as interrupted: it must find nothing.
	next := startChild(t, childOptions{dataDir: server.DataDir})
	d.checkRows(t, ends, next.Execs(t))
}

// drained is a server that is to drain, and what runs there.
type drained struct {
	server  *stack.Stack
	caller  *caller
	dir     string // where commands leave a mark when they have started
	release string // what those wait for that may end
}

func newDrained(t *testing.T, s *stack.Stack) *drained {
	dir := t.TempDir()
	return &drained{server: s, caller: newCaller(t, s), dir: dir, release: filepath.Join(t.TempDir(), "release")}
}

// drainedEnd is how the i-th exec came to its end.
type drainedEnd struct {
	i int
	answer
	err error
}

// stubborn tells of the i-th exec that it doesn't end by itself.
func stubborn(i int) bool { return i%5 >= 3 }

// deaf tells of the i-th exec that TERM doesn't end it.
func deaf(i int) bool { return i%5 == 4 }

// command is the i-th exec: by turns streamed and buffered, obedient and not.
func (d *drained) command(i int) sallyport.ExecRequest {
	line := fmt.Sprintf("echo begun; touch %s/%d; ", d.dir, i)
	switch {
	case !stubborn(i):
		line += fmt.Sprintf("until [ -e %s ]; do sleep 0.1; done; echo ended; exit %d", d.release, i)
	case !deaf(i):
		line += "exec sleep 600"
	default: // with a child that is deaf too
		line += "trap '' TERM; sleep 600 & while :; do sleep 1; done"
	}
	e := shell(line)
	e.Stream, e.TimeoutS = i%2 == 0, 120
	return e
}

// start runs all of them and waits until each command has begun.
func (d *drained) start(t *testing.T) <-chan drainedEnd {
	t.Helper()
	answers := make(chan drainedEnd, execsDrained)
	for i := range execsDrained {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			a, err := d.caller.exec(ctx, d.command(i))
			answers <- drainedEnd{i, a, err}
		}()
	}
	await(t, 30*time.Second, "50 commands", func() bool {
		started, err := os.ReadDir(d.dir)
		return err == nil && len(started) == execsDrained
	})
	return answers
}

// checkRefusals checks what is told to who comes too late, and that nothing else
// is refused.
func (d *drained) checkRefusals(t *testing.T) {
	t.Helper()
	mark := filepath.Join(t.TempDir(), "late")
	for _, stream := range []bool{false, true} {
		a := d.caller.mustExec(t, sallyport.ExecRequest{Cmd: []string{"touch", mark}, Stream: stream})
		if a.status != http.StatusServiceUnavailable || a.code() != sallyport.CodeDraining || a.header.Get("Retry-After") == "" || a.execID != "" {
			t.Errorf("stream %t: %s, headers %v", stream, a, a.header)
		}
	}
	if exists(mark) {
		t.Error("a command ran that was refused")
	}
	a := d.server.Do(t, http.MethodPost, "/workspaces/local/exec", "nobody", `{"cmd":["true"]}`)
	if a.Status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", a.Status, a.Body)
	}
	if a := d.server.Do(t, http.MethodGet, "/healthz", "", ""); a.Status != http.StatusOK {
		t.Errorf("healthz: %d %s", a.Status, a.Body)
	}
	if n := count(d.server.Execs(t))[sallyport.StatusRunning]; n != execsDrained {
		t.Errorf("%d execs run, want all %d", n, execsDrained)
	}
}

// collect waits for all answers, and holds each to what its exec was.
func (d *drained) collect(t *testing.T, answers <-chan drainedEnd) []drainedEnd {
	t.Helper()
	var ends []drainedEnd
	for range execsDrained {
		e := within(t, time.Minute, "an answer", func() drainedEnd { return <-answers })
		ends = append(ends, e)
		streamed := e.i%2 == 0
		switch {
		case e.err != nil:
			t.Errorf("exec %d: %v %s", e.i, e.err, e.answer)
		case !stubborn(e.i):
			if e.status != http.StatusOK || e.result == nil || e.result.ExitCode != e.i || string(e.stdout) != "begun\nended\n" {
				t.Errorf("exec %d: %s", e.i, e.answer)
			}
		case e.code() != sallyport.CodeDraining || e.answer.err.Started == nil || !*e.answer.err.Started:
			t.Errorf("exec %d: %s", e.i, e.answer)
		case streamed && (e.status != http.StatusOK || string(e.stdout) != "begun\n"):
			t.Errorf("exec %d, streamed: %s", e.i, e.answer)
		case !streamed && e.status != http.StatusServiceUnavailable:
			t.Errorf("exec %d, buffered: %s", e.i, e.answer)
		}
	}
	return ends
}

// checkRows holds the rows to the answers: each is closed, and tells the same.
func (d *drained) checkRows(t *testing.T, ends []drainedEnd, all []sallyport.Activity) {
	t.Helper()
	if len(all) != execsDrained {
		t.Errorf("%d rows: %v", len(all), count(all))
	}
	rows := byID(t, all)
	for _, e := range ends {
		row := rows[e.execID]
		want := sallyport.StatusError
		if e.i == 0 {
			want = sallyport.StatusOK
		}
		if stubborn(e.i) {
			// A busy machine may not tell in time what is left, which the row says then.
			seen := row.Survivors != nil && *row.Survivors == 0 || row.SurvivorsUnknown
			if row.Status != sallyport.StatusCanceled || row.Reason != string(sallyport.CodeDraining) || row.ExitCode != nil || !seen || row.CompletedAt == nil {
				t.Errorf("exec %d: row %s", e.i, inJSON(t, row))
			}
			continue
		}
		if row.Status != want || row.Reason != "" || row.ExitCode == nil || *row.ExitCode != e.i || row.Survivors != nil || row.CompletedAt == nil {
			t.Errorf("exec %d: row %s", e.i, inJSON(t, row))
		}
	}
	mustBeGone(t, all)
}

func inJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDrainWithNothingToDo: with nothing in it a server doesn't wait for the
// time-out, and those who keep a connection without a request don't hold it up.
func TestDrainWithNothingToDo(t *testing.T) {
	server := startChild(t, childOptions{flags: map[string]string{"drain_timeout": "1m"}})
	newCaller(t, server.Stack).mustServe(t) // its connection is idle from now on
	silent := dial(t, server.Stack)
	defer silent.Close()
	began := time.Now()
	if code := server.terminate(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestSecondSignal runs the program itself: the first Ctrl-C lets what runs go
// on, the second ends it, and still in order.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	d := startProgram(t, programOptions{})
	mark := filepath.Join(t.TempDir(), "mark")
	e := streamed("touch " + mark + "; exec sleep 600")
	e.TimeoutS = 120
	answered := make(chan drainedEnd, 1)
	go func() {
		a, err := d.caller.exec(context.Background(), e)
		answered <- drainedEnd{0, a, err}
	}()
	await(t, 20*time.Second, "the command", func() bool { return exists(mark) })
	d.signal(t, os.Interrupt)
	await(t, 10*time.Second, "readyz to say that it drains", func() bool {
		return d.server.Do(t, http.MethodGet, "/readyz", "", "").Status == http.StatusServiceUnavailable
	})
	d.signal(t, os.Interrupt)
	end := within(t, 15*time.Second, "the stream's end", func() drainedEnd { return <-answered })
	if end.err != nil || end.code() != sallyport.CodeDraining || end.answer.err.Started == nil || !*end.answer.err.Started {
		t.Errorf("%v %s", end.err, end.answer)
	}
	within(t, 15*time.Second, "the program's end", func() int { return d.awaitEnd() })
	next := startChild(t, childOptions{dataDir: d.server.DataDir})
	rows := next.Execs(t)
	if len(rows) != 1 || rows[0].Status != sallyport.StatusCanceled || rows[0].Reason != string(sallyport.CodeDraining) {
		t.Errorf("rows %+v", rows)
	}
	mustBeGone(t, rows)
}
