//go:build linux

package eic

import (
	"net/http"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// An instance that has just been started may be there only some time after its tunnel
// is: it is tried again, and one that has run for long is not.
func TestYoungInstance(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	m := w.newMachine(t, sshd.Options{})
	w.sim.UpdateInstance(m.id, func(i *eicsim.Instance) { i.LaunchTime = time.Now() })
	w.sim.Faults(eicsim.Faults{CannotConnect: 2})
	m.must(t, "true")
	if n := w.sim.Calls(eicsim.OpenTunnel); n != 3 {
		t.Errorf("%d tunnels", n)
	}
	old := w.newMachine(t, sshd.Options{})
	w.sim.Faults(eicsim.Faults{CannotConnect: 1})
	old.failsWith(t, "unreachable", "")
}

// A refused login is tried once more with a new key, and then given up.
func TestKeyPushedAgain(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	m := w.newMachine(t, sshd.Options{Config: []string{"AuthorizedKeysCommand none"}})
	m.failsWith(t, "key_refused", "ec2-instance-connect")
	if pushes, tunnels := w.sim.Calls(eicsim.SendSSHPublicKey), w.sim.Calls(eicsim.OpenTunnel); pushes != 2 || tunnels != 1 {
		t.Errorf("%d pushes, %d tunnels", pushes, tunnels)
	}
}

// An instance whose host key has changed is refused and told, never tried again and
// never pinned anew by itself; another instance begins anew.
func TestHostKeyChanges(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	m := w.newMachine(t, sshd.Options{})
	m.must(t, "true")
	other := sshd.Start(t, sshd.Options{Config: w.sim.SSHDConfig(m.id)})
	w.sim.UpdateInstance(m.id, func(i *eicsim.Instance) { i.Addr = other.Addr })
	w.sim.CutTunnels()
	await(t, "the tunnel's end", func() bool { return w.sim.Tunnels(endpointID) == 0 })
	opened := w.sim.Calls(eicsim.OpenTunnel)
	_, _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
	if known := asKnown(err); known == nil || known.Code != sallyport.CodeHostKeyMismatch {
		t.Errorf("got %s", quote(err))
	}
	if n := w.sim.Calls(eicsim.OpenTunnel) - opened; n != 1 {
		t.Errorf("%d tunnels for it", n)
	}
	var rows sallyport.List[sallyport.Activity]
	w.Do(t, http.MethodGet, "/workspaces/"+m.name+"/activity?type=host_key_mismatch", w.Token, "").Decode(t, &rows)
	if len(rows.Items) != 1 {
		t.Errorf("%d rows", len(rows.Items))
	}
	next := w.newMachine(t, sshd.Options{})
	m.patch(t, `{"connector":{"instance_id":"`+next.id+`"}}`)
	m.must(t, "true")
}
