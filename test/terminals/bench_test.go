package terminals

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/loopback"
	"sallyport/test/program"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// What TestBench times; make bench sets it. What make test runs shows that it works, and nothing
// of speed.
var (
	benchRuns      = flag.Int("bench-runs", 2, "keys that are typed each way")
	benchTerminals = flag.Int("bench-terminals", 2, "terminals that are idle while memory is looked at")
	benchProfile   = flag.String("bench-profile", "", "a directory for profiles of the server with idle terminals")
)

// echoing is a program that prints what is typed, as an editor does.
const echoing = "stty raw -echo; printf READY; exec cat"

// echoer is a way to type to that program.
type echoer struct {
	name string
	io.ReadWriter
	took []time.Duration
}

// TestBench compares how soon a key is echoed through plain ssh, through the Go client, and through
// `sallyport shell`, by the same program behind the same OpenSSH, in turns. ssh and the command line
// are processes at terminals of their own; Sallyport's server is in the test's.
func TestBench(t *testing.T) {
	ssh := program.Need(t, "ssh")
	m, machine := onSSHD(t, stack.Start(t, stack.Options{}), "there", sshd.Options{})
	terminal, err := client.New(m.URL, m.Token).Terminal(t.Context(), m.workspace, client.TerminalOptions{Cmd: []string{"sh", "-c", echoing}})
	must(t, err)
	defer terminal.Close()
	args := append(machine.ClientArgs(t), "-tt", "-o", "IgnoreUnknown=ObscureKeystrokeTiming", "-o", "ObscureKeystrokeTiming=no", "127.0.0.1", echoing)
	ways := []*echoer{
		{name: "ssh -tt", ReadWriter: atTerminal(t, nil, ssh, args...)},
		{name: "Go client", ReadWriter: terminal},
		{name: "sallyport shell", ReadWriter: atTerminal(t, []string{"SALLYPORT_URL=" + m.URL, "SALLYPORT_TOKEN=" + m.Token},
			program.Path(t), "shell", m.workspace, "--", "sh", "-c", echoing)},
	}
	for _, way := range ways {
		readUntil(t, way, "READY")
	}
	for run := range *benchRuns + *benchRuns/10 {
		for _, way := range ways {
			began := time.Now()
			_, err := way.Write([]byte("x"))
			must(t, err)
			readUntil(t, way, "x")
			if run >= *benchRuns/10 { // warm by now
				way.took = append(way.took, time.Since(began))
			}
		}
	}
	fmt.Printf("the echo of a key, %d each\n", *benchRuns)
	base := quantile(ways[0].took, 0.5)
	for _, way := range ways {
		p50 := quantile(way.took, 0.5)
		fmt.Printf("  %-16s p50 %8s  p99 %8s  p50 beyond ssh %8s (goal at most 2ms)\n", way.name, p50, quantile(way.took, 0.99), p50-base)
	}
}

// quantile is that of durations, in 10 µs.
func quantile(d []time.Duration, q float64) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[min(int(float64(len(d))*q), len(d)-1)].Round(10 * time.Microsecond)
}

// readUntil reads byte by byte until text has come.
func readUntil(t testing.TB, from io.Reader, text string) {
	t.Helper()
	var seen strings.Builder
	b := make([]byte, 1)
	for !strings.Contains(seen.String(), text) {
		if _, err := from.Read(b); err != nil {
			t.Fatalf("after %q: %v", seen.String(), err)
		}
		seen.Write(b)
	}
}

