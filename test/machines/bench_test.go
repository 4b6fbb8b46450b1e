//go:build linux

package machines

import (
	"bytes"
	"context"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crypto/ed25519"
	"crypto/rand"

	"golang.org/x/crypto/ssh"

	"sallyport/test/faultproxy"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// benchRuns is how many execs of each kind TestBench times; make bench sets it. The
// few that make test runs show that it works, and nothing of speed.
var benchRuns = flag.Int("bench-runs", 3, "execs of each kind to time")

// TestBench compares an exec through the whole stack, with its durable row, with what
// else one could take, on one real sshd, in turns: a bare session on a warm connection
// of x/crypto, ssh over a warm ControlMaster, and a fresh ssh.
func TestBench(t *testing.T) {
	s := stack.Start(t, stack.Options{DataDir: t.TempDir()})
	m := newMachine(t, s, sshd.Options{MaxStartups: "100:30:200"})
	b := newBench(t, m)
	fmt.Printf("a warm true on OpenSSH, %d turns\n", *benchRuns)
	took := b.turns(t, *benchRuns, []way{
		{"bare session", func() error { return b.session(b.warm[0], "exec /bin/true") }},
		{"whole stack", func() error { return b.exec(m.name, nil) }},
		{"ControlMaster", b.master},
	})
	for _, name := range []string{"bare session", "whole stack", "ControlMaster"} {
		fmt.Printf("  %-16s p50 %9s  p99 %9s\n", name, took.q(name, 0.5), took.q(name, 0.99))
	}
	fmt.Printf("  stack / bare p50 %.2f (goal at most 1.65)  p99 %.2f (2.00)   ControlMaster / stack %.2f (goal at least 1.40)\n",
		took.ratio("whole stack", "bare session", 0.5), took.ratio("whole stack", "bare session", 0.99), took.ratio("ControlMaster", "whole stack", 0.5))
	fresh := b.turns(t, max(*benchRuns/20, 1), []way{
		{"fresh ssh", b.fresh}, {"whole stack", func() error { return b.exec(m.name, nil) }},
	})
	fmt.Printf("  fresh ssh / stack %.0f (goal at least 30)\n\n", fresh.ratio("fresh ssh", "whole stack", 0.5))

	for _, workers := range []int{8, 32} {
		var ratios []float64
		for range 3 {
			bare := b.rate(t, workers, func(i int) error { return b.session(b.warm[i%len(b.warm)], "exec /bin/true") })
			stack := b.rate(t, workers, func(int) error { return b.exec(m.name, nil) })
			ratios = append(ratios, stack/bare)
		}
		slices.Sort(ratios)
		fmt.Printf("at concurrency %2d  stack / bare %.2f (goal at least %.1f)\n", workers, ratios[1], map[int]float64{8: 0.6, 32: 0.7}[workers])
	}
	b.link(t, m)
}

// link measures over a round trip of 20 ms more.
func (b *bench) link(t *testing.T, m *machine) {
	p := faultproxy.Start(t, m.sshd.Addr, faultproxy.Faults{Delay: 10 * time.Millisecond})
	m.name += "-far"
	m.create(t, m.connector(t, p.Addr))
	far := b.dial(t, p.Addr)
	took := b.turns(t, max(*benchRuns/5, 3), []way{
		{"bare session", func() error { return b.session(far, "exec /bin/true") }},
		{"whole stack", func() error { return b.exec(m.name, nil) }},
	})
	fmt.Printf("with 20 ms of round trip  stack / bare %.2f (goal at most 0.65)\n", took.ratio("whole stack", "bare session", 0.5))
}

// way is one way to run a command.
type way struct {
	name string
	run  func() error
}

// timings are how long each way took, in order of time.
type timings map[string][]time.Duration

func (took timings) q(name string, q float64) time.Duration {
	all := slices.Sorted(slices.Values(took[name]))
	return all[min(int(float64(len(all))*q), len(all)-1)].Round(10 * time.Microsecond)
}

func (took timings) ratio(a, b string, q float64) float64 {
	return float64(took.q(a, q)) / float64(took.q(b, q))
}

// bench holds what the ways need.
type bench struct {
	m      *machine
	signer ssh.Signer
	warm   []*ssh.Client
	http   *http.Client
	config string // for ssh
}

func newBench(t *testing.T, m *machine) *bench {
	t.Helper()
	dir := t.TempDir()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	m.sshd.Authorize(t, signer.PublicKey())
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &bench{m: m, signer: signer, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, config: filepath.Join(dir, "config")}
	t.Cleanup(b.http.CloseIdleConnections)
	host, port, _ := net.SplitHostPort(m.sshd.Addr)
	config := fmt.Sprintf("Host m fresh\n HostName %s\n Port %s\n User %s\n IdentityFile %s\n IdentitiesOnly yes\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\nHost m\n ControlPath %s/cm\n ControlMaster auto\n ControlPersist 60\n",
		host, port, m.sshd.User, key, dir)
	if err := os.WriteFile(b.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		b.warm = append(b.warm, b.dial(t, m.sshd.Addr))
	}
	t.Cleanup(func() { _ = exec.Command("ssh", "-F", b.config, "-O", "exit", "m").Run() }) // it may have ended
	return b
}

func (b *bench) dial(t *testing.T, addr string) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{
		User: b.m.sshd.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(b.signer)}, HostKeyCallback: ssh.FixedHostKey(b.m.sshd.HostKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (b *bench) session(c *ssh.Client, line string) error {
	s, err := c.NewSession()
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Run(line)
}

func (b *bench) exec(workspace string, out io.Writer) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, b.m.URL+"/workspaces/"+workspace+"/exec", strings.NewReader(`{"cmd":["/bin/true"]}`))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.m.Token)
	resp, err := b.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.HasPrefix(body, []byte(`{"exit_code":0,`)) {
		err = fmt.Errorf("exec: %d %s", resp.StatusCode, body)
	}
	return err
}

func (b *bench) master() error { return exec.Command("ssh", "-F", b.config, "m", "/bin/true").Run() }
func (b *bench) fresh() error  { return exec.Command("ssh", "-F", b.config, "fresh", "/bin/true").Run() }

// turns times the ways in turns, after a few that warm.
func (b *bench) turns(t *testing.T, n int, ways []way) timings {
	t.Helper()
	took := timings{}
	for i := range n + 2 {
		for _, w := range ways {
			began := time.Now()
			if err := w.run(); err != nil {
				t.Fatalf("%s: %v", w.name, err)
			}
			if i >= 2 {
				took[w.name] = append(took[w.name], time.Since(began))
			}
		}
	}
	return took
}

// rate is how many of f succeed in a second, with workers at once. What comes first isn't
// counted: the other way's sessions are still ending then, and connections being made.
func (b *bench) rate(t *testing.T, workers int, f func(worker int) error) float64 {
	t.Helper()
	length := time.Duration(*benchRuns) * 5 * time.Millisecond
	began := time.Now()
	counted := began.Add(length / 2)
	var done atomic.Int64
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for time.Since(began) < length*3/2 {
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
				if time.Now().After(counted) {
					done.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(counted).Seconds()
}
