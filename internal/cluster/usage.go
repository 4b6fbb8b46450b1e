package server

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
func (s *server) tellUsage(ctx context.Context) {
	ticker := time.NewTicker(limits.UsageTellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for part := range slices.Chunk(s.gateway.Rates.Taken(), limits.UsagesPerNotice) {
			text, err := json.Marshal(usageNotice{From: s.replica.ID, At: now(), Usage: part})
			if err != nil {
				s.log.Error("usage can't be told", "error", err)
				return
			}
			s.bus.Tell(topicUsage, text)
		}
	}
}

func (s *server) hearUsage() (stop func(), err error) {
	return s.bus.OnTold(topicUsage, s.replica.ID, func(text []byte) {
		var n usageNotice
		if err := json.Unmarshal(text, &n); err != nil {
			s.log.Warn("a notice on the bus is none of ours", "error", err)
			return
		}
		// A server that was halted finds notices of what tokens have long had back.
		if n.From == s.replica.ID || now().Sub(n.At) > limits.UsageNoticeAge {
			return
		}
		for _, u := range n.Usage {
			s.gateway.Rates.Charge(u)
		}
	})
}
