package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sallyport/client"
)

// eventReaders follow while the latency of events is measured.
const eventReaders = 5

// events measures how soon readers know of what was committed, and what an exec
// pays for being followed: the same exec with nobody watching and with one reader,
// in turns.
func events(ctx context.Context, o options, s *side) error {
	web := newClient(1)
	defer web.CloseIdleConnections()
	var alone, followed, delay []time.Duration
	var ratios []float64
	one := func() error { return s.exec(ctx, web) }
	const turn = 25 // execs between the coming and going of readers
	for i := 0; i < o.latencyRuns+turn; i += turn {
		a, err := timings(turn, one)
		if err != nil {
			return err
		}
		f, err := s.follow(ctx, 1, one)
		if err != nil {
			return err
		}
		b, err := timings(turn, one)
		f.stop()
		if err != nil {
			return err
		}
		if i > 0 { // the first turn warms
			alone, followed = append(alone, a...), append(followed, b...)
			ratios = append(ratios, ratio(quantile(b, 0.5), quantile(a, 0.5)))
		}
	}
	f, err := s.follow(ctx, eventReaders, one)
	if err != nil {
		return err
	}
	_, err = timings(o.latencyRuns, one)
	delay = f.stop()
	if err != nil {
		return err
	}
	a, b := quantile(alone, 0.5), quantile(followed, 0.5)
	fmt.Printf("events, %d execs each\n", o.latencyRuns)
	fmt.Printf("  exec alone        p50 %8s\n  exec followed     p50 %8s\n", round(a), round(b))
	fmt.Printf("  followed / alone %.3f (median of %d turns)    goal at most 1.05\n", median(ratios), len(ratios))
	fmt.Printf("  from the end of a command, its commit included, to %d readers   p50 %s  p99 %s    goal p99 at most 50ms\n\n",
		eventReaders, round(quantile(delay, 0.5)), round(quantile(delay, 0.99)))
	return nil
}

func timings(n int, f func() error) ([]time.Duration, error) {
	all := make([]time.Duration, n)
	for i := range all {
		var err error
		if all[i], err = timed(f); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// followers are readers of all events.
type followers struct {
	end   context.CancelFunc
	ended sync.WaitGroup

	mu     sync.Mutex
	delays []time.Duration // from a row's completion to its event
}

// follow starts n readers, and runs poke until each has seen an event: it is live.
func (s *side) follow(ctx context.Context, n int, poke func() error) (*followers, error) {
	ctx, end := context.WithCancel(ctx)
	f := &followers{end: end}
	ready, failed := make(chan struct{}, n), make(chan error, n)
	c := client.New(s.ready.URL, s.ready.Token)
	for range n {
		f.ended.Go(func() {
			first := true
			for row, err := range c.Events(ctx, client.EventOptions{Owner: client.Owner{Org: s.ready.OrgID}}) {
				if err != nil {
					failed <- err
					return
				}
				if first {
					first = false
					ready <- struct{}{}
				}
				if row.CompletedAt != nil {
					f.mu.Lock()
					f.delays = append(f.delays, time.Since(*row.CompletedAt))
					f.mu.Unlock()
				}
			}
		})
	}
	for live := 0; live < n; {
		err := poke()
		select {
		case <-ready:
			live++
		case err = <-failed:
		case <-time.After(10 * time.Millisecond):
		}
		if err != nil {
			f.stop()
			return nil, err
		}
	}
	return f, nil
}

// stop ends the readers and returns the delays that they have seen.
func (f *followers) stop() []time.Duration {
	f.end()
	f.ended.Wait()
	return f.delays
}
