package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// latency times a warm true through the whole stack against the base, pair by
// pair, and one fsync beside them.
func latency(ctx context.Context, o options, s *side) error {
	probe, err := os.Create(filepath.Join(s.dir, "fsync"))
	if err != nil {
		return err
	}
	defer probe.Close()
	client := newClient(1)
	defer client.CloseIdleConnections()
	var base, stack, fsync []time.Duration
	for i := range o.latencyRuns + 20 {
		b, err := timed(func() error { return s.base.run("exec /bin/true", io.Discard, false) })
		if err != nil {
			return err
		}
		w, err := timed(func() error { return s.exec(ctx, client) })
		if err != nil {
			return err
		}
		f, err := timed(func() error { return appendAndSync(probe) })
		if err != nil {
			return err
		}
		if i >= 20 { // warm by now
			base, stack, fsync = append(base, b), append(stack, w), append(fsync, f)
		}
	}
	b, w, f := quantile(base, 0.5), quantile(stack, 0.5), quantile(fsync, 0.5)
	fmt.Printf("a warm true, %d pairs\n", o.latencyRuns)
	fmt.Printf("  bare session      p50 %8s  p99 %8s\n", round(b), round(quantile(base, 0.99)))
	fmt.Printf("  one fsync         p50 %8s  p99 %8s\n", round(f), round(quantile(fsync, 0.99)))
	fmt.Printf("  whole stack       p50 %8s  p99 %8s\n", round(w), round(quantile(stack, 0.99)))
	fmt.Printf("  stack / base %.2f    (stack - fsync) / base %.2f    goal at most 2.00\n\n",
		ratio(w, b), ratio(w-f, b))
	return nil
}

// rate compares execs a second at concurrency 32, in rounds that take turns.
func rate(ctx context.Context, o options, s *side) error {
	const workers = 32
	client := newClient(workers)
	defer client.CloseIdleConnections()
	var ratios, bases, stacks []float64
	for i := range o.rounds + 1 {
		base, err := rounds(workers, o.roundTime, func() error { return s.base.run("exec /bin/true", io.Discard, true) })
		if err != nil {
			return err
		}
		stack, err := rounds(workers, o.roundTime, func() error { return s.exec(ctx, client) })
		if err != nil {
			return err
		}
		if i > 0 { // the first pair warms
			bases, stacks, ratios = append(bases, base), append(stacks, stack), append(ratios, stack/base)
		}
	}
	fmt.Printf("true at concurrency %d, %d pairs of rounds of %s\n", workers, o.rounds, o.roundTime)
	fmt.Printf("  bare sessions     %7.0f execs/s\n  whole stack       %7.0f execs/s\n", median(bases), median(stacks))
	fmt.Printf("  stack / base %.2f    goal at least 0.55\n\n", median(ratios))
	return nil
}

// stream compares the rate of a large output: bare, as NDJSON through server and
// Go client, its decoding included, and in our own framing through server and
// command line.
func stream(ctx context.Context, o options, s *side) error {
	file := filepath.Join(s.dir, "output")
	if err := writeLines(file, o.outputMiB<<20); err != nil {
		return err
	}
	ways := []struct {
		name string
		run  func() error
		took []time.Duration
	}{
		{name: "bare session", run: func() error { return s.base.run("exec cat "+file, io.Discard, false) }},
		{name: "NDJSON, Go client", run: func() error { return s.streamNDJSON(ctx, file) }},
		{name: "raw, command line", run: func() error { return s.streamByCLI(ctx, o, file) }},
	}
	for i := range o.rounds + 1 {
		for w := range ways {
			took, err := timed(ways[w].run)
			if err != nil {
				return fmt.Errorf("%s: %w", ways[w].name, err)
			}
			if i > 0 {
				ways[w].took = append(ways[w].took, took)
			}
		}
	}
	fmt.Printf("%d MiB of log lines, %d rounds\n", o.outputMiB, o.rounds)
	for _, way := range ways {
		ratios := make([]float64, o.rounds)
		for i := range ratios {
			ratios[i] = ratio(ways[0].took[i], way.took[i])
		}
		fmt.Printf("  %-18s %7.0f MiB/s   of base %.2f\n", way.name, float64(o.outputMiB)/quantile(way.took, 0.5).Seconds(), median(ratios))
	}
	fmt.Println("  goals: NDJSON at least 0.60, raw at least 0.85")
	return nil
}

// streamNDJSON reads the output through the Go client, frame by frame.
func (s *side) streamNDJSON(ctx context.Context, file string) error {
	c := client.New(s.ready.URL, s.ready.Token)
	defer c.Close()
	frames, err := c.ExecFrames(ctx, client.Exec{
		Workspace: "local", Cmd: []string{"cat", file}, Timeout: sallyport.MaxTimeout, MaxOutputBytes: 1 << 30,
	})
	if err != nil {
		return err
	}
	defer frames.Close()
	for {
		f, err := frames.Next()
		switch {
		case err != nil:
			return err
		case f.Result != nil:
			return nil
		case f.Err != nil:
			return f.Err
		}
	}
}

// exec runs true through the HTTP API.
func (s *side) exec(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.ready.URL+"/workspaces/local/exec", strings.NewReader(`{"cmd":["/bin/true"]}`))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.ready.Token)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.HasPrefix(body, []byte(`{"exit_code":0,`)) {
		return fmt.Errorf("exec: %d %s", resp.StatusCode, body)
	}
	return nil
}

func (s *side) streamByCLI(ctx context.Context, o options, file string) error {
	cmd := exec.CommandContext(ctx, o.program, "exec", "--timeout", "120s", "local", "--", "cat", file)
	cmd.Env = append(os.Environ(), "SALLYPORT_URL="+s.ready.URL, "SALLYPORT_TOKEN="+s.ready.Token)
	cmd.Stderr = os.Stderr
	sink, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer sink.Close()
	cmd.Stdout = sink
	return cmd.Run()
}

// rounds counts how often f succeeds in a second, with workers at once.
func rounds(workers int, length time.Duration, f func() error) (float64, error) {
	var done atomic.Int64
	errs := make(chan error, workers)
	var wg sync.WaitGroup
	began := time.Now()
	for range workers {
		wg.Go(func() {
			for time.Since(began) < length {
				if err := f(); err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}

func newClient(connections int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
}

func timed(f func() error) (time.Duration, error) {
	began := time.Now()
	err := f()
	return time.Since(began), err
}

// appendAndSync is what a durable commit costs at the least.
func appendAndSync(f *os.File) error {
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		return err
	}
	return f.Sync()
}

// writeLines writes size bytes of lines as a log has them.
func writeLines(name string, size int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	var block bytes.Buffer
	for i := 0; block.Len() < 1<<20; i++ {
		fmt.Fprintf(&block, "2026-01-02T03:04:%02d.%06dZ INFO request \"GET /items/%d\" status=200 bytes=%d agent=%q\n", i%60, i, i*7, i*13, "curl/8.5")
	}
	for size > 0 && err == nil {
		n := min(size, 1<<20)
		_, err = f.Write(block.Bytes()[:n])
		size -= n
	}
	return errors.Join(err, f.Close())
}

func quantile(d []time.Duration, q float64) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[min(int(float64(len(d))*q), len(d)-1)]
}

func median(f []float64) float64 {
	f = slices.Clone(f)
	slices.Sort(f)
	return f[len(f)/2]
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
