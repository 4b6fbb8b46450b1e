package audit

// Stats is what a log has to do at one moment.
type Stats struct {
	// Queued counts the rows, and completions of rows, that wait for a commit. What
	// is being committed isn't among them.
	Queued int
	// Kept counts the completions that the last commit failed on: they are tried
	// again until they are on disk.
	Kept int
}

// Stats tells what the log has to do.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Queued: len(l.queue), Kept: l.kept}
}
