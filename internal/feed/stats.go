package feed

// Stats is what a feed does at one moment, and what it has done since its start.
type Stats struct {
	// Organisations counts the followed organisations, Readers their followers.
	Organisations, Readers int
	// Delivered counts the events that readers were given: one event that two
	// readers get counts twice.
	Delivered uint64
	// Slow counts the readers that got ErrSlow.
	Slow uint64
}

// Stats tells how the feed is used.
func (f *Feed) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{Organisations: len(f.orgs), Delivered: f.delivered.Load(), Slow: f.slow.Load()}
	for _, t := range f.orgs {
		s.Readers += t.holders
	}
	return s
}
