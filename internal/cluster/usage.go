package cluster

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/quota"
)

// topicUsage is what replicas have granted to tokens.
const topicUsage = "usage"

// usageNotice is what one replica has granted since it last said so.
type usageNotice struct {
	From  string        `json:"from"`
	At    time.Time     `json:"at"`
	Usage []quota.Usage `json:"usage"`
}

// tellUsage tells the other servers what was granted here, until ctx ends. A notice that
// is lost is a little more for a token.
func (c *Cluster) tellUsage(ctx context.Context) {
	ticker := time.NewTicker(limits.UsageTellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for part := range slices.Chunk(c.Gateway.Rates.Taken(), limits.UsagesPerNotice) {
			text, err := json.Marshal(usageNotice{From: c.Replica.ID, At: c.Now(), Usage: part})
			if err != nil {
				c.Log.Error("usage can't be told", "error", err)
				return
			}
			c.Bus.Tell(topicUsage, text)
		}
	}
}

func (c *Cluster) hearUsage() (stop func(), err error) {
	return c.Bus.OnTold(topicUsage, c.Replica.ID, func(text []byte) {
		var n usageNotice
		if err := json.Unmarshal(text, &n); err != nil {
			c.Log.Warn("a notice on the bus is none of ours", "error", err)
			return
		}
		// A server that was halted finds notices of what tokens have long had back.
		if n.From == c.Replica.ID || c.Now().Sub(n.At) > limits.UsageNoticeAge {
			return
		}
		for _, u := range n.Usage {
			c.Gateway.Rates.Charge(u)
		}
	})
}
