package sshpool

// Stats is what a pool holds at one moment.
type Stats struct {
	// Machines counts the keys that the pool knows of.
	Machines int
	// Connections counts those that are authenticated, idle or not.
	Connections int
	// Dialing counts those on their way.
	Dialing int
	// Sessions counts the slots that are taken.
	Sessions int
	// Waiters counts the callers that wait for a slot.
	Waiters int
}

// Stats counts what the pool holds. Its time grows with the number of connections.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Machines: len(p.groups)}
	for _, g := range p.groups {
		s.Connections += len(g.conns)
		s.Dialing += g.dialing
		s.Waiters += len(g.waiters)
		for _, c := range g.conns {
			s.Sessions += c.busy
		}
	}
	return s
}
