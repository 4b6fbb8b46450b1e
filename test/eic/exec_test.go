//go:build linux

package eic

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// A hundred execs take one push and one tunnel; the host key is pinned by the first, and
// the connection outlives the key's minute.
func TestExec(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	m := w.newMachine(t, sshd.Options{})
	for range 100 {
		if out := m.must(t, "echo", "hello"); out != "hello\n" {
			t.Fatalf("%q", out)
		}
	}
	for action, want := range map[string]int{
		eicsim.DescribeInstances: 1, eicsim.DescribeEndpoints: 1, eicsim.SendSSHPublicKey: 1, eicsim.OpenTunnel: 1,
	} {
		if got := w.sim.Calls(action); got != want {
			t.Errorf("%s: %d calls, want %d", action, got, want)
		}
	}
	if q := w.sim.LastTunnelQuery(); q.Get("maxTunnelDuration") != "3600" || q.Get("remotePort") != "22" {
		t.Errorf("tunnel asked for with %v", q)
	}
	var ws sallyport.Workspace
	w.Do(t, http.MethodGet, "/workspaces/"+m.name, w.Token, "").Decode(t, &ws)
	if !strings.HasPrefix(ws.Connector.HostKey, "ssh-ed25519 AAAA") {
		t.Errorf("pinned %q", ws.Connector.HostKey)
	}
	if rejected := w.sim.Rejections(); len(rejected) > 0 {
		t.Errorf("the simulator refused %q", rejected)
	}
}

// Callers who come at once, and first, share one set-up.
func TestFirstCallers(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	w.sim.Faults(eicsim.Faults{Delay: 50 * time.Millisecond})
	m := w.newMachine(t, sshd.Options{})
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { m.must(t, "true") })
	}
	all.Wait()
	if pushes, tunnels := w.sim.Calls(eicsim.SendSSHPublicKey), w.sim.Calls(eicsim.OpenTunnel); pushes != 1 || tunnels != 1 {
		t.Errorf("%d pushes, %d tunnels", pushes, tunnels)
	}
}

// What a tunnel does to its messages doesn't show: large output both ways, whatever the
// borders, a byte at a time, with pings between.
func TestMessages(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	m := w.newMachine(t, sshd.Options{})
	for name, f := range map[string]eicsim.Faults{
		"split and merged": {SplitMerge: true}, "pings": {Ping: true}, "byte at a time": {ByteAtATime: true},
	} {
		w.sim.Faults(f)
		size := 1 << 20
		if f.ByteAtATime {
			size = 1 << 14
		}
		in := strings.Repeat("0123456789abcdef", size/16)
		out, done, err := m.exec(t.Context(), client.Exec{Cmd: []string{"cat"}, Stdin: strings.NewReader(in), Timeout: time.Minute})
		if err != nil || done.ExitCode != 0 || out != in {
			t.Errorf("%s: %d bytes, %v, %s", name, len(out), done, quote(err))
		}
	}
	if rejected := w.sim.Rejections(); len(rejected) > 0 {
		t.Errorf("the simulator refused %q", rejected)
	}
}
