//go:build linux

package faults

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endTimeMax is how long the program may take to end that has nothing to wait for.
// On a busy machine that is not quick.
const endTimeMax = 30 * time.Second

// serverArgs are those of a server of production.
func serverArgs() programOptions {
	return programOptions{
		args: []string{"server"},
		env:  []string{"SALLYPORT_ADMIN_TOKEN=" + strings.Repeat("x", 40)},
	}
}

// fullPipe returns a pipe that takes nothing more until it is read.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() }) // the test may have
	if err := w.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = w.Write([]byte("\n"))
	}
	return r, w
}

// TestLogReaderStalls: with a log that nobody reads the program starts, serves, counts
// what it couldn't write, and ends when it is told to. When the log is read again, a
// line tells what is missing.
func TestLogReaderStalls(t *testing.T) {
	t.Parallel()
	r, w := fullPipe(t)
	p := startProgram(t, programOptions{stderr: w})
	_ = w.Close() // the program has it
	p.caller.mustExec(t, shell("exit 0"))
	await(t, time.Minute, "lines to be lost", func() bool {
		p.flood(t, 500)
		return p.lost(t) > 0
	})
	p.caller.mustExec(t, shell("exit 0"))
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(r); scanner.Scan(); {
			if strings.Contains(scanner.Text(), "lines of the log were lost") {
				lines <- scanner.Text()
			}
		}
	}()
	told := within(t, endTimeMax, "the line that tells of the loss", func() string {
		for {
			p.flood(t, 1)
			select {
			case line := <-lines:
				return line
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	if found := regexp.MustCompile(`lines=([0-9]+)`).FindStringSubmatch(told); found == nil || found[1] == "0" {
		t.Errorf("told: %s", told)
	}
	go func() {
		for range lines { // later losses
		}
	}()
	p.signal(t, syscall.SIGTERM)
	if code := within(t, endTimeMax, "the end", p.awaitEnd); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

// flood has the program log as many requests.
func (p *program) flood(t *testing.T, requests int) {
	for range requests {
		a := p.server.Do(t, http.MethodGet, "/"+strings.Repeat("%E2%80%AE", 60), "", "")
		if a.Status != http.StatusNotFound && a.Status != http.StatusUnauthorized {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
}

// lost is the metric of what was lost.
func (p *program) lost(t *testing.T) int {
	found := regexp.MustCompile(`(?m)^sallyport_log_lines_lost_total ([0-9]+)`).FindStringSubmatch(
		p.server.Do(t, http.MethodGet, "/metrics", "", "").Body)
	if found == nil {
		t.Fatal("the metrics don't tell how many lines were lost")
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDrainWithStalledLog: a log that nobody reads doesn't keep a server from
// draining, nor from ending what is left.
func TestDrainWithStalledLog(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]programOptions{"dev": {args: []string{"dev", "--drain-timeout", "1s"}}, "server": serverArgs()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, w := fullPipe(t)
			o.stderr = w
			p := startProgram(t, o)
			if name == "dev" {
				p.hold(t, "sleep 600")
			}
			p.signal(t, syscall.SIGTERM)
			if code := within(t, endTimeMax, "the end", p.awaitEnd); code != 0 {
				t.Errorf("it ended with %d", code)
			}
		})
	}
}

// hold has a streamed command run until the server ends it, and returns its answer.
func (p *program) hold(t *testing.T, line string) <-chan drainedEnd {
	t.Helper()
	mark := filepath.Join(t.TempDir(), "mark")
	e := streamed("touch " + mark + "; " + line)
	e.TimeoutS = 120
	answered := make(chan drainedEnd, 1)
	go func() {
		a, err := p.caller.exec(context.Background(), e)
		answered <- drainedEnd{0, a, err}
	}()
	await(t, startTimeMax, "the command", func() bool { return exists(mark) })
	return answered
}

// TestFailedStartWithStalledLog: a start that fails ends, though nobody reads why.
func TestFailedStartWithStalledLog(t *testing.T) {
	t.Parallel()
	_, w := fullPipe(t)
	o := serverArgs()
	o.stderr, o.env = w, append(o.env, "SALLYPORT_STORE_URL=postgres://nobody@127.0.0.1:1/none")
	p := launchProgram(t, o)
	if code := within(t, endTimeMax, "the end", p.awaitEnd); code != 1 {
		t.Errorf("it ended with %d", code)
	}
}

// TestLogReaderEnds: a reader of the log that goes away takes the log with it, and
// nothing else.
func TestLogReaderEnds(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, programOptions{stderr: w})
	_, _ = r.Close(), w.Close()
	p.flood(t, 3)
	p.caller.mustExec(t, shell("exit 0"))
	await(t, startTimeMax, "lines to be lost", func() bool { return p.lost(t) > 0 })
	p.signal(t, syscall.SIGTERM)
	if code := within(t, endTimeMax, "the end", p.awaitEnd); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

// TestHangup: a server of production goes on, dev drains, and under nohup nothing
// changes.
func TestHangup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		o    programOptions
		ends bool
	}{
		{"server", serverArgs(), false},
		{"dev", programOptions{}, true},
		{"dev under nohup", programOptions{through: []string{"nohup"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, c.o)
			p.signal(t, syscall.SIGHUP)
			if c.ends {
				if code := within(t, endTimeMax, "the end", p.awaitEnd); code != 0 {
					t.Errorf("it ended with %d", code)
				}
				return
			}
			for range 20 {
				p.signal(t, syscall.SIGHUP)
				if a := p.server.Do(t, http.MethodGet, "/readyz", "", ""); a.Status != http.StatusOK {
					t.Fatalf("%d %s", a.Status, a.Body)
				}
			}
		})
	}
}

// TestHangupDrains: at a hang-up dev lets what runs go on, however often it comes: a
// terminal that closes and its shell may both send one.
func TestHangupDrains(t *testing.T) {
	t.Parallel()
	p := startProgram(t, programOptions{})
	release := filepath.Join(t.TempDir(), "release")
	answered := p.hold(t, fmt.Sprintf("until [ -e %s ]; do sleep 0.05; done; exit 7", release))
	p.signal(t, syscall.SIGHUP)
	await(t, startTimeMax, "readyz to say that it drains", func() bool {
		return p.server.Do(t, http.MethodGet, "/readyz", "", "").Status == http.StatusServiceUnavailable
	})
	for range 3 {
		p.signal(t, syscall.SIGHUP)
		if a := p.server.Do(t, http.MethodGet, "/healthz", "", ""); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	end := within(t, endTimeMax, "the answer", func() drainedEnd { return <-answered })
	if end.err != nil || end.answer.result == nil || end.answer.result.ExitCode != 7 {
		t.Errorf("%v %s", end.err, end.answer)
	}
	if code := within(t, endTimeMax, "the end", p.awaitEnd); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}
