//go:build linux

package eic

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// benchRuns is how many execs of each kind TestBench times; make bench sets it. The few
// that make test runs show that it works, and nothing of speed.
var benchRuns = flag.Int("bench-runs", 3, "execs of each kind to time")

// TestBench compares a warm exec through a tunnel with one over plain SSH, on one sshd, in
// turns; and times first execs with 50 ms added to every call to AWS and to the upgrade.
func TestBench(t *testing.T) {
	w := newWorld(t, eicsim.Options{TunnelsMax: 10000}, nil)
	ca := filepath.Join(t.TempDir(), "ca.pub")
	if err := os.WriteFile(ca, []byte(w.Do(t, http.MethodGet, "/ca", w.Token, "").Body), 0o644); err != nil {
		t.Fatal(err)
	}
	tunnel := w.newMachine(t, sshd.Options{Config: []string{"TrustedUserCAKeys " + ca}})
	host, text, _ := strings.Cut(tunnel.sshd.Addr, ":")
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	plain := &machine{world: w, name: "plain", sshd: tunnel.sshd}
	plain.create(t, &sallyport.Connector{Type: sallyport.ConnectorSSH, Host: host, Port: port, User: tunnel.sshd.User, TrustOnFirstUse: true})
	took := map[*machine][]time.Duration{}
	for i := range *benchRuns + 2 {
		for _, m := range []*machine{plain, tunnel} {
			began := time.Now()
			m.must(t, "true")
			if i >= 2 { // the first warm it
				took[m] = append(took[m], time.Since(began))
			}
		}
	}
	q := func(m *machine, q float64) time.Duration {
		all := slices.Sorted(slices.Values(took[m]))
		return all[min(int(float64(len(all))*q), len(all)-1)]
	}
	fmt.Printf("a warm true, %d turns: through a tunnel p50 %s p99 %s, over plain SSH p50 %s p99 %s: ratio %.2f\n", *benchRuns,
		q(tunnel, 0.5).Round(10*time.Microsecond), q(tunnel, 0.99).Round(10*time.Microsecond), q(plain, 0.5).Round(10*time.Microsecond), q(plain, 0.99).Round(10*time.Microsecond),
		float64(q(tunnel, 0.5))/float64(q(plain, 0.5)))

	w.sim.Faults(eicsim.Faults{Delay: 50 * time.Millisecond})
	var firsts []time.Duration
	for range max(*benchRuns/20, 2) {
		m := w.newMachine(t, sshd.Options{})
		// A VPC of its own: nothing of the way is remembered.
		id := fmt.Sprintf("eice-%017x", w.count)
		w.sim.UpdateInstance(m.id, func(i *eicsim.Instance) { i.VPC = "vpc-" + m.id })
		w.sim.AddEndpoint(eicsim.EndpointRecord{ID: id, VPC: "vpc-" + m.id, Subnet: subnet})
		began := time.Now()
		m.must(t, "true")
		firsts = append(firsts, time.Since(began))
	}
	slices.Sort(firsts)
	fmt.Printf("a first exec with 50 ms added to each call to AWS and to the upgrade: p50 %s, worst %s (goal at most 400ms)\n",
		firsts[len(firsts)/2].Round(time.Millisecond), firsts[len(firsts)-1].Round(time.Millisecond))
}
