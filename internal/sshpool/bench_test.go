package sshpool_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/sshpool"
	"sallyport/test/faultproxy"
	"sallyport/test/sshd"
)

// BenchmarkAct measures an act on a real sshd through the pool, and the bare
// session that is the least it can cost, interleaved, over loopback and over a link
// of 20 ms. go test -run xxx -bench Act -benchtime 400x ./internal/sshpool
func BenchmarkAct(b *testing.B) {
	for _, delay := range []time.Duration{0, 10 * time.Millisecond} {
		for _, workers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("rtt %v, %d at once", 2*delay, workers), func(b *testing.B) {
				p := &sshpool.Pool{}
				defer p.Close()
				s := sshd.Start(b, sshd.Options{})
				r := &real{Server: s, proxy: faultproxy.Start(b, s.Addr, faultproxy.Faults{Delay: delay})}
				bare := newBare(b, r, workers)
				pooled := func() error {
					s, err := openOn(b.Context(), p, r.target())
					if err != nil {
						return err
					}
					defer s.Close()
					_, err = output(s, "exec /bin/true")
					return err
				}
				measure(b, workers, "bare", bare, "pool", pooled)
			})
		}
	}
}

// measure runs both by turns and reports medians, the 99th of a hundred, and the
// ratios of medians and of rates.
func measure(b *testing.B, workers int, nameA string, a func() error, nameB string, z func() error) {
	b.Helper()
	took := map[string][]time.Duration{}
	spent := map[string]time.Duration{}
	round := func(name string, act func() error) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		began := time.Now()
		for range workers {
			wg.Go(func() {
				for range 10 {
					began := time.Now()
					if err := act(); err != nil {
						b.Error(err)
					}
					mu.Lock()
					took[name] = append(took[name], time.Since(began))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		spent[name] += time.Since(began)
	}
	for done := 0; done < b.N || done == 0; done += 10 * workers {
		round(nameA, a)
		round(nameB, z)
	}
	at := func(name string, of float64) float64 {
		all := took[name]
		slices.Sort(all)
		return float64(all[int(of*float64(len(all)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(nameA, 0.5), nameA+"-p50-ms")
	b.ReportMetric(at(nameB, 0.5), nameB+"-p50-ms")
	b.ReportMetric(at(nameB, 0.5)/at(nameA, 0.5), "p50-ratio")
	b.ReportMetric(at(nameB, 0.99)/at(nameA, 0.99), "p99-ratio")
	b.ReportMetric(float64(spent[nameA])/float64(spent[nameB]), "rate-ratio")
	b.ReportMetric(0, "ns/op")
}

// newBare returns a bare session on warm connections, of which there are as many as
// workers need.
func newBare(b *testing.B, r *real, workers int) func() error {
	b.Helper()
	free := make(chan *ssh.Client, workers)
	for range workers {
		link, err := r.DialAt(context.Background(), r.proxy.Addr)
		if err != nil {
			b.Fatal(err)
		}
		conn, chans, reqs, err := ssh.NewClientConn(link.Conn, "", &ssh.ClientConfig{
			User: link.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(r.Signer)}, HostKeyCallback: ssh.FixedHostKey(r.HostKey),
		})
		if err != nil {
			b.Fatal(err)
		}
		client := ssh.NewClient(conn, chans, reqs)
		b.Cleanup(func() { _ = client.Close() })
		free <- client
	}
	return func() error {
		client := <-free
		defer func() { free <- client }()
		s, err := client.NewSession()
		if err != nil {
			return err
		}
		defer s.Close()
		s.Stdout = io.Discard
		return s.Run("exec /bin/true")
	}
}
