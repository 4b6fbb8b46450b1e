//go:build linux

package faults

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostileTime is how long the hostile organisation goes on. A minute is the long form, which
// alone judges how long a neighbour's execs and the look at the store take: a busy machine's
// times say nothing.
var hostileTime = flag.Duration("hostile", 3*time.Second, "how long TestHostileOrganisation goes on; from 1m on it judges times")

const (
	hostileFiles     = 512
	hostileMemoryMax = raceMemory * 512 << 20
)

// One organisation does all at once that ever stopped the others: bodies that it holds open,
// bodies of nothing but unknown names, connections that ask nothing, pages that it doesn't
// read, event streams until they are refused, tokens by the dozen, refusals, diagnoses and
// execs as fast as it can. The server has few descriptors and little memory. Its neighbour's
// execs all succeed, the server is ready all the while, and stays within its memory.
func TestHostileOrganisation(t *testing.T) {
	server := startChild(t, childOptions{openFiles: hostileFiles, processEnv: []string{"GOMEMLIMIT=256MiB"}, env: map[string]string{
		"SALLYPORT_LIMITS_REQUESTS_PER_S": "200", "SALLYPORT_LIMITS_ORG_REQUESTS_PER_S": "1000", // as a server has them
		"SALLYPORT_LIMITS_RUNNING_EXECS": "12", // commands on this very machine take eight descriptors each
	}})
	attacker := newAttacker(t, server.Stack)
	neighbour := newTenant(t, server.Stack, "neighbour")
	quiet := server.serve(t, neighbour, max(time.Second, *hostileTime/6))

	end := attacker.begin(t)
	hostile := server.serve(t, neighbour, *hostileTime)
	count := end()
	t.Logf("quiet: %s; beside the hostile one: %s; %d of its requests were refused, %d granted, %d cut",
		quiet, hostile, count.Refused, count.Granted, count.Cut)
	if count.Refused == 0 || count.Granted == 0 {
		t.Error("nothing was refused, or nothing granted: the attack is none")
	}
	if *hostileTime >= time.Minute && hostile.p99() > 4*quiet.p99() {
		t.Errorf("p99 %s, want within four times %s", hostile.p99(), quiet.p99())
	}
	if code := server.terminate(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}

// measured are the times of a neighbour's execs, in order, and the most memory seen.
type measured struct {
	times  []time.Duration
	memory int64
	// unready counts the times that the server said it was not ready.
	unready int
}

func (m measured) p99() time.Duration { return m.times[len(m.times)*99/100] }

func (m measured) String() string {
	return fmt.Sprintf("%d execs, p50 %s, p99 %s, %d MiB", len(m.times), m.times[len(m.times)/2], m.p99(), m.memory>>20)
}

// serve has the neighbour run execs for a while, as a client does that keeps its connection.
// Each must succeed, the server must be ready and within its memory.
func (c *child) serve(t *testing.T, neighbour *tenant, d time.Duration) (m measured) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport}
	for end := time.Now().Add(d); time.Now().Before(end); {
		req := c.Request(t, http.MethodPost, "/workspaces/build/exec", neighbour.token, `{"cmd":["echo","served"]}`)
		began := time.Now()
		status, body := fetch(t, web, req)
		m.times = append(m.times, time.Since(began))
		if status != http.StatusOK || !strings.Contains(body, "served") || !strings.Contains(body, `"exit_code":0`) {
			t.Errorf("the neighbour's exec %d: %d %s", len(m.times), status, body)
		}
		if status, body := fetch(t, web, c.Request(t, http.MethodGet, "/readyz", "", "")); status != http.StatusOK {
			m.unready++
			t.Logf("readyz: %d %s", status, body)
		}
		m.memory = max(m.memory, c.memory(t))
	}
	if m.unready > 0 && (*hostileTime >= time.Minute || m.unready == len(m.times)) {
		t.Errorf("%d times of %d the server was not ready", m.unready, len(m.times))
	}
	if m.memory > hostileMemoryMax {
		t.Errorf("the server took %d MiB", m.memory>>20)
	}
	slices.Sort(m.times)
	return m
}

// fetch sends a request and reads its answer.
func fetch(t *testing.T, web *http.Client, req *http.Request) (status int, body string) {
	t.Helper()
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(read)
}

// memory is what the process holds now (VmRSS).
func (c *child) memory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
