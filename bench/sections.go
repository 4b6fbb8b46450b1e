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

// stream compares the rate of a large output: bare, and through server and
// command line, its decoding included.
func stream(ctx context.Context, o options, s *side) error {
	file := filepath.Join(s.dir, "output")
	if err := writeLines(file, o.outputMiB<<20); err != nil {
		return err
	}
	var ratios, bases, stacks []float64
	for i := range o.rounds + 1 {
		base, err := timed(func() error { return s.base.run("exec cat "+file, io.Discard, false) })
		if err != nil {
			return err
		}
		stack, err := timed(func() error { return s.streamByCLI(ctx, o, file) })
		if err != nil {
			return err
		}
		if i > 0 {
			bases = append(bases, float64(o.outputMiB)/base.Seconds())
			stacks = append(stacks, float64(o.outputMiB)/stack.Seconds())
			ratios = append(ratios, ratio(base, stack))
		}
	}
	fmt.Printf("%d MiB of log lines as NDJSON, through the command line, %d pairs\n", o.outputMiB, o.rounds)
	fmt.Printf("  bare session      %7.0f MiB/s\n  server and CLI    %7.0f MiB/s\n", median(bases), median(stacks))
	fmt.Printf("  stack / base %.2f    goal at least 0.60\n", median(ratios))
	return nil
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
