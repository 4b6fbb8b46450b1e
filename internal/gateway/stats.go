package gateway

import (
	"sallyport/internal/audit"
	"sallyport/internal/feed"
	"sallyport/internal/sshpool"
)

// Stats is what goes on at one moment, in the gateway and in what it works with.
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
