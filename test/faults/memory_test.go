//go:build linux

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

const (
	// memoryGrowthMax is what a stream of any length may add to the server.
	memoryGrowthMax = 32 << 20
	// paceBytesPerS is how fast the slow reader reads at most: slower than the
	// command writes, so that everything in between is always full.
	paceBytesPerS = 48 << 20
	warmUpBytes   = 48 << 20
)

// textLine is what the command prints over and over.
const textLine = "a line of ordinary text, as long as most lines of a log are, neither short nor all too long"

// TestMemoryOfLongStream streams a GiB to a reader that is slower than the command:
// the server's memory stays what it was.
func TestMemoryOfLongStream(t *testing.T) {
	t.Parallel()
	total := int64(1 << 30)
	if testing.Short() {
		total = 128 << 20
	}
	server := startChild(t, childOptions{})
	c := newCaller(t, server.Stack)
	streamText(t, c, warmUpBytes)
	baseline := memory(t, server.pid(), "VmRSS")
	resetPeak(t, server.pid())
	began := time.Now()
	streamText(t, c, total)
	took, peak := time.Since(began), memory(t, server.pid(), "VmHWM")
	t.Logf("%d MiB in %.1f s; memory %d KiB before, %d KiB at most", total>>20, took.Seconds(), baseline>>10, peak>>10)
	if peak-baseline > memoryGrowthMax {
		t.Errorf("the server grew by %d KiB", (peak-baseline)>>10)
	}
	row := server.Execs(t)[0]
	if row.Status != sallyport.StatusOK || *row.StdoutBytes != total || *row.StdoutTruncated {
		t.Errorf("row %+v", row)
	}
}

