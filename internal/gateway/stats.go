package gateway

import (
	"sallyport/internal/audit"
	"sallyport/internal/feed"
	"sallyport/internal/sshpool"
)

// Stats counts the running work of the gateway, its pool and its log at one moment.
type Stats struct {
	// Execs counts those that run, from the decision to the last word of their row.
	Execs    int
	Draining bool

	Pool  sshpool.Stats
	Audit audit.Stats
	Feed  feed.Stats
}

// Stats tells what goes on.
func (g *Gateway) Stats() Stats {
	return Stats{
		Execs: g.live.CountActs(), Draining: g.live.Draining(),
		Pool: g.Pool.Stats(), Audit: g.Audit.Stats(), Feed: g.Feed.Stats(),
	}
}
