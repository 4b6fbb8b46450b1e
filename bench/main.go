// Command bench measures what Sallyport adds to a bare SSH session, in one run
// and interleaved, so that a noisy machine disturbs both sides alike, and prints
// ratios. The base is a golang.org/x/crypto/ssh session on a warm connection to
// the same embedded host that runs `exec /bin/true`, or cat of a file.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/server"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options bound how long a run takes.
type options struct {
	latencyRuns int
	rounds      int
	roundTime   time.Duration
	outputMiB   int
	floodLimit  int
	program     string
	only        string
	profile     string
}

func run() error {
	var o options
	flag.IntVar(&o.latencyRuns, "n", 500, "pairs of warm execs to time")
	flag.IntVar(&o.rounds, "rounds", 5, "pairs of rounds at concurrency 32, and of streams")
	flag.DurationVar(&o.roundTime, "round", 2*time.Second, "length of one round at concurrency 32")
	flag.IntVar(&o.outputMiB, "mib", 256, "size of a stream, in MiB")
	flag.IntVar(&o.floodLimit, "flood-limit", 40, "requests a second that the tenant who floods may make")
	flag.StringVar(&o.program, "program", "bin/sallyport", "the command line to stream through")
	flag.StringVar(&o.only, "only", "", "one section: latency, rate, stream, events, foreign or neighbour")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of this process to a file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	dir, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears what is left
	stopProfile, err := startProfile(o.profile)
	if err != nil {
		return err
	}
	defer stopProfile()
	return withStack(ctx, dir, func(s *side) error {
		for _, section := range sections() {
			if o.only != "" && o.only != section.name {
				continue
			}
			if err := section.run(ctx, o, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// section is one comparison.
type section struct {
	name string
	run  func(context.Context, options, *side) error
}

func sections() []section {
	return []section{{"latency", latency}, {"rate", rate}, {"stream", stream}, {"events", events}, {"foreign", foreign}, {"neighbour", neighbour}}
}

// startProfile profiles this process until the returned function is called; no
// name, no profile.
func startProfile(name string) (stop func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// side holds both sides of the comparison.
type side struct {
	dir   string
	ready server.Ready
	base  *bare
}

// withStack runs f with a whole server in this process, and a bare SSH client.
func withStack(ctx context.Context, dir string, f func(*side) error) error {
	loaded, err := config.Load(config.LoadOptions{
		Mode:  config.ModeDev,
		Flags: map[string]string{"listen": "127.0.0.1:0", "data_dir": filepath.Join(dir, "data")},
		Env:   func(string) (string, bool) { return "", false },
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ready, ended := make(chan server.Ready, 1), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, loaded.Config, server.RunOptions{Ready: func(r server.Ready) { ready <- r }})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
		}
	}()
	s := &side{dir: dir}
	select {
	case s.ready = <-ready:
	case err := <-ended:
		ended <- err
		return fmt.Errorf("start: %w", err)
	}
	if s.base, err = newBare(ctx); err != nil {
		return err
	}
	defer s.base.close()
	return f(s)
}
