package audit

// Stats is what a log has to do at one moment.
type Stats struct {
	// Queued counts the rows, and completions of rows, that wait for a commit. What
	// is being committed isn't among them.
	Queued int
	// Kept counts the completions, and other changes that must not be lost, on which a
	// commit has failed: they are tried again until they are on disk.
	Kept int
	// SetAside counts the changes that could never be written, since the start.
	SetAside uint64
}

// Stats tells what the log has to do.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Queued: len(l.queue) + len(l.kept), Kept: len(l.kept), SetAside: l.setAside}
}
