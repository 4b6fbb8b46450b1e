//go:build linux

package cluster

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// benchRound is how long a round of TestBench lasts; make bench sets it. The short ones
// that make test runs show that it works, and nothing of speed.
var benchRound = flag.Duration("bench-round", 100*time.Millisecond, "length of one round of execs")

const (
	// benchCallers are at once.
	benchCallers = 48
	// benchRounds are counted of each spread, behind one that warms.
	benchRounds = 3
	// benchOrgs is how many organisations there are where there are several.
	benchOrgs = 4
)

// TestBench measures a cluster: how many execs a second one, two and three servers carry,
// and what they wait for; and how late the events of one are told by another.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a cluster to measure it")
	}
	w := newWorld(t, Options{Postgres: []string{"track_commit_timestamp=on"}})
	b := &bench{world: w}
	for i := range benchOrgs {
		b.tenants = append(b.tenants, b.newTenant(t, i))
	}
	spreads := []*spread{
		{replicas: 1, orgs: 1}, {replicas: 2, orgs: 1}, {replicas: 3, orgs: 1}, {replicas: 1, orgs: benchOrgs}, {replicas: 3, orgs: benchOrgs},
	}
	rounds := benchRounds
	if *benchRound < time.Second {
		rounds = 1 // what is measured so says nothing, and goes by the same way
	}
	for i := range rounds + 1 {
		for _, s := range spreads {
			if r := b.round(t, s); i > 0 {
				s.count(r)
			}
		}
	}
	fmt.Printf("true at concurrency %d behind a balancer, on OpenSSH, %d rounds of %s each in turns, on %d CPUs\n",
		benchCallers, rounds, *benchRound, runtime.NumCPU())
	for _, s := range spreads {
		s.print()
	}
	fmt.Println()
	b.events(t)
}

// bench is a cluster and who calls it.
type bench struct {
	*world
	tenants []tenant
}

// tenant is an organisation with a machine of its own, and its callers: each has a token,
// since requests are counted by token.
type tenant struct {
	org     sallyport.Org
	ws      sallyport.Workspace
	callers []*client.Client
}

func (b *bench) newTenant(t *testing.T, i int) tenant {
	t.Helper()
	n := tenant{}
	var err error
	if n.org, err = b.admin.CreateOrg(t.Context(), sallyport.OrgCreate{Name: "bench-" + strconv.Itoa(i)}); err != nil {
		t.Fatal(err)
	}
	n.ws = b.Machine(t, n.org.ID, "build")
	for range benchCallers {
		n.callers = append(n.callers, b.Client(t, "", b.tokenOf(t, n.org)))
	}
	return n
}

func (b *bench) tokenOf(t *testing.T, org sallyport.Org) string {
	t.Helper()
	token, err := b.admin.CreateToken(t.Context(), client.Owner{Org: org.ID}, sallyport.TokenCreate{Name: "bench", Scopes: sallyport.AllScopes()})
	if err != nil {
		t.Fatal(err)
	}
	return token.Secret
}

// spread is how many servers are called, on behalf of how many organisations, and what was
// seen of it.
type spread struct {
	replicas, orgs int

	rates []float64
	total round
}

// round is what was seen in a time.
type round struct {
	length time.Duration
	took   []time.Duration // by the execs
	cpu    cpuTimes
	log    logTimes
}

// count adds a round to the others.
func (s *spread) count(r round) {
	s.rates = append(s.rates, float64(len(r.took))/r.length.Seconds())
	if s.total.cpu == nil {
		s.total.cpu = cpuTimes{}
	}
	s.total.length += r.length
	s.total.took = append(s.total.took, r.took...)
	s.total.cpu.add(r.cpu)
	s.total.log = s.total.log.plus(r.log, 1)
}

func (s *spread) print() {
	slices.Sort(s.rates)
	r := s.total
	fmt.Printf("  replicas %d, organisations %d   %5.0f execs/s   p50 %s  p99 %s\n",
		s.replicas, s.orgs, s.rates[len(s.rates)/2], quantile(r.took, 0.5), quantile(r.took, 0.99))
	fmt.Printf("    %s\n", r.cpu.by(len(r.took)))
	fmt.Printf("    %s\n", r.log.in(r.length))
}

// round runs execs for a while, as many at once as there are callers.
func (b *bench) round(t *testing.T, s *spread) round {
	t.Helper()
	b.Use(s.replicas)
	defer b.Use(0)
	r := round{}
	log, cpu, began := b.readLog(t), readCPU(t), time.Now()
	var mu sync.Mutex // guards r.took
	var all sync.WaitGroup
	for i := range benchCallers {
		n := b.tenants[i%s.orgs]
		all.Go(func() {
			var took []time.Duration
			for time.Since(began) < *benchRound && !t.Failed() {
				at := time.Now()
				_, err := n.callers[i].Exec(t.Context(), client.Exec{Workspace: n.ws.ID, Cmd: []string{"true"}})
				if codeOf(err) == sallyport.CodePlatformUnavailable {
					continue // a machine that others keep busy answers for its store too late
				}
				if err != nil {
					t.Error(err)
				}
				took = append(took, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			r.took = append(r.took, took...)
		})
	}
	all.Wait()
	r.length, r.cpu, r.log = time.Since(began), readCPU(t).since(cpu), b.readLog(t).plus(log, -1)
	return r
}

// logTimes are what the servers say of the commits of their activity logs.
type logTimes struct{ commits, rows, durable, durableS float64 }

func (l logTimes) plus(o logTimes, sign float64) logTimes {
	return logTimes{
		commits: l.commits + sign*o.commits, rows: l.rows + sign*o.rows,
		durable: l.durable + sign*o.durable, durableS: l.durableS + sign*o.durableS,
	}
}

// in says what was committed in a time.
func (l logTimes) in(length time.Duration) string {
	return fmt.Sprintf("commits: %.0f a second, of %.1f rows; those that wait for the disk take %.1f ms",
		l.commits/length.Seconds(), l.rows/max(l.commits, 1), 1000*l.durableS/max(l.durable, 1))
}

// readLog sums the servers' own metrics.
func (b *bench) readLog(t *testing.T) logTimes {
	t.Helper()
	var sum logTimes
	for _, r := range b.Replicas {
		resp, err := http.Get(r.URL() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			name, text, _ := strings.Cut(lines.Text(), " ")
			value, _ := strconv.ParseFloat(text, 64)
			switch name {
			case "sallyport_audit_commit_rows_count":
				sum.commits += value
			case "sallyport_audit_commit_rows_sum":
				sum.rows += value
			case `sallyport_audit_commit_duration_seconds_count{durable="true"}`:
				sum.durable += value
			case `sallyport_audit_commit_duration_seconds_sum{durable="true"}`:
				sum.durableS += value
			}
		}
		resp.Body.Close()
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return sum
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[min(int(float64(len(d))*q), len(d)-1)].Round(10 * time.Microsecond)
}
