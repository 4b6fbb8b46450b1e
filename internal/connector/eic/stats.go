package eic

import (
	"maps"
	"time"
)

// Stats counts a connector's tunnels at one moment.
type Stats struct {
	// Tunnels counts those that are open or being opened, Waiters those that wait for one.
	Tunnels, Waiters int
	// EndpointsFull counts the endpoints that take no more of this server's tunnels now.
	EndpointsFull int
	// Failed counts the requests to AWS that failed, tunnels among them.
	Failed map[CallFailure]uint64
}

// Stats counts what the connector holds.
func (c *Connector) Stats() Stats {
	s := Stats{Failed: c.accounts.calls.all()}
	c.places.mu.Lock()
	defer c.places.mu.Unlock()
	for _, e := range c.places.of {
		s.Tunnels += e.taken
		s.Waiters += len(e.waiters)
		if !e.hasRoom(time.Now()) {
			s.EndpointsFull++
		}
	}
	return s
}

func (c *calls) all() map[CallFailure]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.failed)
}
