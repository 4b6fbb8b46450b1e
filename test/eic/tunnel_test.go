//go:build linux

package eic

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// An endpoint has twenty tunnels. Idle ones are given back to workspaces that have
// none; where all are in use, who comes waits, and is told what for.
func TestTwentyFirstTunnel(t *testing.T) {
	w := newWorld(t, eicsim.Options{TunnelsMax: 20}, map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": "5s"})
	first := w.newMachine(t, sshd.Options{MaxStartups: "100"})
	machines := []*machine{first}
	for range 22 { // workspaces on one machine: each has a tunnel of its own
		m := &machine{world: w, name: fmt.Sprintf("m1-%d", len(machines)), id: first.id, sshd: first.sshd}
		m.create(t, &sallyport.Connector{Type: sallyport.ConnectorEIC, InstanceID: m.id, User: m.sshd.User})
		machines = append(machines, m)
	}
	for _, m := range machines {
		m.must(t, "true")
	}
	if open := w.sim.Tunnels(endpointID); open > 20 {
		t.Errorf("%d tunnels are open", open)
	}

	// Twenty that are busy, and one more.
	var busy sync.WaitGroup
	defer busy.Wait()
	started := make(chan struct{}, 40)
	for _, m := range machines[:20] {
		busy.Go(func() {
			_, _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", "echo; sleep 3"}, Stdout: onWrite(func() { started <- struct{}{} })})
			if err != nil {
				t.Error(m.name, quote(err))
				started <- struct{}{}
			}
		})
	}
	for range 20 {
		<-started
	}
	// It waits until one of them ends.
	machines[20].must(t, "true")
	if open := w.sim.Tunnels(endpointID); open > 20 {
		t.Errorf("%d tunnels are open", open)
	}
	// The endpoint may not have noticed yet that a tunnel has been given back.
	for _, refused := range w.sim.Rejections() {
		if !strings.Contains(refused, "TunnelLimitExceeded") {
			t.Errorf("the simulator refused %q", refused)
		}
	}
}

// A tunnel near its end is replaced before it ends, and no exec fails.
func TestTunnelsEnd(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, map[string]string{"SALLYPORT_EIC_TUNNEL_DURATION": "3s"})
	m := w.newMachine(t, sshd.Options{})
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		if out := m.must(t, "sh", "-c", "sleep 0.1; echo done"); out != "done\n" {
			t.Fatalf("%q", out)
		}
	}
	if opened := w.sim.Calls(eicsim.OpenTunnel); opened < 4 || opened > 20 {
		t.Errorf("%d tunnels in ten seconds", opened)
	}
	for _, row := range m.rows(t) {
		if row.Status != "ok" {
			t.Errorf("row %+v", row)
		}
	}
}

// A tunnel that is cut while a command runs is a broken transport, the command is never
// run again, and the next exec opens another tunnel.
func TestTunnelCut(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	m := w.newMachine(t, sshd.Options{})
	file := m.sshd.Home + "/ran"
	_, _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", "echo ran | tee -a " + file + "; sleep 30"}, Stdout: onWrite(w.sim.CutTunnels)})
	if known := asKnown(err); known == nil || known.Code != "exec_transport" || known.Started == nil || !*known.Started {
		t.Errorf("got %s", quote(err))
	}
	if out := m.must(t, "cat", file); out != "ran\n" {
		t.Errorf("the command ran %d times", strings.Count(out, "\n"))
	}
	if rows := m.rows(t); len(rows) != 2 || rows[1].Code != "exec_transport" {
		t.Errorf("rows %+v", rows)
	}
	if opened := w.sim.Calls(eicsim.OpenTunnel); opened != 2 {
		t.Errorf("%d tunnels", opened)
	}
}

// The metrics tell how many tunnels there are, and what AWS refused, with no tenant in
// any label.
func TestMetrics(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	m := w.newMachine(t, sshd.Options{})
	w.sim.Faults(eicsim.Faults{Error: map[string]eicsim.APIError{eicsim.SendSSHPublicKey: {Code: "ThrottlingException", Times: 2}}})
	m.must(t, "true")
	metrics := w.Do(t, "GET", "/metrics", "", "").Body
	for _, want := range []string{
		"\nsallyport_eic_tunnels 1\n", "\nsallyport_eic_tunnel_waiters 0\n", "\nsallyport_eic_endpoints_full 0\n",
		`sallyport_aws_failures_total{action="ec2-instance-connect:SendSSHPublicKey",reason="throttled"} 2`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q", want)
		}
	}
}
