//go:build linux

package eic

import (
	"sync/atomic"
	"testing"
	"time"

	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// A connection outlives the minute of the key that it was made with, also when that has
// been forgotten; a new connection takes a new key.
func TestGrantEnds(t *testing.T) {
	var ahead atomic.Int64 // of the clock of grants
	w := newWorld(t, eicsim.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}, nil)
	m := w.newMachine(t, sshd.Options{})
	m.must(t, "true")
	ahead.Store(int64(61 * time.Second))
	if keys := w.sim.Authorized(m.id, m.sshd.User); len(keys) != 0 {
		t.Fatalf("%d keys are still granted", len(keys))
	}
	m.must(t, "true")
	if n := w.sim.Calls(eicsim.SendSSHPublicKey); n != 1 {
		t.Errorf("%d pushes", n)
	}
	ahead.Store(0) // signatures are judged by it too
	w.sim.CutTunnels()
	await(t, "the tunnel's end", func() bool { return w.sim.Tunnels(endpointID) == 0 })
	m.must(t, "true")
	if n := w.sim.Calls(eicsim.SendSSHPublicKey); n != 2 {
		t.Errorf("%d pushes", n)
	}
}
