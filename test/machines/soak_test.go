//go:build linux

package machines

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/faultproxy"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// soakTime is how long TestSoak goes on; make soak sets it.
var soakTime = flag.Duration("soak", 8*time.Second, "how long to soak")

const (
	soakMachines = 3
	soakWorkers  = 12
)

// TestSoak runs execs, cancels them, and breaks what is between at random. Then nothing
// is out of place: every exec that a client knows of has one row, none is open, and no
// process, connection or descriptor is left.
func TestSoak(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	k := &soak{t: t, known: map[string]string{}}
	for i := range soakMachines {
		m := newMachine(t, s, sshd.Options{LoginShell: []string{"sh", "bash", "zsh"}[i]})
		k.machines = append(k.machines, m)
		k.proxies = append(k.proxies, m.behind(t, faultproxy.Faults{}))
	}
	descriptors := openDescriptors(t)
	ctx, cancel := context.WithTimeout(t.Context(), *soakTime)
	defer cancel()
	var workers sync.WaitGroup
	for range soakWorkers {
		workers.Go(func() {
			for ctx.Err() == nil {
				k.one(k.machines[rand.IntN(soakMachines)])
			}
		})
	}
	workers.Go(func() { k.disturb(ctx) })
	workers.Wait()
	t.Logf("%d execs, %d of them as they should, %d canceled, %d broken", k.all.Load(), k.well.Load(), k.canceled.Load(), k.broken.Load())
	k.check(s)
	await(t, "the descriptors to be closed", func() bool {
		// Warm connections stay, a few of each machine.
		return openDescriptors(t) <= descriptors+soakMachines*20
	})
}

// soak is what is known of the execs.
type soak struct {
	t        *testing.T
	machines []*machine
	proxies  []*faultproxy.Proxy

	all, well, canceled, broken atomic.Int64

	mu    sync.Mutex
	known map[string]string // statuses that clients came to know, by exec
}

// one runs one exec, of some kind.
func (k *soak) one(m *machine) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e := client.Exec{Workspace: m.name, Stdout: io.Discard, Stderr: io.Discard, Timeout: 20 * time.Second}
	want := 0
	switch rand.IntN(6) {
	case 0:
		e.Cmd, want = []string{"sh", "-c", "exit 9"}, 9
	case 1:
		e.Cmd, e.Timeout = []string{"sh", "-c", "trap '' TERM; sleep 600 & setsid sleep 600 & wait"}, time.Second
	case 2:
		e.Cmd, e.MaxOutputBytes = []string{"head", "-c", fmt.Sprint(rand.IntN(4_000_000)), "/dev/zero"}, 1<<24
	case 3:
		e.Cmd = []string{"sh", "-c", "echo up; sleep 600 & wait"}
		after := time.Duration(rand.IntN(300)) * time.Millisecond
		time.AfterFunc(after, cancel)
	case 4:
		e.Cmd, e.Stdin = []string{"cat"}, strings.NewReader(strings.Repeat("x", rand.IntN(500_000)))
	default:
		e.Cmd = []string{"true"}
	}
	done, err := m.client.Exec(ctx, e)
	k.all.Add(1)
	switch {
	case err == nil:
		if done.ExitCode != want {
			k.t.Errorf("%q ended with %d", e.Cmd, done.ExitCode)
		}
		k.well.Add(1)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.known[done.ExecID] = map[bool]string{true: "ok", false: "error"}[want == 0]
	case errors.Is(err, context.Canceled):
		k.canceled.Add(1)
	case sallyport.CodeOf(err) == sallyport.CodeExecTimeout && e.Timeout == time.Second:
		k.well.Add(1)
	default:
		k.broken.Add(1)
		k.judge(err)
	}
}

// judge accepts what a machine that is disturbed may give rise to.
func (k *soak) judge(err error) {
	switch code := sallyport.CodeOf(err); code {
	case sallyport.CodeConnectFailed, sallyport.CodeConnectTimeout, sallyport.CodeExecTransport, sallyport.CodeTooManyExecs, sallyport.CodeExecTimeout:
	default:
		k.t.Errorf("%s: %v", code, err)
	}
}

// disturb breaks something now and then, and mends it.
func (k *soak) disturb(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(100+rand.IntN(700)) * time.Millisecond):
		}
		i := rand.IntN(soakMachines)
		switch rand.IntN(4) {
		case 0:
			k.proxies[i].Cut(rand.IntN(2) == 0)
		case 1:
			k.machines[i].sshd.KillConnections()
		case 2:
			k.proxies[i].Set(faultproxy.Faults{Delay: 30 * time.Millisecond})
		default:
			k.proxies[i].Set(faultproxy.Faults{})
		}
	}
}

// check holds the rows to what clients know, and the machines to be empty.
func (k *soak) check(s *stack.Stack) {
	for _, p := range k.proxies {
		p.Set(faultproxy.Faults{})
	}
	rows := map[string]sallyport.Activity{}
	await(k.t, "every row to be complete", func() bool {
		rows = k.rows(s)
		for _, row := range rows {
			if row.Status == sallyport.StatusRunning {
				return false
			}
		}
		return true
	})
	for id, status := range k.known {
		if rows[id].Status != status {
			k.t.Errorf("exec %s is %q in the log, and its client knows %q", id, rows[id].Status, status)
		}
	}
	for _, row := range rows {
		if row.Survivors != nil && *row.Survivors != 0 {
			k.t.Errorf("survivors of %q: %d", row.Argv, *row.Survivors)
		}
	}
	unknown := 0
	for _, row := range rows {
		if row.SurvivorsUnknown {
			unknown++
		}
	}
	k.t.Logf("%d rows; of %d nobody could look what was left", len(rows), unknown)
	if unknown == 0 {
		await(k.t, "the machines to be empty", func() bool {
			for _, m := range k.machines {
				if len(m.sshd.Left()) > 0 {
					return false
				}
			}
			return true
		})
	}
}

// rows are all execs, each once.
func (k *soak) rows(s *stack.Stack) map[string]sallyport.Activity {
	all := map[string]sallyport.Activity{}
	for cursor := ""; ; {
		var page sallyport.List[sallyport.Activity]
		s.Do(k.t, http.MethodGet, "/orgs/dev/activity?type=workspace_exec&limit=500&cursor="+cursor, s.Token, "").Decode(k.t, &page)
		for _, row := range page.Items {
			if _, twice := all[row.ID]; twice {
				k.t.Errorf("row %s is there twice", row.ID)
			}
			all[row.ID] = row
		}
		if cursor = page.NextCursor; cursor == "" {
			return all
		}
	}
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