// streamText streams n bytes of text to a slow reader, who sees the stream end well.
func streamText(t *testing.T, c *caller, n int64) {
	t.Helper()
	e := streamed(fmt.Sprintf("yes '%s' | head -c %d", textLine, n))
	e.MaxOutputBytes, e.TimeoutS = 1<<30, 600 // on a machine with other work a GiB takes minutes
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	resp, err := c.open(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read, end := readSlowly(t, resp.Body)
	last := end[bytes.LastIndexByte(bytes.TrimSuffix(end, []byte("\n")), '\n')+1:]
	if resp.StatusCode != http.StatusOK || !bytes.HasPrefix(last, []byte(`{"exit_code":0,`)) || read < n {
		t.Fatalf("status %d, %d bytes, the end is %.300q", resp.StatusCode, read, last)
	}
}

// readSlowly reads to the end at its own pace, and returns how much there was and
// the last part of it.
func readSlowly(t *testing.T, r io.Reader) (total int64, end []byte) {
	t.Helper()
	const ticksPerS = 50
	tick := time.NewTicker(time.Second / ticksPerS)
	defer tick.Stop()
	chunk := make([]byte, 64<<10)
	for allowance := 0; ; {
		for allowance <= 0 {
			<-tick.C
			allowance += paceBytesPerS / ticksPerS
		}
		n, err := r.Read(chunk)
		total += int64(n)
		allowance -= n
		end = append(end, chunk[max(0, n-1024):n]...)
		end = end[max(0, len(end)-1024):]
		if err == io.EOF {
			return total, end
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// memory reads a line of a process's status, in bytes.
func memory(t *testing.T, pid int, name string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\n"+name+":")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// resetPeak makes VmHWM count from now on.
func resetPeak(t *testing.T, pid int) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// TestReaderThatStops streams without an end to a reader that stops at once: the
// command is held up, whoever else comes is served, and the deadline ends it all.
func TestReaderThatStops(t *testing.T) {
	const heldBytesMax = 24 << 20 // what sockets, pipes and windows hold between two processes
	s := stack.Start(t, stack.Options{})
	c := newCaller(t, s)
	progress := filepath.Join(t.TempDir(), "progress")
	e := streamed(fmt.Sprintf("i=0; while head -c 65536 /dev/zero; do i=$((i+1)); echo $i > %s.new; mv %s.new %s; done", progress, progress, progress))
	e.TimeoutS, e.MaxOutputBytes = 5, 1<<30
	conn := dial(t, s)
	if err := conn.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(rawExec(t, s, e)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	awaitStandstill(t, progress)
	c.mustServe(t)
	var row sallyport.Activity
	await(t, 15*time.Second, "the deadline", func() bool {
		rows := s.Execs(t)
		row = rows[len(rows)-1]
		return row.Status != sallyport.StatusRunning
	})
	if row.Status != sallyport.StatusTimeout || row.Survivors == nil || *row.Survivors != 0 || *row.StdoutBytes > heldBytesMax {
		t.Errorf("row %+v", row)
	}
	mustBeGone(t, []sallyport.Activity{row})
	t.Logf("%d KiB were taken before the command was held up", *row.StdoutBytes>>10)
}

// awaitStandstill waits until the command has made no progress for a while.
func awaitStandstill(t *testing.T, progress string) {
	t.Helper()
	const still = 700 * time.Millisecond
	last, since := "", time.Now()
	await(t, 15*time.Second, "the command to be held up", func() bool {
		now, err := os.ReadFile(progress)
		if err != nil || string(now) != last {
			last, since = string(now), time.Now()
			return false
		}
		return time.Since(since) > still
	})
}

// TestManyLargeBufferedExecs sends a thousand execs at once that fill the largest cap on both
// streams, 32 GiB in all, to a budget of 128 MiB: the server lives, tells those for which it
// has no memory so, answers the others whole, and serves on.
func TestManyLargeBufferedExecs(t *testing.T) {
	tried := 1024
	if testing.Short() {
		tried = 64
	}
	const budget = 128 << 20
	server := startChild(t, childOptions{env: map[string]string{"SALLYPORT_LIMITS_BUFFERED_OUTPUT_BYTES": strconv.Itoa(budget)}})
	c := newCaller(t, server.Stack)
	c.mustServe(t)
	baseline := memory(t, server.pid(), "VmRSS")
	resetPeak(t, server.pid())
	body, err := json.Marshal(sallyport.ExecRequest{
		Cmd: []string{"sh", "-c", "head -c 16777216 /dev/zero; head -c 16777216 /dev/zero >&2"}, MaxOutputBytes: 16 << 20, TimeoutS: 120,
	})
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer plain.CloseIdleConnections()
	var ok, full, other atomic.Int32
	var all sync.WaitGroup
	for range tried {
		all.Go(func() {
			req := server.Request(t, http.MethodPost, "/workspaces/local/exec", server.Token, string(body))
			req.Header.Set("Accept", sallyport.MediaDocker)
			resp, err := plain.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			n, err := io.Copy(io.Discard, resp.Body)
			switch {
			case err != nil:
				t.Error(err)
			case resp.StatusCode == http.StatusOK && n >= 32<<20:
				ok.Add(1)
			case resp.StatusCode == http.StatusTooManyRequests:
				full.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	all.Wait()
	peak := memory(t, server.pid(), "VmHWM")
	t.Logf("%d answered whole, %d refused; memory %d MiB before, %d MiB at most", ok.Load(), full.Load(), baseline>>20, peak>>20)
	if ok.Load() == 0 || full.Load() == 0 || other.Load() != 0 {
		t.Errorf("%d answered whole, %d refused, %d otherwise", ok.Load(), full.Load(), other.Load())
	}
	// It grows by about the budget, half of which is the organisation's: the collector takes as
	// much again, and a thousand callers their own. Under the race detector by five times that.
	if most := int64(8 * budget); peak-baseline > most {
		t.Errorf("the server grew by %d MiB, over %d", (peak-baseline)>>20, most>>20)
	}
	c.mustServe(t)
	for _, row := range server.Execs(t) {
		if row.Status != sallyport.StatusOK {
			t.Errorf("row %+v", row)
		}
	}
}