// TestIdleMemory looks at the memory that idle terminals take of a server, which is a process of
// its own: what it holds with them less what it held with half of them, after a collection of garbage.
func TestIdleMemory(t *testing.T) {
	address, err := loopback.FreeAddr()
	must(t, err)
	report := filepath.Join(t.TempDir(), "memory.json")
	n := *benchTerminals
	limit := strconv.Itoa(2 * n)
	server := program.Start(t, stack.MakeDataDir(t), address, reportsMemory+"="+report, profilesTo+"="+*benchProfile,
		"SALLYPORT_LIMITS_RUNNING_TERMINALS="+limit, "SALLYPORT_LIMITS_RUNNING_TERMINALS_PER_WORKSPACE="+limit)
	c := client.New(server.URL, server.Token)
	defer c.Close()
	workspaceOn(t, c)
	idle := func(n int) {
		for range n {
			terminal, err := c.Terminal(t.Context(), "there", client.TerminalOptions{})
			must(t, err)
			t.Cleanup(func() { _ = terminal.Close() })
			readUntil(t, terminal, "$")
		}
	}
	idle(n)
	before := memoryOf(t, server, report)
	idle(n)
	after := memoryOf(t, server, report)
	each := func(a, b uint64) float64 { return float64(int64(a)-int64(b)) / 1024 / float64(n) }
	fmt.Printf("%d idle terminals on OpenSSH\n", n)
	fmt.Printf("  each %.0f KiB of the heap, %.0f KiB of stacks, %.1f goroutines; %.0f KiB resident (goal at most 100)\n",
		each(after.Heap, before.Heap), each(after.Stacks, before.Stacks), float64(after.Goroutines-before.Goroutines)/float64(n), each(after.Resident, before.Resident))
}

// workspaceOn makes a workspace there, on an OpenSSH.
func workspaceOn(t testing.TB, c *client.Client) {
	t.Helper()
	keys, err := c.CAKeys(t.Context())
	must(t, err)
	ca := filepath.Join(t.TempDir(), "ca.pub")
	must(t, os.WriteFile(ca, []byte(keys[0].PublicKey+"\n"), 0o644))
	machine := sshd.Start(t, sshd.Options{LoginShell: "sh", Config: []string{"TrustedUserCAKeys " + ca}})
	host, port, err := net.SplitHostPort(machine.Addr)
	must(t, err)
	on := sallyport.Connector{Type: sallyport.ConnectorSSH, Host: host, User: machine.User, TrustOnFirstUse: true}
	on.Port, err = strconv.Atoi(port)
	must(t, err)
	_, err = c.CreateWorkspace(t.Context(), sallyport.WorkspaceCreate{Name: "there", Tier: sallyport.TierFullHost, Connector: &on})
	must(t, err)
}

// reportsMemory names the variable of a program that writes its memory to a file at each SIGUSR1.
const reportsMemory = "SALLYPORT_TEST_REPORTS_MEMORY"

// memory is what a process holds, in bytes, and how many goroutines it has.
type memory struct {
	Heap, Stacks, Resident uint64
	Goroutines             int
}

// reportMemory writes the memory of this process, after a collection of garbage, to a file at each
// of signals.
func reportMemory(file string, signals <-chan os.Signal) {
	for range signals {
		for range 4 { // each halves the stacks that are larger than they need be
			debug.FreeOSMemory()
		}
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		m := memory{Heap: stats.HeapInuse, Stacks: stats.StackInuse, Goroutines: runtime.NumGoroutine(), Resident: resident()}
		text, _ := json.Marshal(m)
		if os.WriteFile(file+".new", text, 0o600) == nil {
			_ = os.Rename(file+".new", file) // whoever waits for it says so
		}
		if dir := os.Getenv(profilesTo); dir != "" {
			for _, name := range []string{"heap", "goroutine"} {
				if f, err := os.Create(filepath.Join(dir, name)); err == nil {
					_ = pprof.Lookup(name).WriteTo(f, 0)
					f.Close()
				}
			}
		}
	}
}

// profilesTo names the variable of the directory for profiles.
const profilesTo = "SALLYPORT_TEST_PROFILES_TO"

// resident is the memory of this process, as the kernel counts it.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var all, pages uint64
	_, _ = fmt.Sscan(string(text), &all, &pages) // 0 where it isn't Linux
	return pages * uint64(os.Getpagesize())
}

// memory asks a server what it holds.
func memoryOf(t testing.TB, p *program.Server, report string) (m memory) {
	t.Helper()
	_ = os.Remove(report) // there is none at first
	must(t, syscall.Kill(p.PID, syscall.SIGUSR1))
	until(t, "the memory is reported", func() bool {
		text, err := os.ReadFile(report)
		return err == nil && json.Unmarshal(text, &m) == nil
	}, func() any { return m })
	return m
}
