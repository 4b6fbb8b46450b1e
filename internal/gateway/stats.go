package gateway

import (
	"sallyport/internal/audit"
	"sallyport/internal/feed"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// Stats counts the running work of the gateway, its pool and its log at one moment.
type Stats struct {
	// Execs counts those that run, from the decision to the last word of their row, and so do
	// Transfers of files, Terminals and Forwards.
	Execs, Transfers, Terminals, Forwards int
	// Watchers counts those who watch a terminal of this server, and Resumes how often a
	// terminal's client has come again.
	Watchers, Resumes int64
	// RecordedBytes counts what was recorded of terminals, before it was sealed.
	RecordedBytes int64
	Draining      bool

	Pool  sshpool.Stats
	Audit audit.Stats
	Feed  feed.Stats
}

// Stats tells what goes on.
func (g *Gateway) Stats() Stats {
	acts := g.live.CountActs()
	return Stats{
		Execs: acts[store.ClassExec], Transfers: acts[store.ClassTransfer], Terminals: acts[store.ClassTerminal], Forwards: acts[store.ClassStream],
		Watchers: g.watchers.Load(), Resumes: g.resumes.Load(), RecordedBytes: g.Recordings.Written(), Draining: g.live.Draining(),
		Pool: g.Pool.Stats(), Audit: g.Audit.Stats(), Feed: g.Feed.Stats(),
	}
}
